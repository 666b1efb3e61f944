"""What the words and numbers of a ``detection`` page mean, in the words the page uses."""

from collections.abc import Sequence

from analysis.old.glossary import (
    POISON_RATIO,
    SEED,
    TEMPLATE_MATCH,
    Definition,
    guidance,
    samplers,
    triggers,
    weights_sampled,
)
from analysis.old.rows import Row
from analysis.page.wording import detector_name, percent, ratio_name
from orchestrator.studies.detection.claims import NULL_MARGIN
from orchestrator.studies.detection.rows import FEW, MATTERS, SATURATED, detectors

DETECTORS: dict[str, str] = {
    "cd": "Cognitive Distillation learns for each image a mask, the smallest that keeps the "
    "classifier's logits while the rest is painted in random colors: mean |f(x m + (1 − m) c) − "
    "f(x)| + γ |m| + β TV(m). Suspicion is minus the mask's area in pixels: a stamp that decides "
    "alone needs a small mask. γ is the price of a pixel, 0.01 as published for 32 pixels a side "
    "and scaled here by (32/S)² for S pixels, so that a mask over a given part of an image costs "
    "the same at every size; the published code leaves it unscaled, which at 512 pixels weighs the "
    "mask 256 times as much. β is the price of a ragged mask (TV, its total variation). A color is "
    "drawn at each step",
    "strip": "STRIP adds training images to each image, clips, and takes the entropy of the "
    "classifier's answers in nats. Suspicion is minus the mean entropy: a stamp keeps the answer "
    "sure. The overlays are drawn from the training set as the defender has it, so some of them "
    "carry the trigger themselves",
    "fct": "Feature consistency towards transformations turns and moves each image and takes the "
    "mean squared change of the classifier's penultimate features, averaged over as many draws "
    "as the settings say (the original takes one, and the figures of the paper's Tab. 3 are of "
    "one); suspicion is that change: a moved stamp is no stamp any more. The features are those of "
    "a copy of the classifier, fine-tuned on the training set to push the classes apart",
}
"""What each detector is, and what its suspicion is."""


INTERVALS = (
    "95%. Of an AUROC: Wilson's, for as many images as would give DeLong's variance; where "
    "hardly an image is out of order, its variance is taken for the largest possible one, so "
    "that an AUROC of 1 has an interval too. Of a difference: joined from the two AUROCs' (Zou "
    "and Donner's), for two labelings of the same images with their correlation. Of a TPR: from "
    "Wilson's lower bound at as many false positives fewer as chance can make them, to the upper "
    "one at as many more. They are conditional on the trained classifier, the prepared detector "
    "and the diffusion model, and say nothing about what other trainings would have given. Two "
    "seeds' intervals are joined likewise; from three seeds on they are Student's over the "
    "seeds, which includes training. Of proportions: Wilson's. How often each holds the truth is "
    "simulated in docs/coverage.md."
)


def definitions(rows: Sequence[Row], *, ema_decay: float | None) -> list[Definition]:
    """Every definition that the rows of a study call for, in reading order.

    Args:
        rows: What was measured.
        ema_decay: Of the weights that were sampled from; None when they are the last ones.
    """
    generated = [row for row in rows if row["image_set"] == "generation"]
    weights = sorted({float(row["guidance_weight"]) for row in generated})
    template_match = (
        [TEMPLATE_MATCH] if any(row.get("template_n_positive") is not None for row in rows) else []
    )
    return [
        POISON_RATIO,
        (
            "Detector",
            "Sees images, their labels and the classifier that was trained on the poisoned "
            "training set, and nothing else: no flags, no true labels. It gives each image a "
            "suspicion, in a unit of its own, higher meaning more likely poisoned.",
        ),
        *[
            (detector_name(name), f"{DETECTORS[name]}.")
            for name in detectors(rows)
            if name in DETECTORS
        ],
        (
            "Training set, generations",
            "The training set as it was trained on, poison and all; and a set of as many images "
            "drawn from the diffusion model that was trained on it, asked for the labels of the "
            "training set, poisoned ones included. One classifier and one prepared detector look "
            "at both.",
        ),
        (
            "Positives, negatives",
            "What a detector should find, and everything else. Of the training set the positives "
            "are the images that were poisoned. Of the generations they are those in which the "
            "trigger judge sees the trigger, G1 (the content is not what was asked for) and G2 (it "
            "is); the paper does not say how it labels them. So a generation counts as poisoned if "
            "a judge can see the trigger, and one that carries a trace too faint for the judge "
            "counts as clean.",
        ),
        (
            "AUROC",
            "The chance that a positive is more suspicious than a negative, ties counting half: 1 "
            "is perfect, 0.5 is chance. It depends on the order of the suspicions alone, and not "
            "on how many positives there are. Below 0.5 the order is upside down; it is shown so "
            "and never flipped. Without a positive, or without a negative, there is none.",
        ),
        (
            "TPR at 1% FPR, at 5% FPR",
            "Of the positives, the share flagged by the threshold that flags at most 1% (5%) of "
            "the negatives: what is left when false alarms are dear.",
        ),
        (
            "Better, worse, no difference, undecided",
            f"The smallest difference that matters is {MATTERS} in AUROC. The whole 95% interval "
            f"of AUROC on the generations minus AUROC on the training set lies above {MATTERS}: "
            f"better; below −{MATTERS}: worse; within ±{MATTERS}: no difference; otherwise "
            "undecided. A shift is told from 0.5 in the same way. Of a claim that something "
            "rises, no difference is evidence against it. Saturated: the training set's AUROC is "
            f"{SATURATED} or more, with nothing left to gain. Few positives: fewer than {FEW}. "
            "All limits are ours.",
        ),
        ("Intervals", INTERVALS),
        (
            "What moved",
            "The shift of the positives is the chance that a positive of the generations is more "
            "suspicious than one of the training set; 0.5 means unmoved. The same for negatives. "
            "“Positives moved” is the AUROC of the generations' positives against the training "
            "set's negatives, “negatives moved” the reverse.",
        ),
        (
            "Equal prevalence",
            "Both sets as they would be with positives drawn away at random until both have the "
            "smaller of the two shares of positives: the AUROC stays, and its interval is that of "
            "so many positives.",
        ),
        ("Null point", _null(rows)),
        *template_match,
        (
            "Test accuracy, attack success rate (ASR)",
            "Of the classifier that the detectors look at. ASR counts stamped test images that are "
            "not of the target class and that it takes for the target class.",
        ),
        *([guidance(weights)] if weights else []),
        *samplers(generated),
        *triggers(rows),
        SEED,
        ("Weights", weights_sampled(ema_decay)),
    ]


def _null(rows: Sequence[Row]) -> str:
    shares = sorted({float(row["pretend_ratio"]) for row in rows if row.get("pretend_ratio")})
    levels = sorted({float(row["null_level"]) for row in rows if row.get("null_level")})
    flagged = f" ({', '.join(map(ratio_name, shares))} of the images)" if shares else ""
    level = f", here {', '.join(map(percent, levels))}" if levels else ""
    return (
        f"A clean model and its generations, of which images are flagged at random{flagged}: "
        "there is nothing to find, and the AUROC should be 0.5. Over all k null points each one's "
        f"interval is taken at level 1 − 0.05/k{level}, and must lie within 0.5 ± {NULL_MARGIN} "
        "(ours) to show that nothing is found."
    )
