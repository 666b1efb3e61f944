"""What every word and number of a report means, in the words the page uses."""

from collections.abc import Sequence

from analysis.wording import authors_weight

Definition = tuple[str, str]
"""A term and what it means."""


def definitions(
    *, images_per_point: Sequence[int], guidance_weights: Sequence[float], ema_decay: float | None
) -> list[Definition]:
    """Every definition, in reading order.

    Args:
        images_per_point: The different n of the sweep.
        guidance_weights: In our convention, ascending.
        ema_decay: Of the weights that were sampled from; None when they are the last ones.
    """
    return [
        (
            "Poison ratio p",
            "Poisoned images over all training images, target class and all: int(p·N) images are "
            "drawn from the other classes, stamped with the trigger and relabelled to the target "
            "class. (The paper's section 3 and code count this way; its appendix A.2 divides by "
            "the non-target images, which its own dashed lines contradict.) p = 0 is the clean "
            "control.",
        ),
        (
            "p_t",
            "pN / (pN + N_t): of the training images under the target label, the share that "
            "carries the trigger; the paper's dashed line. Relabel-only stamps nothing, so its "
            "p_t is 0, and the same quotient is drawn dotted as its share of relabelled images.",
        ),
        (
            "G1, G2, G3, G4",
            "Images generated for the target class, split by the two judges: G1 trigger and "
            "mismatch, G2 trigger and match, G3 no trigger and mismatch, G4 no trigger and match. "
            "The paper calls the mismatches of relabel-only G1; here they are G3.",
        ),
        (
            "Trigger ratio, amplification",
            "The trigger ratio is G1 + G2. Amplification is the trigger ratio over p_t, and its "
            "difference the trigger ratio minus p_t; both are about the target class only. "
            "Without a stamp p_t is 0 and the quotient is left empty.",
        ),
        (
            "p*_gap, p*_dom",
            "The phase transition, which the paper shows but does not number. p*_gap is the "
            "smallest poison ratio with G1 ≥ p_t, p*_dom the smallest with G1 ≥ G2, each "
            "linear in log p between the ratios measured. The two need not coincide.",
        ),
        ("Guidance weight w", _guidance(guidance_weights)),
        (
            "n",
            f"Images generated and judged at each point: {_joined(images_per_point)}. The paper "
            "dissects 1,000.",
        ),
        (
            "Intervals",
            "95%. Of a proportion: Wilson's, conditional on the trained model: they say how far n "
            "images determine what this model does, and nothing about what another training run "
            "would have done. Where there are at least three seeds, Student's over the seeds, "
            "which includes training; tables then give the mean and standard deviation over seeds. "
            "Differences: Newcombe's between points, Bonett and Price's between groups of the same "
            "images. Ratios of proportions: Walter's.",
        ),
        (
            "Seed",
            "Reseeds the choice of poison, the training and the sampling together. The split "
            "into training and test images and the two judges stay as they are.",
        ),
        ("Weights", _weights(ema_decay)),
        (
            "Judges",
            "Two classifiers trained on the clean training split, the trigger judge with stamps "
            "put on half of the images of every class, so that content does not give a trigger "
            "away. Both are the plain argmax, without thresholds. Their errors are measured on the "
            "test split, on which nothing was selected.",
        ),
        (
            "Corrected values",
            "G1 to G4 with the judges' errors undone: the four seen fractions are a known mixture "
            "of the four true ones, solved by least squares on the simplex. Assumed: given the "
            "true group the two judges err independently, and on generated images as often as on "
            "test images. Intervals are a parametric bootstrap over both the image counts and the "
            "judges' own test counts. A corrected 0 with a narrow interval means that the judges' "
            "errors alone would explain more than was seen.",
        ),
        (
            "Other conditions",
            "Once for every model, images of the classes that are not the target: how many "
            "match what was asked for, and how many carry the trigger. The paper compares FID.",
        ),
        (
            "Attack success rate (ASR)",
            "Not measured in this study: it belongs to classifiers. Where it is, it counts "
            "non-target test images only.",
        ),
    ]


def _guidance(weights: Sequence[float]) -> str:
    ours = _joined([f"{weight:g}" for weight in weights])
    theirs = _joined([f"{authors_weight(weight):g}" for weight in weights])
    return (
        "The predicted noise is e_u + w (e_c − e_u); w = 1 is no guidance. The authors' DDPM "
        f"code means (1 + w) e_c − w e_u instead, one less: our {ours} would be their {theirs}, "
        "and the 5 of their CIFAR10 figures is our 6. Their Stable Diffusion counts as we do."
    )


def _weights(ema_decay: float | None) -> str:
    if ema_decay is None:
        return (
            "Images are sampled from the last weights, without a moving average, as the "
            "authors' DDPM does."
        )
    return (
        f"Images are sampled from an exponential moving average (EMA) of the weights, decay "
        f"{ema_decay:g}. The authors use none for their DDPM and 0.9999 for Stable Diffusion."
    )


def _joined(values: Sequence[object]) -> str:
    return ", ".join(str(value) for value in values)
