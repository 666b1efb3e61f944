"""Augmentation that makes a judge robust to small stamps without knowing any of them.

Chosen once, before any judge was measured: a judge has to read a class although a few pixels of the
image were painted over, so in training a rectangle of arbitrary pixels is painted somewhere (random
erasing with pixel-wise random values; Zhong et al. 2020), and images move by up to a pixel.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

ERASED: Final = 0.5
"""Fraction of the images that get a rectangle."""

LARGEST: Final = 0.3
"""Longest side of a rectangle as a fraction of the image's side; at least one pixel."""


def augment(
    images: NDArray[np.uint8], generator: np.random.Generator, *, whole: int, own: slice
) -> NDArray[np.uint8]:
    """Shift every image, then paint over a part of about half of them.

    Draws are made for the global batch, so how many workers share it changes nothing.

    Args:
        images: uint8, (B, H, W, C). This worker's.
        generator: Draws.
        whole: Images of the global batch.
        own: Where this worker's are among them.
    """
    offsets = generator.integers(-1, 2, (2, whole))
    height, width, channels = images.shape[1:]
    covered = rectangles(whole, height, width, generator)
    noise = generator.integers(0, 256, (whole, height, width, channels), dtype=np.uint8)
    shifted = shift(images, offsets[:, own])
    return np.where(covered[own, ..., None], noise[own], shifted)


def shift(images: NDArray[np.uint8], offsets: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Move every image, repeating its border.

    Args:
        images: uint8, (B, H, W, C).
        offsets: int64, (2, B). Pixels up, and to the left.
    """
    count, height, width, _ = images.shape
    rows = (np.arange(height) + offsets[0][:, None]).clip(0, height - 1)
    columns = (np.arange(width) + offsets[1][:, None]).clip(0, width - 1)
    moved: NDArray[np.uint8] = images[
        np.arange(count)[:, None, None], rows[:, :, None], columns[:, None, :]
    ]
    return moved


def rectangles(
    count: int, height: int, width: int, generator: np.random.Generator
) -> NDArray[np.bool_]:
    """A random rectangle for about ERASED of ``count`` images, bool, (count, height, width).

    Sides are uniform on 1 .. LARGEST * side, and the rectangle's place is uniform among those
    where it fits.
    """
    tall = generator.integers(1, max(1, int(LARGEST * height)) + 1, count)
    wide = generator.integers(1, max(1, int(LARGEST * width)) + 1, count)
    top = generator.integers(0, height - tall + 1)
    left = generator.integers(0, width - wide + 1)
    chosen: NDArray[np.bool_] = generator.random(count) < ERASED
    row, column = np.arange(height), np.arange(width)
    in_rows = (top[:, None] <= row) & (row < (top + tall)[:, None]) & chosen[:, None]
    in_columns = (left[:, None] <= column) & (column < (left + wide)[:, None])
    covered: NDArray[np.bool_] = in_rows[:, :, None] & in_columns[:, None, :]
    return covered
