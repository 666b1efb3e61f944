"""The manifest that a trigger judge is trained with: half of all images stamped, label 1 or 0.

They are drawn from every class.  The paper's are not of the target class, so that its judge may use
content (algorithms: appendix A.4 and the authors' code).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from models.randomness import generator
from tasks import triggers
from tasks.settings import TaskSettings
from tasks.steps import poison
from tasks.triggers.trigger import Trigger, check_stamps


@dataclass(frozen=True, kw_only=True)
class Settings(TaskSettings):
    """The trigger that the judge learns, and on which images."""

    revision = 2
    expected_seconds = 0.5
    expected_bytes = 30_000

    trigger: Trigger
    """Stamped onto half of the images."""
    seed: int = 0
    """Seed of the choice of images."""

    def __post_init__(self) -> None:
        check_stamps(self.trigger)

    @property
    def label(self) -> str:
        """Readable part of the result's path, e.g. ``badnets1-seed0``."""
        return f"{self.trigger.name}-seed{self.seed}"


def run(settings: Settings, *, dataset: Path, out: Path) -> None:
    """Write ``manifest.parquet`` and ``manifest.json`` for the training part of ``dataset``."""
    table = pq.read_table(dataset / "train.parquet", columns=["index", "label", "caption"])
    n = table.num_rows
    stamped = np.zeros(n, dtype=np.bool_)
    stamped[generator(settings.seed, "marking").permutation(n)[: n // 2]] = True
    columns = {
        "index": table["index"],
        "label": stamped.astype(np.int64),
        "true_label": table["label"],
        "poisoned": stamped,
        "caption": table["caption"],
        "true_caption": table["caption"],
    }
    trigger = triggers.to_record(settings.trigger)
    poison.write_manifest(out, columns, {"trigger": trigger, "count": int(stamped.sum()), "n": n})
