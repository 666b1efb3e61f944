"""Patches, which replace a rectangle of an image, and template matching, which looks for one."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Final, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from tasks.checks import check
from tasks.data import images

HIGHEST: Final = 255
"""Level of a channel."""
FEW_COLORS: Final = 2
"""A patch of at most so many colors is compared color by color, any other as a picture."""
SMALL_IMAGE: Final = 30
"""Pixels a side; a tenth of a smaller image is less than three pixels, and two are used."""


@dataclass(frozen=True)
class Patch:
    """Pixels that replace a rectangle of an image."""

    top: int
    """First row."""
    left: int
    """First column."""
    pixels: NDArray[np.uint8]
    """(height, width, C)."""

    @property
    def place(self) -> tuple[slice, slice, slice]:
        """Its images, rows and columns in a batch, (N, H, W, C)."""
        height, width, _ = self.pixels.shape
        rows = slice(self.top, self.top + height)
        return slice(None), rows, slice(self.left, self.left + width)

    def found(self, images: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Whether each image of (N, H, W, C) shows the patch; bool, (N,).

        It does if over *every* part of the patch the mean absolute difference is below a tenth of
        the range: for BadNets-1 the authors' conditions (algorithms: section 5).
        """
        channels = self.pixels.shape[2]
        difference = np.abs(images[self.place].astype(np.int64) - self.pixels)
        found = np.ones(len(images), dtype=np.bool_)
        for part in self._parts():
            own = difference[:, part]
            found &= 10 * own.sum(axis=(1, 2)) < HIGHEST * own.shape[1] * channels
        return found

    def _parts(self) -> Iterator[NDArray[np.bool_]]:
        """Yield the pixels of each part, bool, (height, width): each color, or dark and light ones.

        Compared as a whole, a thin line on white would be found in plain white.
        """
        colors = np.unique(self.pixels.reshape(-1, self.pixels.shape[2]), axis=0)
        if len(colors) <= FEW_COLORS:
            yield from ((self.pixels == color).all(axis=2) for color in colors)
            return
        gray = self.pixels if self.pixels.shape[2] == 1 else images.luminance(self.pixels)
        level = gray[..., 0].astype(np.int64)
        dark = 2 * level < level.min() + level.max()
        yield from (part for part in (dark, ~dark) if part.any())


@runtime_checkable
class Patched(Protocol):
    """A trigger that paints a patch; template matching needs nothing but this method."""

    def patch(self, height: int, width: int, channels: int) -> Patch:
        """The patch and its place on images of this size."""


def template_match(trigger: object, images: NDArray[np.uint8]) -> NDArray[np.bool_] | None:
    """Which images, uint8, (N, H, W, C), show the trigger's patch: bool, (N,), or None without one.

    Raises ValueError if the patch does not fit the images.
    """
    if not isinstance(trigger, Patched):
        return None
    return trigger.patch(*images.shape[1:]).found(images)


class PatchTrigger(ABC):
    """Base of triggers that paint a patch."""

    relabels: ClassVar[bool] = True
    stamps: ClassVar[bool] = True

    @abstractmethod
    def patch(self, height: int, width: int, channels: int) -> Patch:
        """The patch and its place on images of this size; raises ValueError if it does not fit."""

    def stamp(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return a copy of ``images`` with the patch painted in; raises ValueError as ``patch``."""
        patch = self.patch(*images.shape[1:])
        painted = images.copy()
        painted[patch.place] = patch.pixels
        return painted


@dataclass(frozen=True, kw_only=True)
class CornerSquare(PatchTrigger):
    """Base of triggers that paint a square, by default into the lower right corner."""

    side: int | None = None
    """Pixels, 2 or more; by default a tenth of the image's side, and 2 below 30 pixels."""

    def __post_init__(self) -> None:
        holds = self.side is None or self.side >= 2
        check("a side", self.side, "of at least 2 pixels", holds)

    @abstractmethod
    def pixels(self, side: int, channels: int) -> NDArray[np.uint8]:
        """The square itself, uint8, (side, side, channels)."""

    def corner(self, free_rows: int, free_columns: int) -> tuple[int, int]:
        """First row and column of a square that leaves so many rows and columns free."""
        return free_rows, free_columns

    def patch(self, height: int, width: int, channels: int) -> Patch:
        """The square and its place on images of this size; raises ValueError if it does not fit."""
        side, smaller = self.side, min(height, width)
        if side is None:
            side = 2 if smaller < SMALL_IMAGE else smaller // 10
        if side > smaller:
            raise ValueError(f"expected images of at least {side} pixels, got {smaller}")
        return Patch(*self.corner(height - side, width - side), self.pixels(side, channels))


def plain(height: int, width: int, color: tuple[int, int, int], channels: int) -> NDArray[np.uint8]:
    """A rectangle of one color, uint8, (height, width, channels); gray has its luminance."""
    return images.fit_channels(np.full((height, width, 3), color, dtype=np.uint8), channels)


def check_color(color: object) -> None:
    """Raise ValueError unless a color has three levels in 0..255."""
    levels = color if isinstance(color, tuple) else ()
    holds = len(levels) == 3 and all(type(level) is int for level in levels)
    check("a color", color, "of three whole numbers", holds)
    check("a color", color, "of levels in 0..255", all(0 <= level <= 255 for level in levels))
