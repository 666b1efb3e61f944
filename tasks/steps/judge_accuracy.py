"""Measure the two judges and the template match on the test part, which no judge was trained on.

The content judge is measured on clean and on stamped images: a stamp that hides part of a digit
moves images from G2 to G1, and the reader has to know how many.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tasks.data import images
from tasks.triggers import Trigger, patches

BATCH_SIZE = 256
"""Images in one forward pass of a judge, and decoded at once."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The trigger whose judge is measured."""

    revision: ClassVar[int] = 3
    """Add one when the same settings would now give other bytes."""

    trigger: Trigger
    """Stamped onto the test images."""

    def __post_init__(self) -> None:
        """Refuse a trigger that leaves nothing to see."""
        if not self.trigger.stamps:
            raise ValueError(
                f"expected a trigger that stamps, got {self.trigger.name}; a control is judged "
                "with the trigger it controls"
            )

    @property
    def label(self) -> str:
        """Readable part of the artifact's path."""
        return self.trigger.name

    @property
    def expected_seconds(self) -> float:
        """Rough cost on one core."""
        return 2.0

    @property
    def expected_bytes(self) -> int:
        """Rough size on disk."""
        return 5_000


def run(
    settings: Settings, *, dataset: Path, content_judge: Path, trigger_judge: Path, out: Path
) -> None:
    """Write ``judges.json``.

    Raises:
        ValueError: The dataset has no test image.
    """
    from models.classifiers import Classifier
    from models.device import choose, one_thread

    content_network = Classifier.load(content_judge, choose())
    trigger_network = Classifier.load(trigger_judge, choose())

    def asked(pictures: NDArray[np.uint8]) -> tuple[NDArray[np.int64 | np.bool_], ...]:
        x = images.to_float(pictures)
        content = content_network.probabilities(x, BATCH_SIZE).argmax(axis=1)
        trigger = trigger_network.probabilities(x, BATCH_SIZE).argmax(axis=1) == 1
        template_match = patches.template_match(settings.trigger, pictures)
        return content, trigger, np.empty(0, np.bool_) if template_match is None else template_match

    parts = []
    with one_thread(), pq.ParquetFile(dataset / "test.parquet") as file:
        for rows in file.iter_batches(BATCH_SIZE, columns=["label", "image"]):
            clean = images.from_column(rows.column("image"))
            stamped = settings.trigger.stamp(clean)
            parts.append((rows.column("label").to_numpy(), *asked(clean), *asked(stamped)))
    if not parts:
        raise ValueError("expected test images to measure judges on, got none")
    truth, content, trigger, template_match, content_stamped, trigger_stamped, template_stamped = (
        np.concatenate(column) for column in zip(*parts, strict=True)
    )
    classes = content_network.shape.classes
    judges = {
        "content": {
            "clean": measure_content(truth, content, classes),
            "stamped": measure_content(truth, content_stamped, classes),
        },
        "trigger": measure_trigger(trigger, trigger_stamped),
        "template_match": measure_trigger(template_match, template_stamped)
        if len(template_match)
        else None,
    }
    (out / "judges.json").write_text(json.dumps(judges, indent=1) + "\n")


def measure_content(
    truth: NDArray[np.int64], said: NDArray[np.int64], classes: int
) -> dict[str, object]:
    """Accuracy, n, and the confusion matrix: rows are the truth, columns what the judge said.

    Args:
        truth: int64, (N,).
        said: int64, (N,).
        classes: K.
    """
    confusion = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(confusion, (truth, said), 1)
    return {
        "accuracy": float((truth == said).mean()),
        "n": len(truth),
        "confusion": confusion.tolist(),
    }


def measure_trigger(
    on_clean: NDArray[np.bool_], on_stamped: NDArray[np.bool_]
) -> dict[str, float | int]:
    """Error rates of whoever says whether there is a trigger.

    Args:
        on_clean: bool, (N,). Whether it saw a trigger on clean images.
        on_stamped: bool, (M,). Whether it saw one on stamped images.
    """
    false_positives, false_negatives = int(on_clean.sum()), int((~on_stamped).sum())
    false_positive_rate = false_positives / len(on_clean)
    false_negative_rate = false_negatives / len(on_stamped)
    return {
        "false_positive_rate": false_positive_rate,
        "false_negative_rate": false_negative_rate,
        "balanced_accuracy": 1 - (false_positive_rate + false_negative_rate) / 2,
        "n_clean": len(on_clean),
        "n_stamped": len(on_stamped),
        "false_positives": false_positives,
        "false_negatives": false_negatives,
    }
