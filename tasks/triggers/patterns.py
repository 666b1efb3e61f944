"""Pictures that a trigger blends over an image or puts into it: a drawing of ours, or any file.

A picture is kept as the whole file, so that it is reduced once, from all its pixels to the size
that it has on an image.  What it *is* is the file's content; where it lay is no part of it.
"""

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tasks.data import images, pictures
from tasks.triggers import drawings

MOST_BYTES: Final = 16 * 2**20
"""Of a file: it goes wherever its trigger goes."""


@dataclass(frozen=True)
class Picture:
    """A picture file; ``read`` makes them."""

    sha256: str
    """Of the file's content, 64 hex digits: what the picture is."""
    content: str = field(repr=False, compare=False, metadata={"identity": False})
    """The file itself, base64."""

    def __post_init__(self) -> None:
        """Refuse content that is not what the digest says."""
        try:
            content = base64.b64decode(self.content, validate=True)
        except (TypeError, ValueError):
            content = b""
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise ValueError(
                f"expected base64 of a file of sha256 {self.sha256!r}, got another one; make one "
                f"with Blend.from_file or ImagePatch.from_file"
            )

    @classmethod
    def read(cls, path: Path) -> Self:
        """Take in an image file, by the rules of ``pictures.upright``.

        Raises:
            ValueError: In one line, naming the file and why it is no picture.
        """
        try:
            content = _content(path)
            pictures.upright(content)
        except ValueError as error:
            raise ValueError(
                f"expected an image as the pattern, got {str(path)!r}: {error}"
            ) from error
        text = base64.b64encode(content).decode("ascii")
        return cls(hashlib.sha256(content).hexdigest(), text)

    def pixels(self) -> NDArray[np.uint8]:
        """All of them, uint8, (H, W, 3).

        Raises:
            BrokenImage: It does not decode here; it did where it was read.
        """
        image = pictures.upright(base64.b64decode(self.content))
        return np.asarray(image.convert("RGB"), dtype=np.uint8)


def check(picture: object) -> None:
    """Refuse what is neither a picture nor None.

    Raises:
        ValueError: It is something else.
    """
    if not isinstance(picture, Picture | None):
        raise ValueError(
            f"expected a Picture or None, got {str(picture)[:60]!r}; make one with Blend.from_file "
            f"or ImagePatch.from_file"
        )


@lru_cache(maxsize=8)
def fitted(
    picture: Picture | None,
    height: int,
    width: int,
    channels: int,
    drawing: Callable[[], NDArray[np.uint8]] = drawings.cat,
) -> NDArray[np.uint8]:
    """A picture stretched to a size (Pillow's bicubic), its luminance if the image is grey.

    Args:
        picture: Any; None is ``drawing``.
        height: Pixels.
        width: Pixels.
        channels: Of the image, 1 or 3.
        drawing: What is fitted where there is no picture; one of ``drawings``.

    Returns:
        uint8, (height, width, channels), read-only.
    """
    whole = Image.fromarray(drawing() if picture is None else picture.pixels())
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
        raise ValueError("it is no regular file")
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(f"more than {MOST_BYTES:,} bytes; make it smaller first")
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(error.strerror or "it cannot be read") from error
