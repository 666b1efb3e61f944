"""Decoded images on this machine's disk, so that a training larger than memory decodes them once.

They lie below ``$CASTLEWALLS_CACHE``, or else ``~/.cache/castlewalls``, clean, a file a row group,
and stay there for the next training on the same dataset.
"""

import shutil
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from orchestrator.store.copies import cache

LEFT_FREE = 2 * 2**30
"""Bytes of the disk that are left to others."""


@dataclass(frozen=True)
class Decoded:
    """The row groups of one dataset."""

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
