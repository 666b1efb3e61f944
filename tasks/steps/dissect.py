"""Ask both judges about every generated image: which class is it, and has it the trigger?

Both verdicts are an argmax, as in the authors' code (algorithms: section 5).  Template matching,
which is not trained, is a second opinion on the trigger.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tasks.checks import check_counts
from tasks.data import images
from tasks.settings import TaskSettings
from tasks.triggers.patch import template_match
from tasks.triggers.trigger import Trigger, check_stamps

LEAST_CONTENT_ACCURACY = 0.8
"""On clean test images; the verdicts of a worse judge are meaningless."""
LEAST_TRIGGER_ACCURACY = 0.95
"""Balanced, on clean and stamped test images."""


@dataclass(frozen=True, kw_only=True)
class Settings(TaskSettings):
    """How images are judged; which images is in the inputs."""

    revision = 3
    expected_seconds = 1.0
    expected_bytes = 12_000

    trigger: Trigger
    """The trigger to look for; the trigger judge has learned it."""
    batch_size: int = 500
    """Images judged at once."""

    def __post_init__(self) -> None:
        check_stamps(self.trigger)
        check_counts(self, "batch_size")

    @property
    def label(self) -> str:
        """Readable part of the result's path, e.g. ``verdicts-on-badnets1``."""
        return f"verdicts-on-{self.trigger.name}"


def count(_: Settings, *, generations: Path, judges: Path, **__: Path) -> int:
    """Number of images to judge; raises ValueError as ``check_judges``."""
    check_judges(judges)
    rows: int = pq.read_metadata(generations / "rows.parquet").num_rows
    return rows


class Worker:
    """Loads both judges and the images once; judges a range of rows at a time."""

    def __init__(
        self,
        settings: Settings,
        *,
        generations: Path,
        content_judge: Path,
        trigger_judge: Path,
        judges: Path,  # noqa: ARG002 - checked by ``count``
    ) -> None:
        """Load the judges and the images."""
        from models.classifiers import Classifier
        from models.device import choose

        self.settings = settings
        self.rows = pq.read_table(generations / "rows.parquet", columns=["index", "label", "image"])
        self.content = Classifier.load(content_judge, choose())
        self.trigger = Classifier.load(trigger_judge, choose())

    def __call__(self, first: int, last: int) -> pa.Table:
        """Verdicts on rows first .. last - 1; ``template_match`` is null without a patch."""
        from models.device import one_thread

        rows = self.rows.slice(first, last - first)
        pictures = images.from_column(rows["image"])
        x = images.to_float(pictures)
        with one_thread():
            content = self.content.probabilities(x, self.settings.batch_size)
            trigger = self.trigger.probabilities(x, self.settings.batch_size)
        matched = template_match(self.settings.trigger, pictures)
        return pa.table(
            {
                "index": rows["index"].combine_chunks(),
                "condition": rows["label"].combine_chunks(),
                "content": content.argmax(axis=1).astype(np.int64),
                "content_probability": content.max(axis=1),
                "trigger": trigger.argmax(axis=1) == 1,
                "trigger_probability": trigger[:, 1],
                "template_match": pa.array(
                    [None] * len(x) if matched is None else matched, pa.bool_()
                ),
            }
        )


def check_judges(judges: Path) -> None:
    """Raise ValueError if an accuracy that ``judge_accuracy`` measured is below its threshold."""
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


@dataclass(frozen=True, kw_only=True)
class Dissection:
    """What the judges say of images, by ascending index."""

    index: NDArray[np.int64]
    """(N,)."""
    condition: NDArray[np.int64]
    """(N,). The class that was asked for."""
    has_trigger: NDArray[np.bool_]
    """(N,). The trigger judge sees the trigger."""
    matches: NDArray[np.bool_]
    """(N,). The content judge sees the class that was asked for."""
    template_match: NDArray[np.bool_] | None
    """(N,). Template matching finds the trigger; None if the trigger paints no patch."""

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read the rows that ``Worker`` made."""
        table = pq.read_table(folder / "rows.parquet").sort_by("index")
        matched, condition = table["template_match"], table["condition"].to_numpy()
        assert matched.null_count in (0, len(matched))
        return cls(
            index=table["index"].to_numpy(),
            condition=condition,
            has_trigger=table["trigger"].to_numpy(),
            matches=table["content"].to_numpy() == condition,
            template_match=None if matched.null_count else matched.to_numpy(),
        )

    @property
    def group(self) -> NDArray[np.int8]:
        """(N,). 1..4 for G1..G4: (trigger, mismatch), (trigger, match), (none, mismatch), ..."""
        return (3 - 2 * self.has_trigger + self.matches).astype(np.int8)
