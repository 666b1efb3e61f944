"""Labelled image datasets, and the step that writes one to Parquet.

A dataset is a frozen dataclass; its fields are its identity.  Adding one: write the class, list it
in ``DATASETS``, and the tests in ``tests/tasks/data/test_datasets.py`` pick it up.
"""

import csv
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final, Protocol, Self

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tasks.data import cifar10, contents, folders, images, listings
from tasks.data.splits import PARTS, TEST_SHARE, check_left, held_out_of, hold_out, refusal, write
from tasks.data.splits import ROW_GROUP as ROW_GROUP
from tasks.data.splits import Split as Split

SMALLEST_SIDE, LARGEST_SIDE = 8, 512
"""Pixels of your own images."""

CIFAR10_FOLDER: Final = "artifacts/downloads"
"""Where CIFAR-10 is looked for, and downloaded to, unless somebody says otherwise."""


class Dataset(Protocol):
    """A labelled image dataset with a fixed training and test part."""

    @property
    def name(self) -> str:
        """One word, for a command line."""
        ...

    @property
    def image_size(self) -> int:
        """Pixels a side."""
        ...

    @property
    def channels(self) -> int:
        """1 (grey) or 3 (RGB)."""
        ...

    @property
    def class_names(self) -> tuple[str, ...]:
        """Name of each label."""
        ...

    @property
    def skip_broken(self) -> bool:
        """Whether files that do not decode are left out; otherwise one is enough to refuse."""
        ...

    def counts(self) -> Mapping[str, tuple[int, ...]]:
        """Images of each class in ``train`` and in ``test``, without decoding any.

        Files that turn out to be broken are still counted here; ``classes.json`` has the rest.
        """
        ...

    def blocks(self, part: str) -> Iterator[Split]:
        """Yield a part, at most ``ROW_GROUP`` images at once, by ascending index."""
        ...


@dataclass(frozen=True, kw_only=True)
class Digits:
    """Handwritten digits that ship with scikit-learn: 1,797 grey images of 8x8 pixels.

    Source: E. Alpaydin and C. Kaynak, Optical Recognition of Handwritten Digits, UCI, 1998 (its
    test part); levels 0..16 are scaled to 0..255.
    """

    revision: ClassVar[int] = 2
    name: ClassVar[str] = "digits"
    image_size: ClassVar[int] = 8
    channels: ClassVar[int] = 1
    class_names: ClassVar[tuple[str, ...]] = tuple("0123456789")
    class_sizes: ClassVar[tuple[int, ...]] = (178, 182, 177, 183, 181, 182, 181, 179, 174, 180)
    skip_broken: ClassVar[bool] = False

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

    def counts(self) -> Mapping[str, tuple[int, ...]]:
        """1,437 training and 360 test images."""
        return held_out_of(self.class_sizes)

    def blocks(self, part: str) -> Iterator[Split]:
        """Yield a part, at most ``ROW_GROUP`` images at once."""
        from sklearn.datasets import load_digits

        bunch = load_digits()
        levels = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[..., None]
        labels = bunch.target.astype(np.int64)
        index = np.flatnonzero(hold_out(labels, share=TEST_SHARE) == (part == "test"))
        for first in range(0, len(index), ROW_GROUP):
            rows = index[first : first + ROW_GROUP]
            yield Split(levels[rows], labels[rows], rows)


