"""Augmentation that makes a judge robust to small stamps without knowing any of them.

A judge has to read a class although a few pixels of the image were painted over.  So in training a
rectangle of arbitrary pixels is painted at an arbitrary place (random erasing with random values;
Zhong et al. 2020).  It was chosen against doing nothing and against moving images by a pixel, on
training images held out and painted over at random; how images with a trigger fared did not decide,
and no test image was looked at.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

ERASED: Final = 0.5
"""Fraction of the images that get a rectangle."""

LARGEST: Final = 0.3
"""Longest side of a rectangle as a fraction of the image's side; at least one pixel."""


def erase(
    images: NDArray[np.uint8], generator: np.random.Generator, *, whole: int, own: slice
) -> NDArray[np.uint8]:
    """Paint random pixels over a random rectangle of about half of the images.

    Draws are made for the global batch, so how many workers share it changes nothing.

    Args:
        images: uint8, (B, H, W, C). This worker's.
        generator: Draws.
        whole: Images of the global batch.
        own: Where this worker's are among them.

    Returns:
        uint8, (B, H, W, C), a copy.
    """
    height, width, channels = images.shape[1:]
    covered = rectangles(whole, height, width, generator)
    noise = generator.integers(0, 256, (whole, height, width, channels), dtype=np.uint8)
    return np.where(covered[own, ..., None], noise[own], images)


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
