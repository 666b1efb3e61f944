"""CIFAR-10, from the files of its binary version."""

import hashlib
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from tasks.data.dataset import PARTS, ROW_GROUP, OfficialFiles, Split

SIDE: Final = 32
"""Pixels a side."""
RECORD: Final = 1 + 3 * SIDE**2
"""Bytes of a record: the label, then the red, green and blue pixels, each row by row."""
FOLDER: Final = "cifar-10-batches-bin"
"""Name of the folder in the archive."""
FILES: Final = {
    "train": tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
    "test": ("test_batch.bin",),
}
OFFICIAL_BYTES: Final = 10_000 * RECORD
"""Size of every file."""
PER_CLASS: Final = {"train": 5000, "test": 1000}
"""Images of every class."""
URL: Final = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
MD5: Final = "c32a1d4ab5d03f1284b67883e8d87530"


@dataclass(frozen=True, kw_only=True)
class Cifar10(OfficialFiles):
    """60,000 color images of 32x32 pixels in ten classes (Krizhevsky 2009): the binary version.

    Files of the official sizes may be missing while planning; files of other sizes make a smaller
    dataset, for trying things out.  Use ``open``.
    """

    revision = 2
    name: ClassVar[str] = "cifar10"
    image_size: ClassVar[int] = SIDE
    channels: ClassVar[int] = 3
    class_names: ClassVar[tuple[str, ...]] = (
        *("airplane", "automobile", "bird", "cat", "deer"),
        *("dog", "frog", "horse", "ship", "truck"),
    )
    per_class = PER_CLASS
    cost = 3e-4, 2700

    title = "CIFAR-10's binary version"

    @staticmethod
    def digest(folder: Path) -> str:
        """As ``subset``."""
        return subset(folder)

    @staticmethod
    def missing(folder: Path) -> list[str]:
        """Names of the files that the folder in ``folder`` lacks."""
        return [f"{FOLDER}/{name}" for name, size in _sizes(folder).items() if size is None]

    @staticmethod
    def fetch(folder: Path) -> None:
        """As the function ``fetch``."""
        fetch(folder)

    def labels(self, part: str) -> NDArray[np.integer[Any]]:
        """The labels of a part, (N,)."""
        return records(Path(self.folder), part)[:, 0]

    def blocks(self, part: str) -> Iterator[Split]:
        """Yield a part, ``ROW_GROUP`` at a time; raises ValueError for missing or other files."""
        folder = self.provide()
        if not self.subset:
            _refuse_other_counts(folder)
        begin = 0 if part == "train" else sum(self.counts()["train"])
        rows = records(folder, part)
        for first in range(0, len(rows), ROW_GROUP):
            block = rows[first : first + ROW_GROUP]
            planes = block[:, 1:].reshape(-1, 3, SIDE, SIDE)
            pixels = np.ascontiguousarray(planes.transpose(0, 2, 3, 1))
            index = begin + first + np.arange(len(block))
            yield Split(pixels, block[:, 0].astype(np.int64), index)


def fetch(folder: Path, *, url: str = URL, md5: str = MD5) -> None:
    """Download the archive, check it, and unpack its files into ``folder``.

    Raises ValueError if it has another checksum, OSError if it cannot be reached.
    """
    from torchvision.datasets.utils import download_and_extract_archive

    folder.mkdir(parents=True, exist_ok=True)
    # Into a temporary folder first, so that no incomplete file is found.
    with tempfile.TemporaryDirectory(prefix=".download-", dir=folder) as aside:
        try:
            download_and_extract_archive(url, aside, md5=md5)
        except RuntimeError as error:  # how torchvision reports a wrong checksum
            raise ValueError(
                f"expected an archive with MD5 {md5} from {url}, got another; try again later, "
                f"or unpack CIFAR-10's binary version into {str(folder)!r} yourself"
            ) from error
        (folder / FOLDER).mkdir(exist_ok=True)
        for name in _sizes(folder):
            (Path(aside) / FOLDER / name).replace(folder / FOLDER / name)


def subset(folder: Path) -> str:
    """A digest of all contents; empty if the files that are there have the official sizes.

    Raises ValueError if some have other sizes, and a file is missing or broken, or a class empty.
    """
    sizes = _sizes(folder)
    if set(sizes.values()) <= {OFFICIAL_BYTES, None}:
        return ""
    Cifar10(folder=str(folder)).refuse_missing()
    for part in FILES:
        if not all(found := _counts(records(folder, part))):
            raise ValueError(
                f"expected images of all ten classes in {', '.join(FILES[part])} of "
                f"{str(folder / FOLDER)!r}, got {found} images of them"
            )
    digest = hashlib.sha256()
    for name in sizes:
        digest.update(f"{name}\0{sizes[name]}\0".encode())
        digest.update((folder / FOLDER / name).read_bytes())
    return digest.hexdigest()[:12]


def _refuse_other_counts(folder: Path) -> None:
    """Raise ValueError unless files of the official sizes have as many images of every class."""
    for part, size in PER_CLASS.items():
        if {*(found := _counts(records(folder, part)))} != {size}:
            raise ValueError(
                f"expected {size} images of each class in the {part} part of CIFAR-10 in "
                f"{str(folder / FOLDER)!r}, got {found}; unpack or download it again"
            )


def records(folder: Path, part: str) -> NDArray[np.uint8]:
    """The records of a part, uint8, (N, RECORD); raises ValueError if they are no such files."""
    parts = []
    for name in FILES[part]:
        path = folder / FOLDER / name
        content = np.fromfile(path, dtype=np.uint8)
        if len(content) % RECORD:
            raise ValueError(
                f"expected a whole number of records of {RECORD} bytes in {str(path)!r}, "
                f"got {len(content)} bytes; unpack or download it again"
            )
        parts.append(content.reshape(-1, RECORD))
        if (highest := parts[-1][:, 0].max(initial=0)) > 9:
            raise ValueError(f"expected labels 0..9 in {str(path)!r}, got {highest}; another file")
    return np.concatenate(parts)


def _counts(rows: NDArray[np.uint8]) -> tuple[int, ...]:
    return tuple(np.bincount(rows[:, 0], minlength=10).tolist())


def _sizes(folder: Path) -> dict[str, int | None]:
    """Bytes of each file; None where there is no regular file."""
    paths = {name: folder / FOLDER / name for part in PARTS for name in FILES[part]}
    return {name: path.stat().st_size if path.is_file() else None for name, path in paths.items()}
