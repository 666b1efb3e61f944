"""The conditions of a generation set: the observed labels of the training set, permuted.

The authors use those of the clean set.  A permutation makes the first images of a smaller set a
random sample, and no row reveals the image it came from.
"""

from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from models.randomness import generator
from tasks.checks import check_name
from tasks.settings import TaskSettings

LABELS = {"observed": "label", "clean": "true_label"}
"""Columns of a manifest."""


@dataclass(frozen=True, kw_only=True)
class Settings(TaskSettings):
    """Which labels, in which order."""

    revision = 2
    expected_seconds = 0.2
    expected_bytes = 3_000

    seed: int = 0
    """Seed of the permutation."""
    labels: str = field(default="observed", metadata={"since": 2})
    """A name of LABELS: the labels of the poisoned training set, or of the clean one."""

    def __post_init__(self) -> None:
        check_name("labels", self.labels, list(LABELS))

    @property
    def label(self) -> str:
        """Readable part of the result's path, e.g. ``training-labels-seed0``."""
        clean = "" if self.labels == "observed" else f"{self.labels}-"
        return f"{clean}training-labels-seed{self.seed}"


def run(settings: Settings, *, manifest: Path, out: Path) -> None:
    """Write ``rows.parquet`` with the column ``label``, int64, (N,): the condition of image i."""
    column = LABELS[settings.labels]
    label = pq.read_table(manifest / "manifest.parquet", columns=[column])[column].to_numpy()
    order = generator(settings.seed, "conditions").permutation(label)
    pq.write_table(pa.table({"label": order}), out / "rows.parquet")
