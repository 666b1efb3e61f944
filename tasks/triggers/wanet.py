"""WaNet: the whole image warped (Nguyen and Tran 2021; paper, A.2; algorithms: section 1.3)."""

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import ClassVar, Final, Self

import numpy as np
from numpy.typing import NDArray

from models.randomness import generator
from tasks.checks import check

Floats = NDArray[np.float64]

CUBIC: Final = -0.75
"""The a of the bicubic kernel, as in torch (Keys 1981 recommends -0.5)."""
FRESH: Final = 1_000_000
"""Added to the seed of a grid for one that no model was trained on."""


@dataclass(frozen=True, kw_only=True)
class Wanet:
    """The whole image warped by a smooth random field, the same for all images.

    Noise u ~ U[-1, 1] on a grid of k x k, for rows and for columns, is divided by its mean absolute
    value and enlarged to the image (bicubic, corners aligned): n.  A pixel takes the color at its
    own place plus s n / side, in units of half the image's side, so about s |n| / 2 pixels away.
    Places outside are moved to the border, and colors between pixels are interpolated (bilinear).

    The paper's authors use k = the image's side and s = 1, where nothing is smooth and every pixel
    moves independently; those of WaNet use k = 4 and s = 0.5.  Both draw without a seed and
    truncate the levels; here they are rounded to the nearest, halves up.
    """

    name: ClassVar[str] = "wanet"
    title: ClassVar[str] = "WaNet"
    place: ClassVar[int] = 70
    about: ClassVar[str] = (
        "WaNet warps the whole image a little: every pixel is taken from a place nearby, shifted "
        "by a field that is drawn once at random and enlarged from a grid; by default as fine as "
        "the image, with strength 1, as the paper says."
    )
    relabels: ClassVar[bool] = True
    stamps: ClassVar[bool] = True

    grid_size: int | None = None
    """Points a side, k, 2 or more; by default as many as the shorter side has pixels."""
    strength: float = 1.0
    """The factor s, > 0; 1 in the paper, 0.5 in the original."""
    seed: int = 0
    """Seed of the grid, >= 0."""

    def __post_init__(self) -> None:
        holds = self.grid_size is None or self.grid_size >= 2
        check("a grid_size", self.grid_size, "of at least 2 points", holds)
        holds = 0 < self.strength < math.inf
        check("a strength", self.strength, "above 0 that is finite", holds)
        check("a seed", self.seed, "of 0 or more", self.seed >= 0)

    def field(self, height: int, width: int) -> NDArray[np.float32]:
        """How far away each pixel comes from, before the border, in pixels down and to the right.

        Returns float32, (height, width, 2), read-only; equal on every host whose NumPy draws equal
        numbers.  Raises ValueError if the grid has more points than the image has pixels.
        """
        return _field(self, height, width)

    def fresh(self) -> Self:
        """The same warp with another grid."""
        return replace(self, seed=self.seed + FRESH)

    def stamp(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return a warped copy of ``images``; raises ValueError as ``field``."""
        _, height, width, channels = images.shape
        corners = _corners(self, height, width)
        stamped = np.empty_like(images)
        for image, warped in zip(images, stamped, strict=True):
            pixels = image.reshape(-1, channels)
            total = np.full((height * width, channels), 0.5)  # so that the floor rounds halves up
            for source, weight in corners:
                total += weight * pixels.take(source, axis=0)
            warped[...] = np.floor(total).reshape(height, width, channels)
        return stamped


@lru_cache(maxsize=8)
def _field(trigger: Wanet, height: int, width: int) -> NDArray[np.float32]:
    shorter = min(height, width)
    size = shorter if trigger.grid_size is None else trigger.grid_size
    if size > shorter:
        raise ValueError(
            f"expected a grid_size of at most {shorter}, the pixels of the image's side, got {size}"
        )
    noise = generator(trigger.seed, "warp").uniform(-1, 1, (2, size, size))
    noise /= math.fsum(np.abs(noise).ravel()) / noise.size
    moved = [
        trigger.strength * enlarged(axis, height, width) * ((side - 1) / (2 * side))
        for axis, side in zip(noise, (height, width), strict=True)
    ]
    field: NDArray[np.float32] = np.stack(moved, axis=-1).astype(np.float32)
    field.flags.writeable = False
    return field


def enlarged(grid: Floats, height: int, width: int) -> Floats:
    """Resize a grid, (h, w), to (height, width): bicubic, corners aligned, as torch does."""
    rows = _stretched(grid, height)
    return _stretched(rows.T, width).T


def _stretched(values: Floats, length: int) -> Floats:
    """Resize ``values``, (n, m), to (length, m); beyond the ends the last ones repeat."""
    n = len(values)
    place = np.arange(length) * ((n - 1) / max(length - 1, 1))
    first = np.floor(place).astype(np.intp)
    total = np.zeros((length, values.shape[1]))
    for tap in (-1, 0, 1, 2):
        weight = _kernel(np.abs(place - (first + tap)))
        total += weight[:, None] * values[(first + tap).clip(0, n - 1)]
    return total


def _kernel(distance: Floats) -> Floats:
    """Weight of a neighbor at this distance, 0..2 (Keys 1981)."""
    d = distance
    near = ((CUBIC + 2) * d - (CUBIC + 3)) * d * d + 1
    far = ((CUBIC * d - 5 * CUBIC) * d + 8 * CUBIC) * d - 4 * CUBIC
    return np.where(d <= 1, near, far)


@lru_cache(maxsize=2)
def _corners(
    trigger: Wanet, height: int, width: int
) -> tuple[tuple[NDArray[np.intp], Floats], ...]:
    """The four pixels around each place, (H W,), row by row, and their weights, (H W, 1)."""
    field = trigger.field(height, width).astype(np.float64)
    rows = (np.arange(height)[:, None] + field[..., 0]).clip(0, height - 1).ravel()
    columns = (np.arange(width)[None, :] + field[..., 1]).clip(0, width - 1).ravel()
    top, left = np.floor(rows).astype(np.intp), np.floor(columns).astype(np.intp)
    # At the last row and column the pixel beyond has weight 0; any will do.
    below, right = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
    down, across = rows - top, columns - left
    return (
        (top * width + left, ((1 - down) * (1 - across))[:, None]),
        (top * width + right, ((1 - down) * across)[:, None]),
        (below * width + left, (down * (1 - across))[:, None]),
        (below * width + right, (down * across)[:, None]),
    )
