"""Stream a clean dataset into a training or a detector, stamped and relabelled on the way.

A training set of at most ``settings.window_bytes`` as uint8 is held in memory.  A larger one is
read again every epoch, window by window, from the dataset's file: by ``feed`` on other CPUs, or in
the training's process.  Both learn in the order of ``batches.windows``, whatever the placement.
"""

import math
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from orchestrator.store.copies import cache
from tasks.data import datasets, images
from tasks.latent import encode
from tasks.steps import poison
from tasks.steps.batches import (
    Batch,
    Batches,
    Held,
    ReadRows,
    Restreamed,
    Wanted,
    empty,
    part,
    place,
)

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_AT_ONCE = datasets.ROW_GROUP  # rows whose PNGs are in flight at once
LEFT_FREE = 2 * 2**30
"""Bytes of a disk that decoded images leave to others."""
DECODED_AT_ONCE = 16 * 2**20
"""Bytes of images that are decoded at once, beside the room that they are decoded for."""


@dataclass(frozen=True)
class TrainingSet:
    """What there is to train on: images of a dataset, or moments of their latents."""

    file: Path
    """Parquet."""
    count: int
    """Rows."""
    shape: tuple[int, int, int]
    """(H, W, C) of each image, or (2 C, h, w) of its moments."""
    latent: bool = False

    @classmethod
    def of(cls, folder: Path) -> Self:
        """Of the folder of a dataset step, or of ``encode``."""
        import pyarrow.parquet as pq

        if (file := folder / "rows.parquet").exists():
            rows = pq.read_metadata(file).num_rows
            return cls(file, rows, encode.shape_of(folder), latent=True)
        classes = datasets.read_classes(folder)
        shape = (classes.image_size, classes.image_size, classes.channels)
        return cls(folder / "train.parquet", sum(classes.counts["train"]), shape)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that a training needs."""
        return encode.COLUMNS if self.latent else ("index", "label", "image")

    def empty(self, n: int) -> Batch:
        """Room for rows."""
        like = Batch(index=np.empty(0, np.int64), label=np.empty(0, np.int64), image=np.empty(0))
        like["image"] = np.empty((0, *self.shape), np.float16 if self.latent else np.uint8)
        if self.latent:
            like["caption"] = np.empty(0, object)
        return empty(n, like)

    def exceeds(self, window_bytes: int) -> bool:
        """Whether the images are more than may be held at once."""
        return self.count * self.empty(1)["image"].nbytes > window_bytes


Read = Callable[["pa.Table"], Iterator[Batch]]
"""Reads the rows of a table as a training is given them, poisoned, a part at a time."""


def reading(whole: TrainingSet, manifest: Path | None, stamped_moments: Path | None) -> Read:
    """How rows of a training set are read; raises ValueError as ``Manifest.read``."""
    if whole.latent:
        return encode.Moments.open(whole.shape, manifest, stamped_moments).read
    listed = None if manifest is None else poison.Manifest.read(manifest)
    return lambda table: stamped(table, listed, whole.shape)


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

        whole = TrainingSet.of(self.folder)
        with pq.ParquetFile(whole.file) as file:
            for batch in file.iter_batches(ROWS_AT_ONCE, columns=list(whole.columns)):
                yield pa.Table.from_batches([batch])


@dataclass(frozen=True)
class RayRows:
    """Rows in the cluster's object store: a ``ray.data.Dataset`` or a ``DataIterator``."""

    source: Any

    def tables(self) -> Iterator["pa.Table"]:
        """Yield blocks; without prefetching, whose threads would take the only core."""
        yield from self.source.iter_batches(
            batch_size=ROWS_AT_ONCE, batch_format="pyarrow", prefetch_batches=0
        )


