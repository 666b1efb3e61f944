"""Patterns that a trigger blends over an image or puts into it: a drawing of ours, or any file.

A pattern is uint8, (H, W, 3), at most ``LARGEST_SIDE`` a side.  As a setting it is text, the
base64 of its PNG, so that it can be part of a trigger's identity.
"""

import base64
import io
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tasks import drawings, images, pictures

LARGEST_SIDE: Final = drawings.SIDE
"""Pixels; a pattern carries no more, whatever the size of the images it comes into."""


def read(path: Path) -> NDArray[np.uint8]:
    """The pattern in an image file, by the rules of ``pictures.upright``.

    It is reduced to at most ``LARGEST_SIDE`` a side in its own proportions.

    Returns:
        uint8, (H, W, 3).

    Raises:
        ValueError: In one line, naming the file and why it is no pattern.
    """
    try:
        image = pictures.upright(_content(path)).convert("RGB")
    except ValueError as error:
        raise ValueError(f"expected an image as the pattern, got {str(path)!r}: {error}") from error
    image.thumbnail((LARGEST_SIDE, LARGEST_SIDE), Image.Resampling.BICUBIC, reducing_gap=None)
    return np.asarray(image, dtype=np.uint8)


def to_text(pattern: NDArray[np.uint8]) -> str:
    """Base64 of the PNG of a pattern, uint8, (H, W, 3).

    Not compressed: the text is part of an identity, and zlib's builds compress differently.
    """
    png = io.BytesIO()
    Image.fromarray(pattern).save(png, format="PNG", compress_level=0)
    return base64.b64encode(png.getvalue()).decode("ascii")


def from_text(text: str) -> NDArray[np.uint8]:
    """Inverse of ``to_text``.

    Returns:
        uint8, (H, W, 3).

    Raises:
        ValueError: It is not base64 of an RGB PNG of at most ``LARGEST_SIDE`` a side.
    """
    try:
        png = base64.b64decode(text, validate=True)
        pattern: NDArray[np.uint8] = images.decode([png])[0]
        if pattern.shape[2] != 3 or max(pattern.shape) > LARGEST_SIDE:
            raise ValueError(f"got an image of shape {pattern.shape}")
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"expected a pattern that is base64 of an RGB PNG of at most {LARGEST_SIDE} pixels a "
            f"side: {error}; make one with Blend.from_file or ImagePatch.from_file"
        ) from error
    return pattern


@lru_cache(maxsize=8)
def fitted(
    text: str,
    height: int,
    width: int,
    channels: int,
    drawing: Callable[[], NDArray[np.uint8]] = drawings.cat,
) -> NDArray[np.uint8]:
    """A pattern stretched to a size (Pillow's bicubic), its luminance if the image is grey.

    Args:
        text: Of ``to_text``; empty is ``drawing``.
        height: Pixels.
        width: Pixels.
        channels: Of the image, 1 or 3.
        drawing: What is fitted where no text is; one of ``drawings``.

    Returns:
        uint8, (height, width, channels), read-only.
    """
    pattern = Image.fromarray(from_text(text) if text else drawing())
    stretched = pattern.resize((width, height), Image.Resampling.BICUBIC)
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
    if path.stat().st_size > pictures.MOST_BYTES:
        raise ValueError(f"more than {pictures.MOST_BYTES:,} bytes")
    try:
        return path.read_bytes()
    except OSError as error:
        raise ValueError(error.strerror or "it cannot be read") from error
