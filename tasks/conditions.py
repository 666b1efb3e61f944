"""The conditions of a generation set: the observed labels of the training set, in another order.

A generation set is to compare with the training set, so its classes are asked for as often as the
training set has them, poison included (design, section 4).  They are permuted, so that the first
images of a smaller set are a random sample of them, and no row tells of the image it came from.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The order; the labels are in the manifest."""

    revision: ClassVar[int] = 1
    """Add one when the same settings would now give other bytes."""

    seed: int = 0
    """Permutes the labels."""

    @property
    def label(self) -> str:
        """Readable part of the artifact's path, e.g. ``training-labels-seed0``."""
        return f"training-labels-seed{self.seed}"

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
    label = pq.read_table(manifest / "manifest.parquet", columns=["label"])["label"].to_numpy()
    draws = np.random.default_rng((settings.seed, *b"conditions"))  # not those of the poison
    table = pa.table({"label": draws.permutation(label)})
    pq.write_table(table, out / "rows.parquet")