def batches(
    settings: Any,
    dataset: Path,
    manifest: Path | None,
    rows: Rows | None = None,
    *,
    stamped_moments: Path | None = None,
    rank: int = 0,
    workers: int = 1,
    read: ReadRows | None = None,
    keep: bool = False,
) -> Batches:
    """What a ``fit`` with these settings is given.

    Of a set that is not held, ``read`` may read the file elsewhere; with ``keep``, images that are
    decoded here are kept on disk.  Raises ValueError if the workers cannot share the batch, the
    manifest is another dataset's, or there are other rows than ``classes.json`` counts.
    """
    whole = TrainingSet.of(dataset)
    shared: dict[str, Any] = {"batch_size": settings.batch_size, "seed": settings.seed}
    shared |= {"rank": rank, "workers": workers}
    if not whole.exceeds(settings.window_bytes):
        poisoned = reading(whole, manifest, stamped_moments)
        return Held(**_held(rows or ParquetRows(dataset), poisoned, whole), **shared)
    groups = RowGroups.open(dataset, manifest, stamped_moments, keep=keep)
    return Restreamed(
        read=read or groups,
        groups=groups.sizes,
        window=settings.window_bytes // whole.empty(1)["image"].nbytes,
        like=whole.empty(0),
        ahead=read is not None,
        **shared,
    )


def _held(rows: Rows, read: Read, whole: TrainingSet) -> Batch:
    """Stamp a dataset as it streams by, and hold it, by ascending index."""
    room = whole.empty(whole.count)
    seen = 0
    for table in rows.tables():
        for found in read(table):
            after = seen + len(found["index"])
            if after <= whole.count:
                place(room, slice(seen, after), found)
            seen = after
    _refuse_other_count(seen, whole)
    if (np.diff(room["index"]) < 0).any():  # blocks may come in any order
        return part(room, np.argsort(room["index"], kind="stable"))
    return room


def _refuse_other_count(seen: int, whole: TrainingSet) -> None:
    if seen != whole.count:
        raise ValueError(f"expected {whole.count} images, as classes.json counts, got {seen}")


def write_training_set(folder: Path, dataset: Path, manifest: Path | None) -> None:
    """Write a training set as the defender has it to ``rows.parquet``, by ascending index.

    Columns and metadata are ``images.DATASET_SCHEMA``'s, but there is no caption and no file name,
    which may tell a true class, and every image is encoded anew: nothing but pixels and labels
    depends on what is poisoned.  Raises ValueError as ``batches`` does.
    """
    import pyarrow.parquet as pq

    whole = TrainingSet.of(dataset)
    listed = None if manifest is None else poison.Manifest.read(manifest)
    seen, last = 0, -1
    with pq.ParquetWriter(folder / "rows.parquet", images.DATASET_SCHEMA) as writer:
        for table in ParquetRows(dataset).tables():
            for found in stamped(table, listed, whole.shape):
                index = found["index"]
                ascending = last < index[0] and (np.diff(index) > 0).all()
                assert ascending, f"image {last} is not before those that follow"
                seen, last = seen + len(index), int(index[-1])
                unsaid = [None] * len(index)
                pixels, label = found["image"], found["label"]
                table = images.to_table(index=index, label=label, caption=unsaid, images=pixels)
                writer.write_table(table)
    _refuse_other_count(seen, whole)


def stamped(
    table: "pa.Table", listed: poison.Manifest | None, shape: tuple[int, int, int]
) -> Iterator[Batch]:
    """Decode the rows of a table and poison those that are listed so, a part at a time."""
    for some in _at_once(table.num_rows, shape):
        rows = table.slice(some.start, some.stop - some.start)
        index, label = rows["index"].to_numpy(), rows["label"].to_numpy()
        yield _poisoned(index, _decoded(rows, shape), label, listed)


