"""Turn a generation set into a dataset, to train a classifier on it (paper, section 5).

Each image gets the label that was asked for, whatever it shows; a defender knows nothing else.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.checks import check_counts
from tasks.data import datasets, images
from tasks.settings import TaskSettings


@dataclass(frozen=True, kw_only=True)
class Settings(TaskSettings):
    """Size of the generation set, by which a training on it is planned."""

    revision = 2

    n: int
    """Images of the generation set, at least 1."""
    image_size: int
    """Pixels a side; the dataset's."""
    channels: int
    """1 (gray) or 3 (RGB); the dataset's."""

    def __post_init__(self) -> None:
        check_counts(self, "n", "image_size")

    @property
    def label(self) -> str:
        """Readable part of the result's path, e.g. ``generations-n1437``."""
        return f"generations-n{self.n}"

    @property
    def expected_seconds(self) -> float:
        """Rough time on one core."""
        return 0.5 + 2e-8 * self.n * (self.image_size**2 * self.channels + 1000)

    @property
    def expected_bytes(self) -> int:
        """Rough size on disk."""
        return (self.image_size**2 * self.channels + 200) * self.n

    def counts(self) -> Mapping[str, tuple[int, ...]]:
        """Images in ``train`` and in ``test``, all classes together; their counts are unknown."""
        return {"train": (self.n,), "test": (0,)}


def run(settings: Settings, *, generations: Path, dataset: Path, out: Path) -> None:
    """Write ``train.parquet``, ``test.parquet`` and ``classes.json``, as a dataset does.

    An image is the PNG that was sampled, its label the condition, its caption that of the class in
    ``dataset``, which the model was trained on.  ``test.parquet`` has no rows: a classifier is
    tested on the images of ``dataset``.  Raises ValueError for another number of images.
    """
    classes = datasets.read_classes(dataset)
    rows = pq.read_table(generations / "rows.parquet").sort_by("index")
    if rows.num_rows != settings.n:
        raise ValueError(f"expected {settings.n} generations, got {rows.num_rows}")
    labels = rows["label"].to_numpy()
    captions = [datasets.caption(classes.names[label]) for label in labels]
    asked = rows.set_column(
        rows.schema.get_field_index("caption"), "caption", pa.array(captions, pa.string())
    )
    schema = images.schema(classes.names)
    columns = asked.select(schema.names).cast(schema)
    pq.write_table(columns, out / "train.parquet", row_group_size=datasets.ROW_GROUP)
    pq.write_table(schema.empty_table(), out / "test.parquet")
    counts = np.bincount(labels, minlength=len(classes.names)).tolist()
    record = {
        "names": list(classes.names),
        "image_size": classes.image_size,
        "channels": classes.channels,
        "counts": {"train": counts, "test": [0] * len(classes.names)},
    }
    (out / "classes.json").write_text(json.dumps(record, indent=1) + "\n")
