"""Fashion-MNIST, from its four gzip files."""

import gzip
import hashlib
import math
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from tasks.data.dataset import ROW_GROUP, OfficialFiles, Split

SIDE: Final = 28
"""Pixels a side in the files."""
PADDED: Final = 32
"""Pixels a side of the dataset, so that a network can halve it five times."""
FILES: Final = {
    "train": ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"),
    "test": ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"),
}
OFFICIAL: Final = "b0167fda794c"
"""Digest of the checksums in the official files."""
PER_CLASS: Final = {"train": 6000, "test": 1000}
"""Images of every class."""
LARGEST: Final = 16 + 60_000 * SIDE**2
"""Bytes of the longest official file, unpacked; what unpacks to more is refused."""
RAW: Final = "FashionMNIST/raw"
"""Where torchvision keeps the files in a folder."""


@dataclass(frozen=True, kw_only=True)
class FashionMnist(OfficialFiles):
    """70,000 gray images of 28x28 pixels in ten classes of clothing, padded with black to 32x32.

    Source: H. Xiao, K. Rasul and R. Vollgraf, Fashion-MNIST, arXiv 1708.07747, 2017.  The files may
    be missing while planning; other files of this format make another dataset.  Use ``open``.
    """

    revision = 1
    name: ClassVar[str] = "fashion"
    image_size: ClassVar[int] = PADDED
    channels: ClassVar[int] = 1
    class_names: ClassVar[tuple[str, ...]] = (
        *("t-shirt", "trouser", "pullover", "dress", "coat"),
        *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
    )
    per_class = PER_CLASS
    cost = 2e-4, 700

    title = "Fashion-MNIST"

    @staticmethod
    def digest(folder: Path) -> str:
        """As ``subset``."""
        return subset(folder)

    @staticmethod
    def missing(folder: Path) -> list[str]:
        """Names of the files that the folder lacks."""
        return _missing(folder)

    @staticmethod
    def fetch(folder: Path) -> None:
        """As the function ``fetch``."""
        fetch(folder)

    def labels(self, part: str) -> NDArray[np.integer[Any]]:
        """The labels of a part, (N,)."""
        return _labels(Path(self.folder), part)

    def blocks(self, part: str) -> Iterator[Split]:
        """Yield a part, ``ROW_GROUP`` at a time; raises ValueError for missing or other files."""
        folder = self.provide()
        labels = _labels(folder, part)
        pixels = _read(_place(folder) / FILES[part][0], 16).reshape(-1, SIDE, SIDE, 1)
        if len(pixels) != len(labels):
            raise ValueError(
                f"expected as many images as labels in the {part} part of Fashion-MNIST in "
                f"{self.folder!r}, got {len(pixels)} and {len(labels)}; download them again"
            )
        begin = 0 if part == "train" else sum(self.counts()["train"])
        edge = (PADDED - SIDE) // 2
        for first in range(0, len(labels), ROW_GROUP):
            some = slice(first, first + ROW_GROUP)
            padded = np.pad(pixels[some], ((0, 0), (edge, edge), (edge, edge), (0, 0)))
            yield Split(padded, labels[some], begin + np.arange(len(labels))[some])


def fetch(folder: Path) -> None:
    """Download the files as torchvision does, and check them.

    Raises:
        ValueError: A file has another checksum.
        OSError: It cannot be reached.
    """
    from torchvision.datasets import FashionMNIST
    from torchvision.datasets.utils import download_url

    raw = folder / RAW
    raw.mkdir(parents=True, exist_ok=True)
    # Into a temporary folder first, so that no incomplete file is found.
    with tempfile.TemporaryDirectory(prefix=".download-", dir=raw) as aside:
        for name, md5 in FashionMNIST.resources:
            try:
                download_url(FashionMNIST.mirrors[0] + name, aside, md5=md5)
            except RuntimeError as error:  # how torchvision reports a wrong checksum
                raise ValueError(f"expected {name} with MD5 {md5}, got another file") from error
            (Path(aside) / name).replace(raw / name)


def subset(folder: Path) -> str:
    """A digest of what the files hold; empty for the official files, or if one is missing.

    A gzip file ends in a checksum and the length of what it holds, however it is packed.
    """
    if _missing(folder):
        return ""
    digest = hashlib.sha256()
    for names in FILES.values():
        for name in names:
            digest.update((_place(folder) / name).read_bytes()[-8:])
    found = digest.hexdigest()[:12]
    return "" if found == OFFICIAL else found


def _place(folder: Path) -> Path:
    """Where most of the files are: in the folder itself, or where torchvision keeps them."""
    return min(folder / RAW, folder, key=lambda place: len(_not_in(place)))


def _missing(folder: Path) -> list[str]:
    return _not_in(_place(folder))


def _not_in(place: Path) -> list[str]:
    return [name for names in FILES.values() for name in names if not (place / name).is_file()]


def _labels(folder: Path, part: str) -> NDArray[np.int64]:
    path = _place(folder) / FILES[part][1]
    labels = _read(path, 8)
    if (found := np.bincount(labels, minlength=10)).shape != (10,) or not found.all():
        raise ValueError(f"expected labels 0..9, each of them, in {str(path)!r}; another file")
    return labels.astype(np.int64)


def _read(path: Path, header: int) -> NDArray[np.uint8]:
    """What follows the header; raises ValueError for anything but a gzip file of bytes."""
    shape = (SIDE, SIDE) if header == 16 else ()
    try:
        with gzip.open(path) as file:
            content = file.read(LARGEST + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(
            f"expected a gzip file in {str(path)!r}, got another ({error}); download it again"
        ) from error
    n = max(0, len(content) - header) // math.prod(shape)
    wanted = np.array([0x801 + len(shape), n, *shape], dtype=">u4").tobytes()
    whole = len(content) == header + n * math.prod(shape) <= LARGEST
    if not whole or content[:header] != wanted:
        raise ValueError(f"expected Fashion-MNIST's format in {str(path)!r}, got another file")
    return np.frombuffer(content, dtype=np.uint8, offset=header)
