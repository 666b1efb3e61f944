"""Prepare a detector on the training set as the defender has it and the classifier trained on it.

A classifier that learned nothing is refused, since suspicions from its answers are meaningless.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from analysis.statistics.intervals import wilson
from tasks.data import datasets, images
from tasks.detectors.detector import Detector
from tasks.detectors.fct import FeatureConsistency
from tasks.settings import TaskSettings
from tasks.steps.poison import slug

if TYPE_CHECKING:
    from models.classifiers import Classifier

BATCH_SIZE = 256
"""Images in one forward pass of the classifier, and decoded at once."""


@dataclass(frozen=True, kw_only=True)
class Settings(TaskSettings):
    """The detector; the training set is in the streams."""

    revision = 1
    expected_bytes = 500_000

    detector: Detector
    """The detector to prepare."""
    n: int = field(default=0, metadata={"identity": False})
    """Images of the training set, for the expected cost; 0 if unknown."""

    @property
    def label(self) -> str:
        """Readable part of the result's path, e.g. ``cd``."""
        return slug(self.detector.name)

    @property
    def expected_seconds(self) -> float:
        """Rough time on one core, fitted to measured ones of 8x8 pixels."""
        detector = self.detector
        epochs = detector.epochs if isinstance(detector, FeatureConsistency) else 0
        return 1.0 + (1e-4 + 2.1e-4 * epochs) * self.n


def run(settings: Settings, *, classifier: Path, training_set: Path, out: Path) -> None:
    """Write what the detector needs (``Prepared.save``) and ``classifier.json``.

    Raises ValueError if the classifier learned nothing, or is of other images.
    """
    from models.classifiers import Classifier
    from models.device import choose, one_thread

    pictures, labels = read(training_set)
    network = Classifier.load(classifier, choose())
    with one_thread():
        measured = measure(network, pictures, labels)
        settings.detector.prepare(pictures, labels, network).save(out)
    (out / "classifier.json").write_text(json.dumps(measured, indent=1) + "\n")


def read(training_set: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Images, uint8, (N, H, W, C), and labels, int64, (N,), in the order of the file."""
    parts = datasets.read_batches(training_set / "rows.parquet", BATCH_SIZE)
    columns = zip(*((part.images, part.labels) for part in parts), strict=True)
    pictures, labels = (np.concatenate(column) for column in columns)
    return pictures, labels


def measure(
    classifier: "Classifier", pictures: NDArray[np.uint8], labels: NDArray[np.int64]
) -> dict[str, float | int]:
    """Accuracy of the classifier on its own training set, with the labels it was trained on.

    Returns ``training_accuracy``, ``n``, and ``largest_class_share``, the accuracy of always
    answering the largest class.  Raises ValueError if Wilson's lower 95% bound is not above that.
    """
    said = [
        classifier.probabilities(images.to_float(pictures[first : first + BATCH_SIZE]), BATCH_SIZE)
        for first in range(0, len(pictures), BATCH_SIZE)
    ]
    right = int((np.concatenate(said).argmax(axis=1) == labels).sum())
    n, share = len(labels), float(np.bincount(labels).max() / len(labels))
    low, _ = wilson(right, n)
    if low <= share:
        raise ValueError(
            f"expected a classifier that learned its training set, got one that is right on "
            f"{right} of {n} images of it ({right / n:.1%}, at least {low:.1%} with 95% "
            f"confidence), where always answering the largest class gives {share:.1%}; train it "
            f"for more steps or on more images, or check the labels"
        )
    return {"training_accuracy": right / n, "n": n, "largest_class_share": share}
