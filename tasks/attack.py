"""Measure a classifier that was trained on poison, on the test part, which it was not trained on.

Test accuracy is of clean images.  Attack success rate is the fraction of *triggered images of other
classes* that it takes for the target class; a triggered image of the target class is right to be
taken for it and does not count (algorithms: section 9).
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow.parquet as pq

from analysis.intervals import proportion
from tasks import datasets, images
from tasks.poison import slug
from tasks.triggers import Trigger

BATCH_SIZE = 256
"""Images in one forward pass of the classifier, and decoded at once."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The attack that the classifier may have learned."""

    revision: ClassVar[int] = 1
    """Add one when the same settings would now give other bytes."""

    trigger: Trigger
    """Stamped onto test images; one that stamps nothing leaves only the test accuracy."""
    target_class: str
    """Name of the class that a triggered image should be taken for."""

    @property
    def label(self) -> str:
        """Readable part of the artifact's path, e.g. ``badnets1-to-8``."""
        return f"{self.trigger.name}-to-{slug(self.target_class)}"

    @property
    def expected_seconds(self) -> float:
        """Rough cost on one core."""
        return 2.0

    @property
    def expected_bytes(self) -> int:
        """Rough size on disk."""
        return 1_000


def run(settings: Settings, *, dataset: Path, classifier: Path, out: Path) -> None:
    """Write ``attack.json``.

    ``test_accuracy`` is of ``n`` images, ``correct`` of them right; ``attack_success_rate`` of
    ``attack_n`` images, ``attack_count`` of them taken for the target class.  ``X_low`` and
    ``X_high`` are Wilson's 95 % bounds of rate X, conditional on this classifier.  The success rate
    and its bounds are null where there is no triggered image, ``attack_n`` 0.

    Raises:
        ValueError: The dataset has no such class, or no test image.
    """
    from models.classifiers import Classifier
    from models.device import choose, one_thread

    target = datasets.read_classes(dataset).position(settings.target_class)
    network = Classifier.load(classifier, choose())
    n = correct = attack_n = attack_count = 0
    with one_thread(), pq.ParquetFile(dataset / "test.parquet") as file:
        for rows in file.iter_batches(BATCH_SIZE, columns=["label", "image"]):
            labels = rows.column("label").to_numpy()
            pictures = images.from_column(rows.column("image"))
            said = network.probabilities(images.to_float(pictures), BATCH_SIZE).argmax(axis=1)
            n, correct = n + len(labels), correct + int((said == labels).sum())
            others = np.flatnonzero(labels != target)
            if settings.trigger.stamps and len(others):
                stamped = images.to_float(settings.trigger.stamp(pictures[others]))
                said = network.probabilities(stamped, BATCH_SIZE).argmax(axis=1)
                attack_n += len(others)
                attack_count += int((said == target).sum())
    if n == 0:
        raise ValueError("expected test images to measure a classifier on, got none")
    attack = {
        **_rate("test_accuracy", correct, n),
        "n": n,
        "correct": correct,
        **_rate("attack_success_rate", attack_count, attack_n),
        "attack_n": attack_n,
        "attack_count": attack_count,
    }
    (out / "attack.json").write_text(json.dumps(attack, indent=1) + "\n")


def _rate(name: str, count: int, n: int) -> dict[str, float | None]:
    """A rate and its Wilson bounds; all None if there was nothing to count."""
    names = (name, f"{name}_low", f"{name}_high")
    if n == 0:
        return dict.fromkeys(names)
    rate = proportion(count, n)
    return dict(zip(names, (rate.value, rate.low, rate.high), strict=True))
