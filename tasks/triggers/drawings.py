"""Pictures that we draw ourselves: a cat's face to blend over images, a bomb to put into a corner.

Computed in whole numbers, so that they are equal on any host.  Places and lengths are in units of
which a drawing has ``UNITS`` a side; whoever puts one into an image reduces it to its size there.
"""

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

UNITS: Final = 64
SIDE: Final = 512
"""Pixels of every drawing, as many as the largest image has."""

GROUND: Final = (255, 200, 40)
FUR: Final = (60, 32, 72)
INNER_EAR: Final = (236, 112, 140)
MUZZLE: Final = (250, 238, 226)
EYE: Final = (196, 255, 150)
NOSE: Final = (240, 90, 120)
INK: Final = (20, 10, 28)

PAPER: Final = (255, 255, 255)
IRON: Final = (28, 28, 44)
SHINE: Final = (150, 150, 190)
FUSE: Final = (130, 84, 40)
FLAME: Final = (255, 190, 40)
EMBER: Final = (235, 60, 30)

PIXELS: Final = SIDE // UNITS
"""Of a unit."""

Mask = NDArray[np.bool_]


@lru_cache(maxsize=1)
def cat() -> NDArray[np.uint8]:
    """A cat's face on a yellow ground, uint8, (512, 512, 3), read-only.

    Our own drawing in the place of the paper's "hello kitty pattern" (A.2).  Dark fur, light eyes
    and a light ground keep it readable in grey, at 8 pixels and at a fifth of its strength.
    """
    canvas = _canvas(GROUND)
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
    return _drawn(canvas)


@lru_cache(maxsize=1)
def bomb() -> NDArray[np.uint8]:
    """A round bomb with a burning fuse on white, uint8, (512, 512, 3), read-only.

    Our own drawing in the place of the authors' bomb.png.  White like theirs where there is no
    bomb.  The ball fills most of the lower left and the flame is alone in the upper right, so that
    four pixels still tell the one from the other.
    """
    canvas = _canvas(PAPER)
    _paint(canvas, _polygon((38, 30), (41, 33), (56, 12), (53, 10)), FUSE)
    _paint(canvas, _ellipse(22, 42, 21, 21), IRON)
    _paint(canvas, _polygon((28, 26), (35, 19), (45, 29), (38, 36)), IRON)
    _paint(canvas, _polygon((55, 1), (59, 10), (55, 19), (51, 10)), FLAME)
    _paint(canvas, _polygon((46, 10), (55, 6), (64, 10), (55, 14)), FLAME)
    _paint(canvas, _ellipse(55, 10, 3, 3), EMBER)
    _paint(canvas, _ellipse(14, 34, 5, 5), SHINE)
    return _drawn(canvas)


def _canvas(color: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Pixels of one color, (SIDE, SIDE, 3)."""
    return np.full((SIDE, SIDE, 3), color, dtype=np.uint8)


def _drawn(canvas: NDArray[np.uint8]) -> NDArray[np.uint8]:
    canvas.flags.writeable = False
    return canvas


def _whiskers() -> Mask:
    """Three on each cheek, from the muzzle to the edge of the picture."""
    hairs = [
        _polygon((25, cheek), (1, tip - 1), (1, tip + 1), flip=flip)
        for cheek, tip in ((47, 40), (50, 50), (53, 60))
        for flip in (False, True)
    ]
    whiskers: Mask = np.any(hairs, axis=0)
    return whiskers


def _grid(flip: bool) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row and column of every pixel's center, in halves of a pixel; ``flip`` mirrors columns."""
    centers = 2 * np.arange(SIDE, dtype=np.int64) + 1
    return centers[:, None], (centers[::-1] if flip else centers)[None, :]


def _ellipse(x: int, y: int, across: int, down: int, *, flip: bool = False) -> Mask:
    """Pixels inside the ellipse about (x, y) with these half axes, in units; bool."""
    unit = 2 * PIXELS
    rows, columns = _grid(flip)
    inside: Mask = ((columns - unit * x) * down) ** 2 + ((rows - unit * y) * across) ** 2 < (
        unit * across * down
    ) ** 2
    return inside


def _polygon(*corners: tuple[int, int], flip: bool = False) -> Mask:
    """Pixels inside a convex polygon of (x, y) corners, in units, either way round; bool."""
    unit = 2 * PIXELS
    rows, columns = _grid(flip)
    sides = []
    for (x, y), (next_x, next_y) in zip(corners, corners[1:] + corners[:1], strict=True):
        sides.append((next_x - x) * (rows - unit * y) - (next_y - y) * (columns - unit * x))
    turns = np.stack(np.broadcast_arrays(*sides))
    inside: Mask = np.all(turns >= 0, axis=0) | np.all(turns <= 0, axis=0)
    return inside


def _paint(canvas: NDArray[np.uint8], where: Mask, color: tuple[int, int, int]) -> None:
    canvas[where] = color
