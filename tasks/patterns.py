"""Patterns that a trigger blends over a whole image: a cat's face drawn here, or anyone's file.

A pattern is uint8, (H, W, 3), at most ``LARGEST_SIDE`` a side.  As a setting it is text, the
base64 of its PNG, so that it can be part of a trigger's identity.  What is drawn is computed in
whole numbers: equal on any host.
"""

import base64
import io
from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tasks import images, pictures

LARGEST_SIDE: Final = 64
"""Pixels; a pattern carries no more, whatever the size of the images it is blended with."""

GROUND: Final = (255, 200, 40)
FUR: Final = (60, 32, 72)
INNER_EAR: Final = (236, 112, 140)
MUZZLE: Final = (250, 238, 226)
EYE: Final = (196, 255, 150)
NOSE: Final = (240, 90, 120)
INK: Final = (20, 10, 28)

SUBSAMPLES: Final = 8
"""Samples across a pixel, for smooth edges."""

Mask = NDArray[np.bool_]


@lru_cache(maxsize=1)
def cat() -> NDArray[np.uint8]:
    """A cat's face on a yellow ground, uint8, (64, 64, 3), read-only.

    Our own drawing in the place of the paper's "hello kitty pattern" (A.2).  Dark fur, light eyes
    and a light ground keep it readable in grey, at 8 pixels and at a fifth of its strength.
    """
    size = LARGEST_SIDE * SUBSAMPLES
    canvas = np.empty((size, size, 3), dtype=np.int64)
    canvas[:] = GROUND
    fur = _ellipse(32, 38, 26, 21)
    for flip in (False, True):
        fur |= _polygon((7, 36), (8, 3), (31, 20), flip=flip)
    whiskers = _whiskers()
    _paint(canvas, whiskers & ~fur, INK)
    _paint(canvas, fur, FUR)
    for flip in (False, True):
        _paint(canvas, _polygon((12, 24), (12, 10), (23, 20), flip=flip), INNER_EAR)
        _paint(canvas, _ellipse(20, 34, 8, 8, flip=flip), EYE)
        _paint(canvas, _ellipse(21, 34, 2, 7, flip=flip), INK)
        _paint(canvas, _ellipse(27, 50, 7, 6, flip=flip), MUZZLE)
    _paint(canvas, whiskers & fur, MUZZLE)
    _paint(canvas, _polygon((27, 43), (37, 43), (32, 49)), NOSE)
    _paint(canvas, _polygon((31, 48), (33, 48), (33, 55), (31, 55)), INK)
    blocks = canvas.reshape(LARGEST_SIDE, SUBSAMPLES, LARGEST_SIDE, SUBSAMPLES, 3)
    pixels: NDArray[np.uint8] = _rounded_mean(blocks.sum(axis=(1, 3)), SUBSAMPLES**2)
    pixels.flags.writeable = False
    return pixels


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
            f"side: {error}; make one with Blend.from_file"
        ) from error
    return pattern


@lru_cache(maxsize=8)
def fitted(text: str, height: int, width: int, channels: int) -> NDArray[np.uint8]:
    """A pattern stretched to an image's size (bicubic), its luminance if the image is grey.

    Args:
        text: Of ``to_text``; empty is ``cat``.
        height: Of the image, pixels.
        width: Of the image, pixels.
        channels: Of the image, 1 or 3.

    Returns:
        uint8, (height, width, channels), read-only.
    """
    pattern = Image.fromarray(from_text(text) if text else cat())
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


def _whiskers() -> Mask:
    """Three on each cheek, from the muzzle to the edge of the picture."""
    hairs = [
        _polygon((25, cheek), (1, tip - 1), (1, tip + 1), flip=flip)
        for cheek, tip in ((47, 40), (50, 50), (53, 60))
        for flip in (False, True)
    ]
    whiskers: Mask = np.any(hairs, axis=0)
    return whiskers


def _rounded_mean(total: NDArray[np.int64], count: int) -> NDArray[np.uint8]:
    mean: NDArray[np.uint8] = ((2 * total + count) // (2 * count)).astype(np.uint8)
    return mean


def _grid(flip: bool) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row and column of every sample's center, in halves of a sample; ``flip`` mirrors columns."""
    centers = 2 * np.arange(LARGEST_SIDE * SUBSAMPLES, dtype=np.int64) + 1
    return centers[:, None], (centers[::-1] if flip else centers)[None, :]


def _ellipse(x: int, y: int, across: int, down: int, *, flip: bool = False) -> Mask:
    """Samples inside the ellipse about (x, y) with these half axes, in pixels; bool."""
    unit = 2 * SUBSAMPLES
    rows, columns = _grid(flip)
    inside: Mask = ((columns - unit * x) * down) ** 2 + ((rows - unit * y) * across) ** 2 < (
        unit * across * down
    ) ** 2
    return inside


def _polygon(*corners: tuple[int, int], flip: bool = False) -> Mask:
    """Samples inside a convex polygon of (x, y) corners, in pixels, either way round; bool."""
    unit = 2 * SUBSAMPLES
    rows, columns = _grid(flip)
    sides = []
    for (x, y), (next_x, next_y) in zip(corners, corners[1:] + corners[:1], strict=True):
        sides.append((next_x - x) * (rows - unit * y) - (next_y - y) * (columns - unit * x))
    turns = np.stack(np.broadcast_arrays(*sides))
    inside: Mask = np.all(turns >= 0, axis=0) | np.all(turns <= 0, axis=0)
    return inside


def _paint(canvas: NDArray[np.int64], where: Mask, color: tuple[int, int, int]) -> None:
    canvas[where] = color