@dataclass(frozen=True, kw_only=True)
class ImageFolder:
    """Your own images: a folder for each class, perhaps inside ``train/`` and ``test/``.

    ``listings.list_folder`` says what it may hold, ``pictures.pixels`` what becomes of a file.
    Without ``train/`` and ``test/`` the fraction ``TEST_SHARE`` of each class is held out, the same
    for every seed of a study; the column ``image.path`` says which files.  Or nothing is held out
    at all, and the folder's own ``test/`` is trained on too.  Use ``open``.
    """

    revision: ClassVar[int] = 2
    name: ClassVar[str] = "images"
    folder: str = field(metadata={"identity": False})
    """Where it lies, absolute."""
    listing: str
    """Digest of every file's part, class, name and content: what it holds."""
    image_size: int
    """Pixels a side that every image is cut and resized to: 8..512, a multiple of 4."""
    channels: int
    """1 (grey) or 3 (RGB)."""
    class_names: tuple[str, ...]
    """Names of the class folders, ascending."""
    train_counts: tuple[int, ...]
    """Training files of each class."""
    test_counts: tuple[int, ...]
    """Test files of each class."""
    skip_broken: bool = False
    """Leave out files that do not decode, instead of refusing."""
    held_out: bool = field(default=True, metadata={"since": 2})
    """Whether there is a test part; if not, every image is in ``train``."""
    store: str = field(default="", metadata={"identity": False})
    """A folder that is no data if it lies inside, as results are kept there, absolute."""

    def __post_init__(self) -> None:
        """Refuse what no network takes."""
        if not SMALLEST_SIDE <= self.image_size <= LARGEST_SIDE or self.image_size % 4:
            raise ValueError(
                f"expected an image size of {SMALLEST_SIDE} to {LARGEST_SIDE} pixels that is a "
                f"multiple of 4, got {self.image_size}; 32 is a good start"
            )
        if self.channels not in (1, 3):
            raise ValueError(f"expected 1 channel (grey) or 3 (color), got {self.channels}")

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        image_size: int = 32,
        channels: int | None = None,
        skip_broken: bool = False,
        held_out: bool = True,
        store: str = "",
        say: contents.Say = lambda _: None,
    ) -> Self:
        """List a folder; no image is decoded.  Files that are not known yet are read once.

        Args:
            folder: Where the class folders lie.
            image_size: Pixels a side.
            channels: 1 (grey), 3 (color), or None to look at some of the files' headers.
            skip_broken: Leave out files that do not decode.
            held_out: Whether some images are kept to test on.
            store: Where results are kept, absolute; inside the folder it is left out.
            say: Told what is left out, and when reading takes a while.

        Raises:
            ValueError: For settings and folders that cannot be used; it says what to do.
        """
        listing = listings.list_folder(folder, store)
        for line in listing.left_out():
            say(line)
        test = _test_files(listing, held_out)
        train_counts, test_counts = (
            tuple(np.bincount(listing.labels[rows], minlength=len(listing.class_names)).tolist())
            for rows in (~test, test)
        )
        return cls(
            folder=str(listing.root),
            listing=contents.digest(listing, say),
            image_size=image_size,
            channels=folders.channels_of(listing) if channels is None else channels,
            class_names=listing.class_names,
            train_counts=train_counts,
            test_counts=test_counts,
            skip_broken=skip_broken,
            held_out=held_out,
            store=store,
        )

    @property
    def label(self) -> str:
        """Readable part of the artifact's path."""
        whole = "" if self.held_out else "-whole"
        return f"{self.name}-{len(self.class_names)}classes-{self.image_size}px{whole}"

    @property
    def expected_seconds(self) -> float:
        """Rough cost on one core: decoding photographs of half a megapixel."""
        return 1.0 + 0.008 * sum(self.train_counts + self.test_counts)

    @property
    def expected_bytes(self) -> int:
        """Rough size on disk."""
        values = self.image_size**2 * self.channels
        return (values + 200) * sum(self.train_counts + self.test_counts)

    def counts(self) -> Mapping[str, tuple[int, ...]]:
        """Files of each class as listed."""
        return {"train": self.train_counts, "test": self.test_counts}

    def blocks(self, part: str) -> Iterator[Split]:
        """Yield a part, ``ROW_GROUP`` images at once; ``index`` counts the listed files.

        Raises:
            ValueError: The folder has changed since it was listed.
        """
        listing = listings.list_folder(Path(self.folder), self.store)
        if contents.digest(listing) != self.listing:
            raise folders.changed(listing.root)
        rows = np.flatnonzero(_test_files(listing, self.held_out) == (part == "test"))
        yield from folders.blocks(listing, rows, side=self.image_size, channels=self.channels)


def _test_files(listing: listings.Listing, held_out: bool) -> NDArray[np.bool_]:
    """(N,). Which of the listed files are in the test part; none if nothing is held out."""
    return folders.held_out(listing) if held_out else np.zeros(len(listing.files), dtype=np.bool_)


