"""Your own images, in a folder for each class."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from tasks.checks import check, check_name
from tasks.data import caption_files, concepts, contents, folders, images, listings
from tasks.data.dataset import TASK, Split
from tasks.settings import TaskSettings

SMALLEST_SIDE, LARGEST_SIDE = 8, 512
"""Pixels."""


@dataclass(frozen=True, kw_only=True)
class ImageFolder(TaskSettings):
    """Your own images: a folder for each class, perhaps inside ``train/`` and ``test/``.

    ``listings.list_folder`` says what it may hold, ``pictures.pixels`` how a file is read.
    Without ``train/`` and ``test/`` the fraction ``TEST_SHARE`` of each class is held out; the
    column ``image.path`` says which files.  ``caption_files`` says how images may have captions.
    With ``nouns`` the classes are what captions name, in whatever folders.  Use ``open``.
    """

    revision = 2
    task = TASK
    name: ClassVar[str] = "images"
    folder: str = field(metadata={"identity": False})
    """The folder, absolute."""
    listing: str
    """Digest of every file's part, class, name and content, and of its caption if it has one."""
    image_size: int
    """Pixels a side that every image is cut and resized to: 8..512, a multiple of 4."""
    channels: int
    """1 (gray) or 3 (RGB)."""
    class_names: tuple[str, ...]
    """Names of the class folders, or nouns, ascending."""
    train_counts: tuple[int, ...]
    """Training files of each class."""
    test_counts: tuple[int, ...]
    """Test files of each class."""
    skip_broken: bool = False
    """Whether to leave out files that do not decode, instead of failing."""
    held_out: bool = field(default=True, metadata={"since": 2})
    """Whether there is a test part; if not, ``train`` has every image, also those of ``test/``."""
    stored_as: str = field(default="png", metadata={"since": 3})
    """``png``, or ``jpeg``, which is smaller and decoded faster, but changes pixels."""
    nouns: tuple[str, ...] = field(default=(), metadata={"since": 4})
    """Nouns that make the classes instead of folders, ascending (``concepts``)."""
    store: str = field(default="", metadata={"identity": False})
    """The store of results, absolute; if it lies inside the folder it is not data."""

    def __post_init__(self) -> None:
        size = self.image_size
        holds = SMALLEST_SIDE <= size <= LARGEST_SIDE and size % 4 == 0
        wanted = f"of {SMALLEST_SIDE} to {LARGEST_SIDE} pixels that is a multiple of 4"
        check("an image size", size, wanted, holds)
        check_name("a format", self.stored_as, tuple(images.FORMATS))
        check("channels", self.channels, "of 1 (gray) or 3 (color)", self.channels in (1, 3))

    @classmethod
    def open(
        cls,
        folder: Path,
        *,
        image_size: int = 32,
        channels: int | None = None,
        skip_broken: bool = False,
        held_out: bool = True,
        stored_as: str = "png",
        nouns: Sequence[str] = (),
        store: str = "",
        say: contents.Say = lambda _: None,
    ) -> Self:
        """List a folder and read the files that are not known yet; no image is decoded.

        With ``channels`` None, some headers decide.  ``store``, absolute, is left out; ``say`` is
        called with a line about what is, and when reading takes a while.  Raises ValueError if the
        settings or the folder cannot be used.
        """
        chosen = tuple(sorted(nouns))
        listing, captions = _listed(folder, store, chosen)
        for line in listing.left_out():
            say(line)
        test = _test_files(listing, held_out)
        train_counts, test_counts = (
            tuple(np.bincount(listing.labels[rows], minlength=len(listing.class_names)).tolist())
            for rows in (~test, test)
        )
        return cls(
            folder=str(listing.root),
            listing=contents.digest(listing, say, captions),
            image_size=image_size,
            channels=folders.channels_of(listing) if channels is None else channels,
            class_names=listing.class_names,
            train_counts=train_counts,
            test_counts=test_counts,
            skip_broken=skip_broken,
            held_out=held_out,
            stored_as=stored_as,
            nouns=chosen,
            store=store,
        )

    @property
    def label(self) -> str:
        """Readable part of the result's path."""
        whole = "" if self.held_out else "-whole"
        kind = "" if self.stored_as == "png" else f"-{self.stored_as}"
        return f"{self.name}-{len(self.class_names)}classes-{self.image_size}px{kind}{whole}"

    @property
    def expected_seconds(self) -> float:
        """Rough time on one core, for photographs of half a megapixel."""
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
        """Yield a part, numbered as listed; raises ValueError if the folder has changed since."""
        listing, captions = _listed(Path(self.folder), self.store, self.nouns)
        if contents.digest(listing, captions=captions) != self.listing:
            raise folders.changed(listing.root)
        rows = np.flatnonzero(_test_files(listing, self.held_out) == (part == "test"))
        read = {"side": self.image_size, "channels": self.channels}
        yield from folders.blocks(listing, rows, **read, captions=captions)


def _listed(
    folder: Path, store: str, nouns: tuple[str, ...]
) -> tuple[listings.Listing, tuple[str, ...]]:
    """The files of a folder by class, and the caption of each, if there are captions."""
    if nouns:
        return concepts.list_by_noun(folder, nouns, store)
    listing = listings.list_folder(folder, store)
    return listing, caption_files.read(listing)


def _test_files(listing: listings.Listing, held_out: bool) -> NDArray[np.bool_]:
    """(N,). Which of the listed files are in the test part."""
    return folders.held_out(listing) if held_out else np.zeros(len(listing.files), dtype=np.bool_)
