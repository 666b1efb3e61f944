"""The paper's Tab. 5: poisoned diffusion models as classifiers, and a ResNet-18 beside them.

CIFAR10, BadNets-1, EDM with 100 noise draws an image; single runs without a spread.  The paper does
not say the target class, nor how the ResNet-18 was trained.
"""

from dataclasses import dataclass

from analysis.old.rows import same

TRIGGER, DATASET, CLASSIFIER = "badnets1", "CIFAR10, EDM", "resnet18"
"""What the table is about, in our words."""
FILTER_RATIOS = (0.0, 0.01, 0.05, 0.1)
"""p_filter of its columns."""


@dataclass(frozen=True)
class PublishedClassification:
    """One poison ratio of the table, fractions 0..1."""

    poison_ratio: float
    """Fraction of all training images."""
    classifier_accuracy: float
    """TA of the ResNet-18."""
    classifier_attack: float
    """ASR of the ResNet-18."""
    accuracy: tuple[float, ...]
    """TA of the diffusion classifier at each of `FILTER_RATIOS`."""
    attack: tuple[float, ...]
    """ASR likewise."""


# TA and then ASR in percent: the ResNet-18, and at each filter ratio.
_TABLE = {
    0.01: ("94.85 95.56 95.07 93.67 92.32", "99.40 62.38 23.57 15.00 13.62"),
    0.05: ("94.61 94.83 94.58 92.86 91.78", "100.00 97.04 68.86 45.43 39.00"),
    0.1: ("94.08 94.71 93.60 92.54 90.87", "100.00 98.57 75.77 52.82 45.66"),
}


def _line(ratio: float, accuracies: str, attacks: str) -> PublishedClassification:
    first, *accuracy = (float(number) / 100 for number in accuracies.split())
    second, *attack = (float(number) / 100 for number in attacks.split())
    return PublishedClassification(ratio, first, second, tuple(accuracy), tuple(attack))


PUBLISHED_CLASSIFICATION = tuple(_line(ratio, *lines) for ratio, lines in _TABLE.items())
"""All of the table."""
LARGEST_DROP = max(line.accuracy[0] - min(line.accuracy) for line in PUBLISHED_CLASSIFICATION)
"""How much TA falls at most by filtering, 0.038: what section 5 calls "without much drop"."""


def published(trigger: str, poison_ratio: float) -> PublishedClassification | None:
    """What the table prints for a trigger at a poison ratio; None where it has nothing."""
    if trigger != TRIGGER:
        return None
    lines = PUBLISHED_CLASSIFICATION
    return next((line for line in lines if same(line.poison_ratio, poison_ratio)), None)
