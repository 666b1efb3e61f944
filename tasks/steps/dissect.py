"""Ask both judges about every generated image: which class, and is there a trigger?

Both verdicts are a plain argmax, as in the authors' code (algorithms: section 5).  Beside the
trigger judge stands the trigger's template match, which was not trained
(``patches.template_match``).
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.data import images
from tasks.triggers import Trigger, patches

LEAST_CONTENT_ACCURACY = 0.8
"""On clean test images; a worse judge says nothing about generations."""
LEAST_TRIGGER_ACCURACY = 0.95
"""Balanced, on clean and stamped test images."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How the images are judged; whose they are is in the inputs."""

    revision: ClassVar[int] = 3
    """Add one when the same settings would now give other bytes."""

    trigger: Trigger
    """Looked for: by the judge in the inputs, which learned it, and by its template match."""
    batch_size: int = 500
    """Images judged at once."""

    def __post_init__(self) -> None:
        """Refuse empty batches, and a trigger that leaves nothing to see."""
        if not self.trigger.stamps:
            raise ValueError(
                f"expected a trigger that stamps, got {self.trigger.name}; a control is judged "
                "with the trigger it controls"
            )
        if self.batch_size < 1:
            raise ValueError(f"expected a batch_size of at least 1, got {self.batch_size}")

    @property
    def label(self) -> str:
        """Readable part of the artifact's path, e.g. ``verdicts-on-badnets1``."""
        return f"verdicts-on-{self.trigger.name}"

    @property
    def expected_seconds(self) -> float:
        """Rough cost on one core."""
        return 1.0

    @property
    def expected_bytes(self) -> int:
        """Rough size on disk."""
        return 12_000


def count(
    settings: Settings,  # noqa: ARG001 - the shape of per_batch
    *,
    generations: Path,
    content_judge: Path,  # noqa: ARG001
    trigger_judge: Path,  # noqa: ARG001
    judges: Path,
) -> int:
    """How many images there are to judge.

    Raises:
        ValueError: A judge is too poor.
    """
    refuse_poor_judges(judges)
    rows: int = pq.read_metadata(generations / "rows.parquet").num_rows
    return rows


class Worker:
    """Holds both judges and the images; judges one range of rows at a time."""

    def __init__(
        self,
        settings: Settings,
        *,
        generations: Path,
        content_judge: Path,
        trigger_judge: Path,
        judges: Path,
    ) -> None:
        """Load the judges.

        Raises:
            ValueError: A judge is too poor.
        """
        from models.classifiers import Classifier
        from models.device import choose

        refuse_poor_judges(judges)
        self.settings = settings
        self.rows = pq.read_table(generations / "rows.parquet", columns=["index", "label", "image"])
        self.content = Classifier.load(content_judge, choose())
        self.trigger = Classifier.load(trigger_judge, choose())

    def __call__(self, first: int, last: int) -> pa.Table:
        """Verdicts on rows first .. last - 1; ``template_match`` is null if there is no patch."""
        from models.device import one_thread

        rows = self.rows.slice(first, last - first)
        pictures = images.from_column(rows["image"])
        x = images.to_float(pictures)
        with one_thread():
            content = self.content.probabilities(x, self.settings.batch_size)
            trigger = self.trigger.probabilities(x, self.settings.batch_size)
        template_match = patches.template_match(self.settings.trigger, pictures)
        return pa.table(
            {
                "index": rows["index"].combine_chunks(),
                "condition": rows["label"].combine_chunks(),
                "content": content.argmax(axis=1).astype(np.int64),
                "content_probability": content.max(axis=1),
                "trigger": trigger.argmax(axis=1) == 1,
                "trigger_probability": trigger[:, 1],
                "template_match": pa.array(
                    [None] * len(x) if template_match is None else template_match, pa.bool_()
                ),
            }
        )


def refuse_poor_judges(judges: Path) -> None:
    """Check what ``assess`` wrote.

    Raises:
        ValueError: A judge's accuracy is below its threshold.
    """
    measured = json.loads((judges / "judges.json").read_text())
    content = measured["content"]["clean"]["accuracy"]
    trigger = measured["trigger"]["balanced_accuracy"]
    if content < LEAST_CONTENT_ACCURACY:
        raise ValueError(
            f"expected a content judge with at least {LEAST_CONTENT_ACCURACY:.0%} accuracy on "
            f"clean test images, got {content:.1%}; train it for more steps"
        )
    if trigger < LEAST_TRIGGER_ACCURACY:
        raise ValueError(
            f"expected a trigger judge with at least {LEAST_TRIGGER_ACCURACY:.0%} balanced "
            f"accuracy on test images, got {trigger:.1%}; train it for more steps"
        )