def _at_once(rows: int, shape: tuple[int, int, int]) -> Iterator[slice]:
    """Rows whose images are decoded together."""
    most = max(1, DECODED_AT_ONCE // math.prod(shape))
    for first in range(0, rows, most):
        yield slice(first, min(first + most, rows))


def _decoded(table: "pa.Table", shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    image = images.from_column(table["image"])
    if image.shape[1:] != shape:
        raise ValueError(f"expected images of shape {shape}, got {image.shape[1:]}")
    return image


def _poisoned(
    index: NDArray[np.int64],
    image: NDArray[np.uint8],
    label: NDArray[np.int64],
    listed: poison.Manifest | None,
) -> Batch:
    if listed is not None:
        image, label = poison.stamp(index, image, label, listed)
    return Batch(index=index, image=image, label=label)


@dataclass(frozen=True)
class Decoded:
    """Images of one dataset, decoded, on this machine's disk: clean, a file a row group.

    They lie below ``$CASTLEWALLS_CACHE``, or else ``~/.cache/castlewalls``, and stay there for the
    next training on the same dataset.
    """

    folder: Path

    @classmethod
    def of(cls, dataset: Path) -> "Decoded":
        """Of a dataset step's folder, whose name holds its digest."""
        return cls(cache() / "decoded" / dataset.name)

    def images(
        self, group: int, shape: tuple[int, ...], decode: Callable[[], NDArray[np.uint8]]
    ) -> NDArray[np.uint8]:
        """A row group's images, uint8, of this shape, (N, H, W, C), read as they are looked at.

        They are what ``decode`` returns, which is called if they are not here, and kept if there is
        room.
        """
        file = self.folder / f"{group}.npy"
        with suppress(OSError, ValueError, EOFError):
            kept = np.load(file, mmap_mode="r", allow_pickle=False)
            if (kept.shape, kept.dtype) == (shape, np.uint8):
                return np.asarray(kept)
        decoded = decode()
        with suppress(OSError):  # a disk that is full or cannot be written to: decode again
            self.folder.mkdir(parents=True, exist_ok=True)
            if shutil.disk_usage(self.folder).free > decoded.nbytes + LEFT_FREE:
                aside = self.folder / f".{uuid.uuid4().hex}.npy"
                try:
                    np.save(aside, decoded)
                    aside.replace(file)
                finally:
                    aside.unlink(missing_ok=True)
        return decoded


_SOURCES: WeakKeyDictionary["RowGroups", tuple[Any, ...]] = WeakKeyDictionary()
"""Training set, its file's metadata, manifest, how rows are read, and kept images, of each, where
no trainer finds them."""


class RowGroups:
    """Reads rows of a training set's file in this process; a ``ReadRows``."""

    sizes: tuple[int, ...]
    """Rows of each row group."""
    image_bytes: int
    """Of an image, decoded."""

    @classmethod
    def open(
        cls,
        dataset: Path,
        manifest: Path | None,
        stamped_moments: Path | None = None,
        *,
        keep: bool = False,
    ) -> Self:
        """Of the folders of a training set's streams.

        With ``keep``, images are kept decoded on this machine's disk.
        """
        import pyarrow.parquet as pq

        whole = TrainingSet.of(dataset)
        metadata = pq.read_metadata(whole.file)
        made = cls()
        groups = map(metadata.row_group, range(metadata.num_row_groups))
        made.sizes = tuple(group.num_rows for group in groups)
        made.image_bytes = whole.empty(1)["image"].nbytes
        kept = Decoded.of(dataset) if keep and not whole.latent else None
        listed = poison.Manifest.read(manifest) if kept and manifest else None
        _SOURCES[made] = whole, metadata, listed, reading(whole, manifest, stamped_moments), kept
        return made

    def __call__(self, epochs: Iterator[list[Wanted]]) -> Iterator[Batch]:
        """What each epoch wants, in order, stamped, in parts of one row group each."""
        for group, rows in chain.from_iterable(epochs):
            yield from self.rows(group, rows)

    def rows(self, group: int, rows: NDArray[np.int64]) -> Iterator[Batch]:
        """The ``rows`` of row group ``group``, numbered within it, stamped, in parts."""
        import pyarrow.parquet as pq

        whole, metadata, listed, as_trained, kept = _SOURCES[self]

        def read(columns: Sequence[str]) -> "pa.Table":
            with pq.ParquetFile(whole.file, metadata=metadata) as file:
                return file.read_row_group(group, columns=list(columns), use_threads=False)

        if kept is None:
            yield from as_trained(read(whole.columns).take(rows))
            return
        shape = whole.shape
        clean = kept.images(
            group, (self.sizes[group], *shape), lambda: _decoded(read(["image"]), shape)
        )
        table = read(["index", "label"]).take(rows)
        index, label = table["index"].to_numpy(), table["label"].to_numpy()
        for some in _at_once(len(rows), shape):
            yield _poisoned(index[some], clean[rows[some]], label[some], listed)
