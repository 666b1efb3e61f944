"""The paper's Tab. 4 and A3: classifiers trained on the poisoned training set and on generations.

Test accuracy (TA) and attack success rate (ASR) of ResNet-50 on ImageNette and Caltech15 (Tab. 4)
and of VGG-16 and DenseNet-121 on ImageNette (Tab. A3, single runs without a spread), each from
ImageNet weights, with Stable Diffusion; at which guidance weight the paper does not say.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.old.rows import same

RATIOS = (0.01, 0.02, 0.05)
"""The poison ratios of both tables; its "low" ones."""


@dataclass(frozen=True)
class PublishedDefense:
    """One cell of a table, fractions 0..1: TA and ASR, of the training set and the generations."""

    source: str
    """The table."""
    dataset: str
    """Dataset and diffusion model."""
    classifier: str
    """In our words."""
    trigger: str
    """In our words."""
    poison_ratio: float
    """Fraction of all training images."""
    training_accuracy: float
    """TA of the classifier of the poisoned training set."""
    generation_accuracy: float
    """TA of the classifier of the generations."""
    training_attack: float
    """ASR of the first."""
    generation_attack: float
    """ASR of the second."""


IMAGENETTE, CALTECH15 = "ImageNette, SD", "Caltech15, SD"
TRIGGERS = ("badnets1", "blend", "wanet")

# Of TA and then of ASR, the training set and then the generations, percent at 1, 2, 5 %.
_TABLES: dict[tuple[str, str, str], tuple[str, str, str]] = {
    ("Tab. 4", IMAGENETTE, "resnet50"): (
        "99.524 99.464 99.464  97.070 94.649 94.921  87.658 98.625 99.736  .919 14.721 52.462",
        "99.371 99.329 99.396  97.078 94.624 95.006  67.534 88.376 97.181  .886 7.971 10.804",
        "98.995 99.269 99.303  94.102 91.515 91.526  97.190 99.264 99.67  1.580 1.895 3.19",
    ),
    ("Tab. 4", CALTECH15, "resnet50"): (
        "99.833 99.777 99.722  90.389 88.889 89.611  96.071 98.749 99.940  1.488 8.333 10.356",
        "99.833 99.722 99.610  89.666 88.555 88.722  81.428 91.845 95.535  42.321 42.737 65.773",
        "99.722 99.667 99.611  90.872 89.166 88.766  90.952 98.630 99.821  30.527 35.245 51.644",
    ),
    ("Tab. A3", IMAGENETTE, "vgg16"): (
        "98.445 98.445 98.573  93.783 93.146 93.070  56.900 93.269 99.688  2.743 27.743 72.454",
        "98.343 98.038 98.038  93.222 92.891 90.904  20.107 55.458 87.895  2.234 26.866 50.565",
        "98.140 98.318 98.293  90.318 90.344 92.407  97.878 99.632 99.830  .084 1.725 1.725",
    ),
    ("Tab. A3", IMAGENETTE, "densenet121"): (
        "99.261 99.184 99.057  96.305 96.433 94.343  99.095 97.426 99.689  1.159 33.964 70.673",
        "99.108 99.082 99.031  95.617 94.343 94.573  58.144 86.029 95.899  .678 35.492 67.958",
        "99.159 98.878 99.057  93.528 94.038 93.859  98.473 99.208 99.576  .254 .452 1.046",
    ),
}


def _cells() -> tuple[PublishedDefense, ...]:
    made = []
    for (source, dataset, classifier), lines in _TABLES.items():
        for trigger, line in zip(TRIGGERS, lines, strict=True):
            numbers = [float(number) / 100 for number in line.split()]
            for place, ratio in enumerate(RATIOS):
                made.append(
                    PublishedDefense(
                        source, dataset, classifier, trigger, ratio, *numbers[place::3]
                    )
                )
    return tuple(made)


PUBLISHED_DEFENSE: tuple[PublishedDefense, ...] = _cells()
"""Both tables: 4 networks and datasets x 3 triggers x 3 poison ratios."""
LARGEST_DROP = max(cell.training_accuracy - cell.generation_accuracy for cell in PUBLISHED_DEFENSE)
"""How much TA falls at most in either table, 0.11: what section 5 calls a slight drop."""


def published(trigger: str, datasets: Sequence[str] | None = None) -> list[PublishedDefense]:
    """What the tables print for a trigger, by table, dataset and poison ratio."""
    return [
        cell
        for cell in PUBLISHED_DEFENSE
        if cell.trigger == trigger and (datasets is None or cell.dataset in datasets)
    ]


def printed_in(
    source: str, trigger: str, ratios: Sequence[float]
) -> list[tuple[float, PublishedDefense]]:
    """What a table prints for a trigger at some ratios of ours, each with that ratio."""
    return [
        (ratio, cell)
        for cell in published(trigger)
        if cell.source == source
        for ratio in ratios
        if same(ratio, cell.poison_ratio)
    ]
