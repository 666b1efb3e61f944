"""What the words and numbers of a ``diffusion_classifier`` page mean, in the page's words."""

from collections.abc import Sequence

from analysis.old.glossary import POISON_RATIO, Definition, triggers
from analysis.old.rows import Row
from analysis.page.wording import listed, noise_model_name

ACCURACY: Definition = (
    "Test accuracy (TA)",
    "Of the clean test images, the share that is given its own class.",
)
ATTACK: Definition = (
    "Attack success rate (ASR)",
    "Of the test images that are not of the target class, stamped with the trigger, the share that "
    "is taken for the target class. Diffusion classifier and ordinary classifier see the same "
    "images.",
)
FILTER: Definition = (
    "Filter ratio",
    "The share of a map's values that is dropped before its mean is taken: K = int((1 − filter "
    "ratio) · values) of them, the smallest, are kept, for every image, draw and class on its own "
    "and before the weight. 0 is no filter. All filter ratios come from one pass over the same "
    "draws.",
)
NOISE_MODELS = {
    "ddpm": "DDPM predicts the noise on a schedule of steps and is turned into a denoiser of any σ "
    "by x / √(1 + σ²), with the step interpolated; it is the same model as in the other studies",
    "edm": "EDM (Karras et al. 2022) is trained as a denoiser of any σ, with their preconditioning "
    "and loss weight; it is what the paper's Tab. 5 uses",
}
"""What each noise model is."""
PAIRED: Definition = (
    "Change, difference",
    "A change is a filter ratio minus no filter of the same model; a difference the diffusion "
    "classifier minus the ordinary one of the same training set and seed. Both answer the same "
    "test images, so the interval of one seed is the paired one (Newcombe's square-and-add with "
    "the correlation), conditional on the trained models and on the draws.",
)
LOSSES: Definition = (
    "Losses and the trigger",
    "The squared error of each value (a pixel of a channel), times the weight, averaged over the "
    "draws of the first stage, in which every class is still asked. The share on the trigger is, "
    "of the values that the filter drops of triggered images, how many lie on the pixels that the "
    "trigger paints. Dropping at random would give the trigger's share of the image; no filter "
    "can give more than the trigger's values over the dropped ones.",
)
ELIMINATION: Definition = (
    "Elimination",
    "After some draws, classes that can no longer win at any filter ratio are asked no further: "
    "the draws are the same for all classes, so classes are compared draw by draw, and one is "
    "dropped when another beats it by more than the stated margin under every filter ratio. "
    "Network calls are counted exactly, one an image, class and draw.",
)
INTERVALS: Definition = (
    "Intervals",
    "95%. Of one model's rate: Wilson's, conditional on that model and its draws. Of shares on the "
    "trigger: Student's over the triggered images. Two seeds are joined (Zou and Donner's); from "
    "three seeds on it is Student's over the seeds, which includes the choice of poison, the "
    "training and the draws. Where all seeds say the same, such as 0%, that interval has no width "
    "and promises too much. Two models count as independent, which is cautious, as their test "
    "images are the same.",
)
SEED: Definition = (
    "Seed",
    "Reseeds the choice of poison, the trainings and the noise draws together. The split into "
    "training and test images stays as it is.",
)


def definitions(rows: Sequence[Row], *, ema_decay: float | None) -> list[Definition]:
    """Every definition that the rows of a study call for, in reading order.

    Args:
        rows: What was measured.
        ema_decay: Of the weights that classify; None when they are the last ones.
    """
    weights = (
        "The last weights classify, without a moving average."
        if ema_decay is None
        else f"An exponential moving average of the weights classifies; the DDPM's decay is "
        f"{ema_decay:g}."
    )
    models = sorted({str(row["noise_model"]) for row in rows})
    told = [f"{NOISE_MODELS[name]}." for name in models if name in NOISE_MODELS]
    return [
        POISON_RATIO,
        ACCURACY,
        ATTACK,
        classifier(rows),
        FILTER,
        ("Noise model", " ".join(told)),
        PAIRED,
        LOSSES,
        ELIMINATION,
        INTERVALS,
        *triggers(rows),
        SEED,
        ("Weights", weights),
    ]


def classifier(rows: Sequence[Row]) -> Definition:
    """What a diffusion classifier does, with the draws of these rows."""
    draws = listed([str(count) for count in sorted({int(row["draws"]) for row in rows})], "or")
    quantile = any(row["reduction"] == "quantile" for row in rows)
    reduced = "the K-th smallest value" if quantile else "the mean of the values kept"
    models = listed(
        [noise_model_name(name) for name in sorted({str(row["noise_model"]) for row in rows})],
        "or",
    )
    return (
        "Diffusion classifier",
        f"A class-conditional diffusion model ({models}) denoises an image under every class, "
        f"{draws or 'some'} times with noise of level σ, ln σ drawn from N(−1.2, 1.2²), the same "
        f"noise for all classes. A class's loss is {reduced} of the squared errors, weighted by "
        "(σ² + σ_data²) / (σ σ_data)² and averaged over the draws; the class with the smallest "
        "loss is the answer. Nothing is trained or chosen for it.",
    )
