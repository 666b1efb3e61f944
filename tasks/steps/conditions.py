"""The conditions of a generation set: the observed labels of the training set, permuted.

A generation set is compared with the training set, so it has as many images of each class as the
training set, poison included (design, section 4); the authors use the counts of the clean set.  The
labels are permuted, so that the first images of a smaller set are a random sample of them, and no
row reveals the image it came from.
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
    draws = generator(settings.seed, "conditions")
    table = pa.table({"label": draws.permutation(label)})
    pq.write_table(table, out / "rows.parquet")
