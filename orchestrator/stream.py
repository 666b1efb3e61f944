"""Stream a dataset into a training, stamped and relabelled on the way.

The *clean* dataset is read once per run and the manifest says what becomes of each row, so twenty
poison ratios store the images once.  The training sees stamped images and labels and nothing else.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from tasks import images, poison
from tasks.batches import Held

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = ("index", "label", "image")
"""Columns of the dataset that a training needs."""
ROWS_AT_ONCE = 4096


class Rows(Protocol):
    """A clean training set that can be iterated, wherever it lies."""

    def tables(self) -> Iterator["pa.Table"]:
        """Yield every row once, in blocks of any order."""
        ...


@dataclass(frozen=True)
class ParquetRows:
    """Rows read from a dataset step's folder."""

    folder: Path

    def tables(self) -> Iterator["pa.Table"]:
        """Yield blocks of the file's rows."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        with pq.ParquetFile(self.folder / "train.parquet") as file:
            for batch in file.iter_batches(ROWS_AT_ONCE, columns=list(COLUMNS)):
                yield pa.Table.from_batches([batch])


@dataclass(frozen=True)
class RayRows:
    """Rows held in the cluster's object store, or a Ray Train worker's view of them."""

    source: Any
    """A materialized ``ray.data.Dataset`` or a ``ray.data.DataIterator``."""

    def tables(self) -> Iterator["pa.Table"]:
        """Yield blocks; without prefetching, whose threads would take the only core."""
        yield from self.source.iter_batches(
            batch_size=ROWS_AT_ONCE, batch_format="pyarrow", prefetch_batches=0
        )


def hold(
    rows: Rows,
    manifest: Path | None,
    *,
    batch_size: int,
    seed: int,
    rank: int = 0,
    workers: int = 1,
) -> Held:
    """Stamp a dataset as it streams by and hold it in memory as uint8.

    Args:
        rows: The clean training set.
        manifest: The folder of the manifest step, or None to train on it as it is.
        batch_size: Images of a global batch.
        seed: Orders the images, anew for every epoch.
        rank: This worker among the data-parallel ones.
        workers: How many there are.

    Returns:
        What a ``fit`` is given as ``batches``, in the order of ``index`` however the blocks came.

    Raises:
        ValueError: The workers cannot share the batch, or the manifest is another dataset's.
    """
    listed = None if manifest is None else poison.Manifest.read(manifest)
    parts = []
    for table in rows.tables():
        index, label = table["index"].to_numpy(), table["label"].to_numpy()
        image = images.from_column(table["image"])
        if listed is not None:
            image, label = poison.stamp(index, image, label, listed)
        parts.append((index, image, label))
    index, image, label = (np.concatenate(column) for column in zip(*parts, strict=True))
    order = np.argsort(index, kind="stable")
    return Held(
        index=index[order],
        image=image[order],
        label=label[order],
        batch_size=batch_size,
        seed=seed,
        rank=rank,
        workers=workers,
    )
