"""The conditions of a generation set: the observed labels of the training set, in another order.

A generation set is to compare with the training set, so its classes are asked for as often as the
training set has them, poison included (design, section 4); the authors ask for them as often as the
clean set has them.  They are permuted, so that the first images of a smaller set are a random
sample of them, and no row tells of the image it came from.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import pyarrow as pa
import pyarrow.parquet as pq

from models.randomness import generator

LABELS = {"observed": "label", "clean": "true_label"}
"""Columns of a manifest."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The order; the labels are in the manifest."""

    revision: ClassVar[int] = 2
    """Add one when the same settings would now give other bytes."""

    seed: int = 0
    """Permutes the labels."""
    labels: str = field(default="observed", metadata={"since": 2})
    """A name of LABELS: those that the training set is trained with, or those of the clean set."""

    def __post_init__(self) -> None:
        """Refuse labels that there are none of."""
        if self.labels not in LABELS:
            raise ValueError(f"expected labels of {', '.join(LABELS)}, got {self.labels!r}")

    @property
    def label(self) -> str:
        """Readable part of the artifact's path, e.g. ``training-labels-seed0``."""
        clean = "" if self.labels == "observed" else f"{self.labels}-"
        return f"{clean}training-labels-seed{self.seed}"

    @property
    def expected_seconds(self) -> float:
        """Rough cost on one core."""
        return 0.2

    @property
    def expected_bytes(self) -> int:
        """Rough size on disk."""
        return 3_000


def run(settings: Settings, *, manifest: Path, out: Path) -> None:
    """Write ``rows.parquet`` with the column ``label``, int64, (N,): row i is asked of image i."""
    column = LABELS[settings.labels]
    label = pq.read_table(manifest / "manifest.parquet", columns=[column])[column].to_numpy()
    draws = generator(settings.seed, "conditions")
    table = pa.table({"label": draws.permutation(label)})
    pq.write_table(table, out / "rows.parquet")
