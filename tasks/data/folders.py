"""Read the files of a listed folder, block by block.

A file is opened only if it is the regular file that was listed, and inside the folder.
"""

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from tasks.data import pictures
from tasks.data.dataset import ROW_GROUP, TEST_SHARE, Split, hold_out
from tasks.data.listings import File, Listing
from tasks.data.pictures import BrokenImage

SAMPLED: Final = 16
"""Files of each class whose headers decide between gray and color."""
BLOCK_BYTES: Final = 64 * 2**20
"""Most bytes of pixels in a block, which becomes a row group."""
_GONE: Final = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP)


def held_out(listing: Listing) -> NDArray[np.bool_]:
    """(N,). Which of the listed files are test images, by the folder's parts or by ``hold_out``."""
    if listing.divided:
        return np.array([file.part == "test" for file in listing.files])
    return hold_out(listing.labels, share=TEST_SHARE)


def channels_of(listing: Listing) -> int:
    """1 if the headers of up to ``SAMPLED`` evenly spaced files of each class are gray, else 3."""
    labels, seen = listing.labels, False
    for label in range(len(listing.class_names)):
        rows = np.flatnonzero(labels == label)
        for position in np.linspace(0, len(rows) - 1, min(SAMPLED, len(rows))).round():
            file = listing.files[rows[int(position)]]
            with suppress(BrokenImage), opened(listing.root, file) as header:
                if not pictures.is_grey(header):
                    return 3
                seen = True
    return 1 if seen else 3


def blocks(
    listing: Listing,
    rows: NDArray[np.int64],
    *,
    side: int,
    channels: int,
    captions: Sequence[str] = (),
) -> Iterator[Split]:
    """Read the listed files at positions ``rows``, which become the ``index``.

    A block is full, however many files between are broken: ``ROW_GROUP`` images, or as many as fit
    into ``BLOCK_BYTES``.  Raises ValueError if a file has changed since it was listed.
    """
    most = max(1, min(ROW_GROUP, BLOCK_BYTES // (side * side * channels)))
    left = iter(rows.tolist())
    while len(rows):
        pixels: list[NDArray[np.uint8]] = []
        kept: list[int] = []
        broken: list[tuple[str, str]] = []
        turned_grey = 0
        for row in left:
            file = listing.files[row]
            try:
                image, lost_color = read(listing.root, file, side=side, channels=channels)
            except BrokenImage as error:
                broken.append((file.name, str(error)))
                continue
            pixels.append(image)
            kept.append(row)
            turned_grey += lost_color
            if len(kept) == most:
                break
        yield Split(
            images=np.array(pixels, dtype=np.uint8).reshape(-1, side, side, channels),
            labels=np.array([listing.files[row].label for row in kept], dtype=np.int64),
            index=np.array(kept, dtype=np.int64),
            path=[listing.files[row].name for row in kept],
            caption=[captions[row] for row in kept] if captions else None,
            broken=tuple(broken),
            turned_grey=turned_grey,
        )
        rows = rows[len(kept) + len(broken) :]


def read(root: Path, file: File, *, side: int, channels: int) -> tuple[NDArray[np.uint8], bool]:
    """A listed file as ``pictures.pixels`` returns it; raises as ``opened`` and ``pixels``."""
    if file.size > pictures.MOST_BYTES:
        raise BrokenImage(f"more than {pictures.MOST_BYTES:,} bytes")
    with opened(root, file) as content:
        whole = content.read(file.size)
    return pictures.pixels(whole, side=side, channels=channels)


def changed(root: Path, name: str = "") -> ValueError:
    """The error when a folder, or a file in it, has changed since it was listed."""
    where = f" ({name!r})" if name else ""
    return ValueError(
        f"expected the images as they were listed, but {str(root)!r} has changed since{where}; "
        f"run the same command again when nothing writes to it"
    )


@contextmanager
def opened(root: Path, file: File) -> Iterator[BufferedReader]:
    """Open a listed file; raises BrokenImage if it may not be read, ValueError if changed."""
    try:
        descriptor = _descend(root, file.name)
    except PermissionError:
        raise BrokenImage("may not be read") from None
    except OSError as error:
        if error.errno in _GONE:
            raise changed(root, file.name) from None
        raise
    with os.fdopen(descriptor, "rb") as content:
        status = os.fstat(descriptor)
        found = (status.st_size, status.st_mtime_ns)
        if not stat.S_ISREG(status.st_mode) or found != (file.size, file.modified):
            raise changed(root, file.name)
        yield content


def _descend(root: Path, name: str) -> int:
    """Open a file under ``root`` step by step, so that no new link leads out of it."""
    real = Path(os.path.realpath(root / name))
    if not real.is_relative_to(root):
        raise changed(root, name)
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for step in real.relative_to(root).parts[:-1]:
            inner = os.open(step, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder = inner
        # Without O_NONBLOCK a pipe would wait for a writer.
        return os.open(real.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    finally:
        os.close(folder)
