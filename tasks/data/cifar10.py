"""The files of CIFAR-10's binary version: where they are, and what they hold.

A record is one label byte and 3,072 bytes of pixels, red before green before blue, each row by row
(https://www.cs.toronto.edu/~kriz/cifar.html).
"""

import hashlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

SIDE: Final = 32
"""Pixels."""
RECORD: Final = 1 + 3 * SIDE**2
"""Bytes."""
CLASS_NAMES: Final = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)
FOLDER: Final = "cifar-10-batches-bin"
"""Name inside the archive."""
FILES: Final = {
    "train": tuple(f"data_batch_{number}.bin" for number in range(1, 6)),
    "test": ("test_batch.bin",),
}
OFFICIAL_BYTES: Final = 10_000 * RECORD
"""Of every file."""
PER_CLASS: Final = {"train": 5000, "test": 1000}
"""Images of every class."""
URL: Final = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
MD5: Final = "c32a1d4ab5d03f1284b67883e8d87530"


def provide(folder: Path, *, download: bool) -> None:
    """See to it that the files are there.

    Args:
        folder: Holds ``cifar-10-batches-bin``, or will.
        download: Whether to fetch them if they are not.

    Raises:
        ValueError: They are missing and ``download`` is off, or the archive is not the right one.
        OSError: The download fails otherwise.
    """
    missing = [name for name, size in _sizes(folder).items() if size is None]
    if missing and download:
        fetch(folder)
    elif missing:
        raise ValueError(
            f"expected CIFAR-10's binary version in {str(folder / FOLDER)!r}, but "
            f"{', '.join(missing)} cannot be found; unpack it there, or add --download"
        )


def fetch(folder: Path, *, url: str = URL, md5: str = MD5) -> None:
    """Download the archive, check it, and unpack its files into ``folder``.

    Raises:
        ValueError: The archive does not have the checksum, or not the files.
        OSError: It cannot be reached.
    """
    from torchvision.datasets.utils import download_and_extract_archive

    folder.mkdir(parents=True, exist_ok=True)
    # Aside, so that what is in the folder is whole.
    with tempfile.TemporaryDirectory(prefix=".download-", dir=folder) as aside:
        try:
            download_and_extract_archive(url, aside, md5=md5)
        except RuntimeError as error:  # torchvision's word for a wrong checksum
            raise ValueError(
                f"expected an archive with MD5 {md5} from {url}, got another; try again later, "
                f"or unpack CIFAR-10's binary version into {str(folder)!r} yourself"
            ) from error
        unpacked = Path(aside) / FOLDER
        if missing := [name for name in _names() if not (unpacked / name).is_file()]:
            raise ValueError(f"expected {', '.join(missing)} in the archive from {url}, got none")
        (folder / FOLDER).mkdir(exist_ok=True)
        for name in _names():
            (unpacked / name).replace(folder / FOLDER / name)


def subset(folder: Path) -> str:
    """Nothing if the files that are there have the official sizes; else a digest of all contents.

    Raises:
        ValueError: Some have other sizes, and a file is missing, holds no whole number of records,
            or names a class that there is not; or a class has no image.
    """
    sizes = _sizes(folder)
    if set(sizes.values()) <= {OFFICIAL_BYTES, None}:
        return ""
    provide(folder, download=False)
    for part in FILES:
        if not all(counts(folder, part)):
            raise ValueError(
                f"expected images of all ten classes in {', '.join(FILES[part])} of "
                f"{str(folder / FOLDER)!r}, got {counts(folder, part)} images of them"
            )
    digest = hashlib.sha256()
    for name in sizes:
        digest.update(f"{name}\0{sizes[name]}\0".encode())
        with (folder / FOLDER / name).open("rb") as file:
            while content := file.read(2**20):
                digest.update(content)
    return digest.hexdigest()[:12]


def check(folder: Path, planned: str) -> None:
    """See that the files are those of which ``subset`` said ``planned``.

    Raises:
        ValueError: They are others; or of the official sizes, but not CIFAR-10.
    """
    if subset(folder) != planned:
        raise ValueError(
            f"expected the images as they were planned, but {str(folder / FOLDER)!r} has changed "
            f"since; run the same command again"
        )
    for part, size in PER_CLASS.items():
        found = counts(folder, part)
        if not planned and set(found) != {size}:
            raise ValueError(
                f"expected {size} images of each class in the {part} part of CIFAR-10 in "
                f"{str(folder / FOLDER)!r}, got {found}; unpack or download it again"
            )


def counts(folder: Path, part: str) -> tuple[int, ...]:
    """Images of each class, by the label bytes.

    Raises:
        ValueError: A file holds no whole number of records, or a label beyond 9.
    """
    total = np.zeros(len(CLASS_NAMES), dtype=np.int64)
    for name in FILES[part]:
        for batch in _batches(folder / FOLDER / name, at_once=4096):
            labels = batch[:, 0]
            if labels.max() >= len(CLASS_NAMES):
                raise ValueError(
                    f"expected labels 0..9 in {str(folder / FOLDER / name)!r}, "
                    f"got {labels.max()}; it is another file than CIFAR-10's"
                )
            total += np.bincount(labels, minlength=len(CLASS_NAMES))
    return tuple(total.tolist())


def records(
    folder: Path, part: str, *, at_once: int
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.uint8]]]:
    """Yield labels, int64, (B,), and pixels, uint8, (B, 32, 32, 3), in the order of the files.

    Args:
        folder: Holds ``cifar-10-batches-bin``.
        part: ``train`` or ``test``.
        at_once: B, except at the end.

    Raises:
        ValueError: A file holds no whole number of records.
    """
    held = np.empty((0, RECORD), dtype=np.uint8)
    for name in FILES[part]:
        for batch in _batches(folder / FOLDER / name, at_once=at_once):
            held = np.concatenate([held, batch])
            if len(held) >= at_once:
                yield _labels_and_pixels(held[:at_once])
                held = held[at_once:]
    if len(held):
        yield _labels_and_pixels(held)


def _labels_and_pixels(rows: NDArray[np.uint8]) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    planes = rows[:, 1:].reshape(len(rows), 3, SIDE, SIDE)
    return rows[:, 0].astype(np.int64), np.ascontiguousarray(planes.transpose(0, 2, 3, 1))


def _batches(path: Path, *, at_once: int) -> Iterator[NDArray[np.uint8]]:
    with path.open("rb") as file:
        while content := file.read(at_once * RECORD):
            if len(content) % RECORD:
                raise ValueError(
                    f"expected a whole number of records of {RECORD} bytes in {str(path)!r}, "
                    f"got {path.stat().st_size} bytes; unpack or download it again"
                )
            yield np.frombuffer(content, dtype=np.uint8).reshape(-1, RECORD)


def _names() -> tuple[str, ...]:
    return FILES["train"] + FILES["test"]


def _sizes(folder: Path) -> dict[str, int | None]:
    """Bytes of each file; None where there is none, or no regular one."""
    paths = {name: folder / FOLDER / name for name in _names()}
    return {name: path.stat().st_size if path.is_file() else None for name, path in paths.items()}
