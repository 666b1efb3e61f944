"""Pictures that a trigger blends over an image or puts into it: a drawing of ours, or any file.

Our drawings stand in for the authors' pictures: ``cat.png`` for the paper's "hello kitty pattern"
(A.2), ``bomb.png`` for their bomb.png.  A file's content identifies it, not its place.
"""

import base64
import hashlib
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tasks.data import images, pictures

CAT, BOMB = "cat.png", "bomb.png"
"""Our drawings, RGB of 512x512 pixels, beside this file."""
MOST_BYTES: Final = 16 * 2**20
"""Largest file; it is sent wherever its trigger is sent."""


@dataclass(frozen=True)
class Picture:
    """A picture file; make one with ``read``."""

    sha256: str
    """Digest of the file's content, 64 hex digits, which identifies the picture."""
    content: str = field(repr=False, compare=False, metadata={"identity": False})
    """The file itself, base64."""

    def __post_init__(self) -> None:
        if hashlib.sha256(base64.b64decode(self.content)).hexdigest() != self.sha256:
            raise ValueError(f"expected base64 of a file of sha256 {self.sha256!r}; use read()")

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read an image file; raises ValueError, which names the file and what is wrong with it."""
        try:
            content = _content(path)
            pictures.upright(content)
        except ValueError as error:
            raise ValueError(
                f"expected an image as the pattern, got {str(path)!r}: {error}"
            ) from error
        text = base64.b64encode(content).decode("ascii")
        return cls(hashlib.sha256(content).hexdigest(), text)

    def decoded(self) -> Image.Image:
        """The whole picture, RGB; raises BrokenImage where Pillow lacks its format."""
        return pictures.upright(base64.b64decode(self.content)).convert("RGB")


def check_picture(picture: object) -> None:
    """Raise ValueError unless it is a picture or None."""
    if not isinstance(picture, Picture | None):
        raise ValueError(f"expected a Picture or None, got {str(picture)[:60]!r}; use from_file()")


@lru_cache(maxsize=8)
def fitted(
    picture: Picture | None, height: int, width: int, channels: int, drawing: str
) -> NDArray[np.uint8]:
    """A picture, or else CAT or BOMB, stretched to a size by Pillow's bicubic filter.

    Returns uint8, (height, width, channels), read-only; with one channel the luminance.
    """
    if picture is None:
        with Image.open(Path(__file__).with_name(drawing)) as file:
            whole = file.convert("RGB")
    else:
        whole = picture.decoded()
    stretched = whole.resize((width, height), Image.Resampling.BICUBIC)
    pixels = images.fit_channels(np.array(stretched, dtype=np.uint8), channels)
    pixels.flags.writeable = False
    return pixels


def _content(path: Path) -> bytes:
    """The bytes of a regular file of bounded size."""
    if path.is_dir():
        raise ValueError("it is a folder")
    if not path.exists():
        raise ValueError("there is no such file")
    if not path.is_file():
        raise ValueError("it is not a regular file")
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(f"more than {MOST_BYTES:,} bytes; make it smaller first")
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(error.strerror or "it cannot be read") from error
