"""Labelled image datasets, and the step that writes one to Parquet.

A dataset is a frozen dataclass; its fields are its identity.  Adding one: write the class, list it
in ``DATASETS``, and the tests in ``tests/tasks/test_datasets.py`` pick it up.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final, Protocol

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tasks import images

ROW_GROUP: Final = 1024
"""Rows of a Parquet row group: what a larger dataset is re-streamed and permuted by."""

TEST_SHARE: Final = 0.2
"""Fraction of Digits held out, in every class alike."""


@dataclass(frozen=True)
class Split:
    """One part of a dataset."""

    images: NDArray[np.uint8]
    """(N, H, W, C)."""
    labels: NDArray[np.int64]
    """(N,). 0..classes-1."""
    index: NDArray[np.int64]
    """(N,). Unique over all parts, ascending."""


class Dataset(Protocol):
    """A labelled image dataset with a fixed training and test part."""

    name: ClassVar[str]
    image_size: ClassVar[int]
    channels: ClassVar[int]
    class_names: ClassVar[tuple[str, ...]]

    def splits(self) -> Mapping[str, Split]:
        """The parts ``train`` and ``test``; the second is never trained on."""
        ...


@dataclass(frozen=True, kw_only=True)
class Digits:
    """Handwritten digits that ship with scikit-learn: 1,797 grey images of 8x8 pixels.

    Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998 (its
    test part); levels 0..16 are scaled to 0..255.
    """

    revision: ClassVar[int] = 1
    name: ClassVar[str] = "digits"
    image_size: ClassVar[int] = 8
    channels: ClassVar[int] = 1
    class_names: ClassVar[tuple[str, ...]] = tuple("0123456789")

    @property
    def label(self) -> str:
        """Readable part of the artifact's path."""
        return self.name

    @property
    def expected_seconds(self) -> float:
        """Rough cost on one core."""
        return 2.0

    @property
    def expected_bytes(self) -> int:
        """Rough size on disk."""
        return 400_000

    def splits(self) -> Mapping[str, Split]:
        """1,437 training and 360 test images."""
        from sklearn.datasets import load_digits

        bunch = load_digits()
        levels = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[..., None]
        labels = bunch.target.astype(np.int64)
        held_out = hold_out(labels, share=TEST_SHARE)
        parts = {"train": np.flatnonzero(~held_out), "test": np.flatnonzero(held_out)}
        return {name: Split(levels[rows], labels[rows], rows) for name, rows in parts.items()}


DATASETS: tuple[type[Dataset], ...] = (Digits,)


def hold_out(labels: NDArray[np.int64], *, share: float) -> NDArray[np.bool_]:
    """Choose a test part that is stratified, and the same for every seed of a study.

    Class sizes times ``share`` are rounded by largest remainder, so that the whole is
    ``ceil(share * N)`` exactly, as scikit-learn counts.

    Args:
        labels: int64, (N,).
        share: Fraction to hold out, 0..1.

    Returns:
        bool, (N,). True where the image is held out.
    """
    names, sizes = np.unique(labels, return_counts=True)
    exact = share * sizes
    counts = np.floor(exact).astype(np.int64)
    missing = math.ceil(share * len(labels)) - int(counts.sum())
    counts[np.argsort(counts - exact, kind="stable")[:missing]] += 1
    generator = np.random.default_rng(0)
    mask = np.zeros(len(labels), dtype=np.bool_)
    for name, count in zip(names, counts, strict=True):
        mask[generator.permutation(np.flatnonzero(labels == name))[:count]] = True
    return mask


def caption(class_name: str) -> str:
    """The paper's prompt; always "a", whatever the class (section 3 and appendix A)."""
    return f"A photo of a {class_name}"


def run(settings: Dataset, *, out: Path) -> None:
    """Write ``train.parquet``, ``test.parquet`` and ``classes.json``."""
    counts = {}
    for part, split in settings.splits().items():
        captions = [caption(settings.class_names[label]) for label in split.labels]
        table = images.to_table(
            index=split.index, label=split.labels, caption=captions, images=split.images
        )
        pq.write_table(table, out / f"{part}.parquet", row_group_size=ROW_GROUP)
        per_class = np.bincount(split.labels, minlength=len(settings.class_names))
        counts[part] = [int(count) for count in per_class]
    classes = {
        "names": list(settings.class_names),
        "image_size": settings.image_size,
        "channels": settings.channels,
        "counts": counts,
    }
    (out / "classes.json").write_text(json.dumps(classes, indent=1) + "\n")


@dataclass(frozen=True)
class Classes:
    """What ``classes.json`` says."""

    names: tuple[str, ...]
    image_size: int
    channels: int
    counts: Mapping[str, tuple[int, ...]]

    def position(self, name: str) -> int:
        """The label of class ``name``.

        Raises:
            ValueError: There is no such class.
        """
        if name not in self.names:
            raise ValueError(f"expected one of the classes {', '.join(self.names)}, got {name!r}")
        return self.names.index(name)


def read_classes(dataset: Path) -> Classes:
    """Read the class names, sizes and counts of a dataset's folder."""
    record = json.loads((dataset / "classes.json").read_text())
    return Classes(
        names=tuple(record["names"]),
        image_size=record["image_size"],
        channels=record["channels"],
        counts={part: tuple(counts) for part, counts in record["counts"].items()},
    )


def read_split(dataset: Path, part: str) -> Split:
    """Read the images of part ``train`` or ``test`` of a dataset's folder."""
    table = pq.read_table(dataset / f"{part}.parquet", columns=["index", "label", "image"])
    return Split(
        images.from_column(table["image"]),
        table["label"].to_numpy(),
        table["index"].to_numpy(),
    )
