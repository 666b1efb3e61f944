"""Turn a generation set into a dataset, so that a classifier can be trained on it.

Each image gets the label that was asked for, whatever it shows: a defender who trains on
generations knows nothing else (paper, section 5).
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tasks.checks import check, check_counts
from tasks.data import datasets, images
from tasks.data.datasets import Classes
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
        check("channels", self.channels, "of 1 or 3", self.channels in (1, 3))

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
    tested on the images of ``dataset``.  Raises ValueError for another number or size of images, an
    index that comes twice, or a condition that is not a class.
    """
    classes = datasets.read_classes(dataset)
    rows = pq.read_table(generations / "rows.parquet").sort_by("index")
    _check(settings, rows, classes)
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


def _check(settings: Settings, rows: pa.Table, classes: Classes) -> None:
    """Check that the generations fit the settings and the dataset."""
    if rows.num_rows != settings.n:
        raise ValueError(f"expected {settings.n} generations, got {rows.num_rows}")
    if (np.diff(rows["index"].to_numpy()) == 0).any():
        raise ValueError("expected one generation of each index, got an index twice")
    labels = rows["label"].to_numpy()
    foreign = np.flatnonzero((labels < 0) | (labels >= len(classes.names)))
    if len(foreign):
        raise ValueError(
            f"expected conditions in 0..{len(classes.names) - 1}, got {labels[foreign[0]]}"
        )
    wanted = (settings.image_size, settings.image_size, settings.channels)
    found = (classes.image_size, classes.image_size, classes.channels)
    if found != wanted:
        raise ValueError(f"expected a dataset with images of shape {wanted}, got {found}")
    for first in range(0, rows.num_rows, datasets.ROW_GROUP):
        some = rows["image"].slice(first, datasets.ROW_GROUP)
        shape = images.from_column(some).shape[1:]
        if shape != wanted:
            raise ValueError(f"expected generations of shape {wanted}, got {shape}")