@dataclass(frozen=True, kw_only=True)
class Cifar10:
    """60,000 color images of 32x32 pixels in ten classes: the binary version.

    Source: A. Krizhevsky, Learning Multiple Layers of Features from Tiny Images, 2009.  Files of
    the official sizes are taken to be the official ones, so they need not be there when planning;
    files of other sizes make a smaller dataset, for trying things out.  Use ``open``.
    """

    revision: ClassVar[int] = 2
    name: ClassVar[str] = "cifar10"
    image_size: ClassVar[int] = cifar10.SIDE
    channels: ClassVar[int] = 3
    class_names: ClassVar[tuple[str, ...]] = cifar10.CLASS_NAMES
    skip_broken: ClassVar[bool] = False
    folder: str = field(default="", metadata={"identity": False})
    """Where ``cifar-10-batches-bin`` lies or is downloaded to, absolute."""
    download: bool = field(default=False, metadata={"identity": False})
    """Whether to download what is missing."""
    subset: str = ""
    """Digest of the files' contents, or nothing for files of the official sizes."""

    @classmethod
    def open(cls, folder: Path, *, download: bool = False) -> Self:
        """Look at the sizes of the files, which may be missing.

        Raises:
            ValueError: The files make neither the official dataset nor a smaller one.
        """
        folder = folder.resolve()
        return cls(folder=str(folder), download=download, subset=cifar10.subset(folder))

    @property
    def label(self) -> str:
        """Readable part of the artifact's path."""
        return f"{self.name}-subset" if self.subset else self.name

    @property
    def expected_seconds(self) -> float:
        """Rough cost on one core."""
        return 1.0 + 0.0003 * sum(map(sum, self.counts().values()))

    @property
    def expected_bytes(self) -> int:
        """Rough size on disk."""
        return 2700 * sum(map(sum, self.counts().values()))

    def counts(self) -> Mapping[str, tuple[int, ...]]:
        """5,000 training and 1,000 test images of each class; of a subset, by its label bytes."""
        if not self.subset:
            return {part: (size,) * 10 for part, size in cifar10.PER_CLASS.items()}
        return {part: cifar10.counts(Path(self.folder), part) for part in PARTS}

    def blocks(self, part: str) -> Iterator[Split]:
        """Yield a part, ``ROW_GROUP`` images at once; test images are numbered after the others.

        Raises:
            ValueError: Files are missing and not to be downloaded, or they are other files.
        """
        folder = Path(self.folder)
        cifar10.provide(folder, download=self.download)
        cifar10.check(folder, self.subset)
        first = 0 if part == "train" else sum(self.counts()["train"])
        for labels, pixels in cifar10.records(folder, part, at_once=ROW_GROUP):
            yield Split(pixels, labels, np.arange(first, first + len(labels)))
            first += len(labels)


DATASETS: tuple[type[Dataset], ...] = (Digits, ImageFolder, Cifar10)


def caption(class_name: str) -> str:
    """The paper's prompt; always "a", whatever the class (section 3 and appendix A)."""
    return f"A photo of a {class_name}"


def run(settings: Dataset, *, out: Path) -> None:
    """Write ``train.parquet``, ``test.parquet`` and ``classes.json``.

    If nothing is held out ``test.parquet`` has no rows.
    With ``skip_broken``, files that were left out are listed in ``classes.json`` and
    ``skipped.csv``.

    Raises:
        ValueError: Files are broken and not to be skipped, or they leave a class without images.
    """
    captions = [caption(name) for name in settings.class_names]
    written = {
        part: write(
            settings.blocks(part),
            out / f"{part}.parquet",
            class_names=settings.class_names,
            captions=captions,
        )
        for part in PARTS
    }
    broken = [item for part in written.values() for item in part.broken]
    if broken and not settings.skip_broken:
        raise refusal(broken, of=sum(map(sum, settings.counts().values())))
    counts = {part: list(tally.counts) for part, tally in written.items()}
    classes: dict[str, Any] = {
        "names": list(settings.class_names),
        "image_size": settings.image_size,
        "channels": settings.channels,
        "counts": counts,
    }
    if broken:
        check_left(counts, settings.class_names, of=settings.counts())
        classes["skipped"] = broken
        with (out / "skipped.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([("file", "reason"), *broken])
    if turned_grey := sum(tally.turned_grey for tally in written.values()):
        classes["turned_grey"] = turned_grey
    (out / "classes.json").write_text(json.dumps(classes, indent=1) + "\n")


@dataclass(frozen=True)
class Classes:
    """What ``classes.json`` says."""

    names: tuple[str, ...]
    image_size: int
    channels: int
    counts: Mapping[str, tuple[int, ...]]
    skipped: tuple[tuple[str, str], ...] = ()
    """Files that were left out, and the reasons why."""
    turned_grey: int = 0
    """Images that had colors, in a grey dataset."""

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
        skipped=tuple((file, reason) for file, reason in record.get("skipped", ())),
        turned_grey=record.get("turned_grey", 0),
    )


def read_split(dataset: Path, part: str, index: NDArray[np.int64] | None = None) -> Split:
    """Read the images of part ``train`` or ``test`` of a dataset's folder.

    Args:
        dataset: The folder of a dataset step.
        part: Which file.
        index: Of the images to read, if not all; they come back in ascending order.
    """
    chosen = None if index is None else [("index", "in", index.tolist())]
    columns = ["index", "label", "image"]
    table = pq.read_table(dataset / f"{part}.parquet", columns=columns, filters=chosen)
    return Split(
        images.from_column(table["image"]),
        table["label"].to_numpy(),
        table["index"].to_numpy(),
    )
