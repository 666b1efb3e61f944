"""Measure the two judges and the witness on the test part, which no judge was trained on.

The content judge is measured on clean and on stamped images: a stamp that hides part of a digit
moves images from G2 to G1, and the reader has to know how many.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from tasks import datasets, images, patches
from tasks.triggers import Trigger

BATCH_SIZE = 256
"""Images in one forward pass of a judge."""


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
    """Write ``judges.json``."""
    from models.classifiers import Classifier
    from models.device import choose, one_thread

    device = choose()
    test = datasets.read_split(dataset, "test")
    pictures = {"clean": test.images, "stamped": settings.trigger.stamp(test.images)}
    content, trigger = {}, {}
    with one_thread():
        content_network = Classifier.load(content_judge, device)
        trigger_network = Classifier.load(trigger_judge, device)
        for name, picture in pictures.items():
            x = images.to_float(picture)
            said = content_network.probabilities(x, BATCH_SIZE).argmax(axis=1)
            classes = content_network.shape.classes
            content[name] = measure_content(test.labels, said, classes)
            trigger[name] = trigger_network.probabilities(x, BATCH_SIZE).argmax(axis=1) == 1
    judges = {
        "content": content,
        "trigger": measure_trigger(trigger["clean"], trigger["stamped"]),
        "witness": measure_witness(settings.trigger, pictures["clean"], pictures["stamped"]),
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


def measure_witness(
    trigger: Trigger, clean: NDArray[np.uint8], stamped: NDArray[np.uint8]
) -> dict[str, float | int] | None:
    """Error rates of a trigger's witness, as of its judge; None if it has no witness.

    Args:
        trigger: Any that stamps.
        clean: uint8, (N, H, W, C).
        stamped: uint8, (M, H, W, C).
    """
    on_clean, on_stamped = patches.witness(trigger, clean), patches.witness(trigger, stamped)
    if on_clean is None or on_stamped is None:
        return None
    return measure_trigger(on_clean, on_stamped)


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
