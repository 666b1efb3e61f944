"""The manifest a trigger judge is trained with: half of all images stamped, label 1 or 0.

The paper stamps half of the *non-target* images and calls them positives, so that the target class
is never positive and the judge may use content (algorithms: appendix A.4 and the authors' code).
Ours are drawn from every class.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow.parquet as pq

from models.randomness import generator
from tasks import triggers
from tasks.steps import poison
from tasks.triggers import Trigger


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Which trigger the judge learns, and on which images it sees it."""

    revision: ClassVar[int] = 2
    """Add one when the same settings would now give other bytes."""

    trigger: Trigger
    """Stamped onto half of the images."""
    seed: int = 0
    """Chooses which half."""

    def __post_init__(self) -> None:
        """Refuse a trigger that leaves nothing to see."""
        if not self.trigger.stamps:
            raise ValueError(
                f"expected a trigger that stamps, got {self.trigger.name}; a control is judged "
                "with the trigger it controls"
            )

    @property
    def label(self) -> str:
        """Readable part of the artifact's path, e.g. ``badnets1-seed0``."""
        return f"{self.trigger.name}-seed{self.seed}"

    @property
    def expected_seconds(self) -> float:
        """Rough cost on one core."""
        return 0.5

    @property
    def expected_bytes(self) -> int:
        """Rough size on disk."""
        return 30_000


def run(settings: Settings, *, dataset: Path, out: Path) -> None:
    """Write ``manifest.parquet`` and ``manifest.json`` for the training part of ``dataset``."""
    table = pq.read_table(dataset / "train.parquet", columns=["index", "label", "caption"])
    n = table.num_rows
    stamped = np.zeros(n, dtype=np.bool_)
    stamped[generator(settings.seed, "marking").permutation(n)[: n // 2]] = True
    captions = table["caption"].to_pylist()
    poison.write_manifest(
        out,
        index=table["index"].to_numpy(),
        label=stamped.astype(np.int64),
        true_label=table["label"].to_numpy(),
        poisoned=stamped,
        caption=captions,
        true_caption=captions,
        record={
            "trigger": triggers.to_record(settings.trigger),
            "count": int(stamped.sum()),
            "n": n,
        },
    )
