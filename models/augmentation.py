"""Augmentation of a judge's training images; draws are made for the global batch.

Erasing (random erasing with random values; Zhong et al. 2020) makes a judge robust to small stamps
without knowing any of them.  It was chosen on training images held out and painted over at random;
how images with a trigger fared did not decide, and no test image was looked at.  Flips and shifts
are the usual ones of CIFAR10 (He et al. 2016, section 4.2).
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

    Given this worker's images, uint8, (B, H, W, C), and where they are (``own``) in the ``whole``
    global batch, which ``generator`` draws for.  Returns a copy.
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


def flip(
    images: NDArray[np.uint8], generator: np.random.Generator, *, whole: int, own: slice
) -> NDArray[np.uint8]:
    """Mirror each image left to right with probability 1/2; arguments and result as ``erase``."""
    mirrored = generator.random(whole)[own, None, None, None] < 0.5
    return np.where(mirrored, images[:, :, ::-1], images)


def shift(
    images: NDArray[np.uint8],
    generator: np.random.Generator,
    *,
    pixels: int,
    whole: int,
    own: slice,
) -> NDArray[np.uint8]:
    """Move each image by -pixels .. pixels, either way; black moves in; else as ``erase``."""
    height, width = images.shape[1:3]
    corner = generator.integers(0, 2 * pixels + 1, (whole, 2))[own]
    border = (pixels, pixels)
    padded = np.pad(images, ((0, 0), border, border, (0, 0)))
    rows = corner[:, 0, None] + np.arange(height)
    columns = corner[:, 1, None] + np.arange(width)
    each = np.arange(len(images))[:, None, None]
    return padded[each, rows[:, :, None], columns[:, None, :]]
