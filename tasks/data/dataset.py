"""What a dataset is, and how a test part is held out of one."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from models.randomness import generator
from tasks.settings import TaskSettings

TASK: Final = "tasks.data.datasets"
"""Module of the task that writes any dataset; the ``task`` of each."""
PARTS: Final = ("train", "test")
"""The second is never trained on."""
ROW_GROUP: Final = 1024
"""Rows of a Parquet row group; a dataset larger than memory is read and permuted by row groups."""
TEST_SHARE: Final = 0.2
"""Fraction of each class that is held out of a dataset without a test part."""


@dataclass(frozen=True)
class Split:
    """Images of one part of a dataset."""

    images: NDArray[np.uint8]
    """(N, H, W, C)."""
    labels: NDArray[np.int64]
    """(N,). 0..classes-1."""
    index: NDArray[np.int64]
    """(N,). Unique over all parts, ascending."""
    path: Sequence[str] | None = None
    """N names of files, where the images come from a folder."""
    caption: Sequence[str] | None = None
    """N captions, where the dataset brings its own; None for the template of each class."""
    broken: tuple[tuple[str, str], ...] = ()
    """Names of files that do not decode and so are missing here, and why not."""
    turned_grey: int = 0
    """How many of the N images lost their colors, in a gray dataset."""


class Dataset(Protocol):
    """A labelled image dataset with a fixed training and test part.

    A frozen dataclass of ``TaskSettings`` whose ``task`` is TASK.
    """

    @property
    def name(self) -> str:
        """One word, for a command line."""

    @property
    def image_size(self) -> int:
        """Pixels a side."""

    @property
    def channels(self) -> int:
        """1 (gray) or 3 (RGB)."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """Name of each label."""

    @property
    def skip_broken(self) -> bool:
        """Whether to leave out files that do not decode, instead of failing."""

    def counts(self) -> Mapping[str, tuple[int, ...]]:
        """Images of each class in ``train`` and in ``test``, without decoding any.

        Broken files are still counted here; ``classes.json`` counts what was written.
        """

    def blocks(self, part: str) -> Iterator[Split]:
        """Yield the images of a part, at most ``ROW_GROUP`` at a time, by ascending index."""


@dataclass(frozen=True, kw_only=True)
class OfficialFiles(TaskSettings, ABC):
    """A dataset that is published as a few files, with as many images of every class.

    They may be missing while planning; other files of their format make another dataset.
    """

    task = TASK
    name: ClassVar[str]
    skip_broken: ClassVar[bool] = False
    per_class: ClassVar[Mapping[str, int]]
    """Images of every class in each part of the official files."""
    cost: ClassVar[tuple[float, int]]
    """Seconds on one core and bytes on disk of an image, about."""
    folder: str = field(default="", metadata={"identity": False})
    """Where the files lie or are downloaded to, absolute."""
    download: bool = field(default=False, metadata={"identity": False})
    """Whether to download missing files."""
    subset: str = ""
    """A digest of what the files hold; empty for the official files."""

    title: ClassVar[str]
    """What messages call the files."""

    @classmethod
    def open(cls, folder: Path, *, download: bool = False) -> Self:
        """Look at the files, which may be missing; raises ValueError if they are no such files."""
        folder = folder.resolve()
        return cls(folder=str(folder), download=download, subset=cls.digest(folder))

    @staticmethod
    @abstractmethod
    def digest(folder: Path) -> str:
        """What ``subset`` is of the files in a folder."""

    @staticmethod
    @abstractmethod
    def missing(folder: Path) -> list[str]:
        """Names of the files that a folder lacks."""

    @staticmethod
    @abstractmethod
    def fetch(folder: Path) -> None:
        """Download the files and check them.

        Raises ValueError if one has another checksum, OSError if it cannot be reached.
        """

    def refuse_missing(self) -> None:
        """Raise ValueError if files are missing and may not be downloaded."""
        if not self.download and (missing := self.missing(Path(self.folder))):
            raise ValueError(
                f"expected {self.title} in {self.folder!r}, but {', '.join(missing)} cannot be "
                "found; put the files there, or add --download"
            )

    def provide(self) -> Path:
        """The files' folder; what is missing is downloaded if it may.

        Raises as ``refuse_missing`` and ``fetch``, and ValueError for others than were planned.
        """
        self.refuse_missing()
        folder = Path(self.folder)
        if self.missing(folder):
            self.fetch(folder)
        if self.digest(folder) != self.subset:
            raise ValueError(
                f"expected the images as they were planned, but {self.folder!r} has changed "
                f"since; run the same command again"
            )
        return folder

    @abstractmethod
    def labels(self, part: str) -> NDArray[np.integer[Any]]:
        """The labels of a part's images, (N,), as its file has them."""

    @property
    def label(self) -> str:
        """Readable part of the result's path."""
        return f"{self.name}-subset" if self.subset else self.name

    @property
    def expected_seconds(self) -> float:
        """Rough time on one core."""
        return 1.0 + self.cost[0] * sum(map(sum, self.counts().values()))

    @property
    def expected_bytes(self) -> int:
        """Rough size on disk."""
        return self.cost[1] * sum(map(sum, self.counts().values()))

    def counts(self) -> Mapping[str, tuple[int, ...]]:
        """Images of each class in each part: the official ones, or as the files have them."""
        if not self.subset:
            return {part: (size,) * 10 for part, size in self.per_class.items()}
        found = {part: np.bincount(self.labels(part), minlength=10) for part in PARTS}
        return {part: tuple(counts.tolist()) for part, counts in found.items()}


def hold_out(
    labels: NDArray[np.int64], *, share: float, draws: np.random.Generator | None = None
) -> NDArray[np.bool_]:
    """Which images are held out, bool, (N,): by class, the same for every seed of a study.

    With other ``draws`` they are others.
    """
    names, sizes = np.unique(labels, return_counts=True)
    counts = held_out_counts(sizes, share=share)
    draws = draws or generator(0, "hold out")
    mask = np.zeros(len(labels), dtype=np.bool_)
    for name, count in zip(names, counts, strict=True):
        mask[draws.permutation(np.flatnonzero(labels == name))[:count]] = True
    return mask


def held_out_counts(sizes: NDArray[np.int64], *, share: float) -> NDArray[np.int64]:
    """How many images of each class ``hold_out`` holds out; int64, (classes,), as ``sizes``.

    Class sizes times ``share``, 0..1, are rounded by largest remainder: the total is exactly
    ``ceil(share * N)``, as scikit-learn counts; but a class of two or more has an image in each
    part, even if that makes the total larger.
    """
    exact = share * sizes
    least, most = np.minimum(sizes // 2, 1), sizes - np.minimum(sizes // 2, 1)
    counts: NDArray[np.int64] = np.maximum(least, np.floor(exact).astype(np.int64))
    missing = max(0, math.ceil(share * int(sizes.sum())) - int(counts.sum()))
    counts[np.argsort(counts - exact, kind="stable")[:missing]] += 1
    return np.minimum(counts, most)
