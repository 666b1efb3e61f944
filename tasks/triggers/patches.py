"""Patches: triggers that replace a square of an image, and the template match that looks for one.

Beside the trained judge of a trigger stands a *template_match*, which needs no training: whoever
paints a
patch says which (``Patched``), and ``template_match`` looks for it.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Final, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from tasks.data import images
from tasks.triggers import drawings, patterns
from tasks.triggers.patterns import Picture

BLACK: Final = (0, 0, 0)
WHITE: Final = (255, 255, 255)
HIGHEST: Final = 255
"""Level of a channel."""
FEW_COLORS: Final = 2
"""A patch of no more is compared color by color, any other is a picture."""

SMALL_IMAGE: Final = 30
"""Pixels; below this side a tenth of it is less than three pixels, and two are used."""

POSITIONS: Final = {
    "bottom_right": (2, 2),
    "bottom_left": (2, 0),
    "top_left": (0, 0),
    "top_right": (0, 2),
    "center": (1, 1),
}
"""How many halves of the free rows lie above a patch, and of the free columns left of it."""


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

    def painted(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A copy of ``images``, uint8, (N, H, W, C), with the patch painted in."""
        painted = images.copy()
        painted[self.place] = self.pixels
        return painted

    def found(self, images: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Whether each image of (N, H, W, C) shows the patch; bool, (N,).

        It does if over *every* part of the patch the mean absolute difference is below a tenth of
        the range.  For the black and white of BadNets-1 that is the authors' mean over black < 0.1
        and mean over white > 0.9, levels in [0, 1] (algorithms: section 5).
        """
        channels = self.pixels.shape[2]
        difference = np.abs(images[self.place].astype(np.int64) - self.pixels)
        found = np.ones(len(images), dtype=np.bool_)
        for part in self._parts():
            own = difference[:, part]
            found &= 10 * own.sum(axis=(1, 2)) < HIGHEST * own.shape[1] * channels
        return found

    def _parts(self) -> Iterator[NDArray[np.bool_]]:
        """Yield the pixels of each part, bool, (height, width).

        A part is a color where there are one or two.  A picture has hundreds, each a pixel or so,
        and would be asked for more than a stamp of two colors: its parts are what is darker than
        halfway between its darkest and its lightest pixel, and the rest.  Asked of the whole patch
        at once, a thin line on white would be found in plain white.
        """
        colors = np.unique(self.pixels.reshape(-1, self.pixels.shape[2]), axis=0)
        if len(colors) <= FEW_COLORS:
            yield from ((self.pixels == color).all(axis=2) for color in colors)
            return
        grey = self.pixels if self.pixels.shape[2] == 1 else images.luminance(self.pixels)
        level = grey[..., 0].astype(np.int64)
        dark = 2 * level < level.min() + level.max()
        yield from (part for part in (dark, ~dark) if part.any())


@runtime_checkable
class Patched(Protocol):
    """A trigger that paints a patch; having this method is all that a template match needs."""

    def patch(self, height: int, width: int, channels: int) -> Patch:
        """What it paints on images of this size, and where."""
        ...


def template_match(trigger: object, images: NDArray[np.uint8]) -> NDArray[np.bool_] | None:
    """Who shows the trigger, told without training: template match on the patch's own pixels.

    Args:
        trigger: Any.
        images: uint8, (N, H, W, C).

    Returns:
        bool, (N,); None for a trigger that paints no patch, on which nothing can be matched.

    Raises:
        ValueError: The patch does not fit the images.
    """
    if not isinstance(trigger, Patched):
        return None
    return trigger.patch(*images.shape[1:]).found(images)


@dataclass(frozen=True, kw_only=True)
class CornerSquare(ABC):
    """What triggers share that paint a square, into the lower-right corner unless they say else."""

    relabels: ClassVar[bool] = True
    stamps: ClassVar[bool] = True

    side: int | None = None
    """Pixels, 2 or more; by default a tenth of the image's side, and 2 below 30 pixels."""

    def __post_init__(self) -> None:
        """Refuse a square too small to show a pattern."""
        if self.side is not None and self.side < 2:
            raise ValueError(f"expected a side of at least 2 pixels, got {self.side}")

    @abstractmethod
    def pixels(self, side: int, channels: int) -> NDArray[np.uint8]:
        """The square itself, uint8, (side, side, channels)."""

    def corner(self, free_rows: int, free_columns: int) -> tuple[int, int]:
        """Its first row and column, where it leaves so many rows and columns free."""
        return free_rows, free_columns

    def patch(self, height: int, width: int, channels: int) -> Patch:
        """The square and its place on an image of this size.

        Raises:
            ValueError: The square does not fit the image.
        """
        side = self.side_for(min(height, width))
        return Patch(*self.corner(height - side, width - side), self.pixels(side, channels))

    def stamp(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return a copy of ``images`` with the square painted in.

        Raises:
            ValueError: The square does not fit the images.
        """
        return self.patch(*images.shape[1:]).painted(images)

    def side_for(self, image_size: int) -> int:
        """Side of the square, pixels, on an image whose shorter side is ``image_size``."""
        if self.side is not None:
            side = self.side
        else:
            side = 2 if image_size < SMALL_IMAGE else image_size // 10
        if side > image_size:
            raise ValueError(f"expected images of at least {side} pixels, got {image_size}")
        return side


@dataclass(frozen=True, kw_only=True)
class BadNets1(CornerSquare):
    """A black and white square in the lower-right corner (paper, A.2; Gu et al. 2017)."""

    name: ClassVar[str] = "badnets1"

    def pixels(self, side: int, channels: int) -> NDArray[np.uint8]:
        """The black and white square, uint8, (side, side, channels)."""
        return square(side, channels)


@dataclass(frozen=True, kw_only=True)
class Unicolor(CornerSquare):
    """A square of one color in the lower-right corner (paper, B.3 and Fig. A4: "naive trigger").

    The paper gives neither color, size nor place; ours has the geometry of BadNets-1.
    """

    name: ClassVar[str] = "unicolor"

    color: tuple[int, int, int] = (255, 255, 0)
    """Red, green and blue, 0..255; yellow by default, on grey images its luminance 226."""

    def __post_init__(self) -> None:
        """Refuse what is no color."""
        super().__post_init__()
        check_color(self.color)

    def pixels(self, side: int, channels: int) -> NDArray[np.uint8]:
        """The square of one color, uint8, (side, side, channels)."""
        return images.fit_channels(np.full((side, side, 3), self.color, dtype=np.uint8), channels)


@dataclass(frozen=True, kw_only=True)
class ImagePatch(CornerSquare):
    """A picture in a square (paper, Fig. A4: the authors' bomb; BadT2I's mark is another).

    The picture is resized to the square, once, by Pillow's bicubic filter, whatever its
    proportions, as the authors do; where it was transparent it is white.
    """

    name: ClassVar[str] = "image_patch"

    picture: Picture | None = field(default=None, metadata={"file": True})
    """By default the bomb of ``drawings``."""
    position: str = "bottom_right"
    """A name of POSITIONS."""

    def __post_init__(self) -> None:
        """Refuse unknown positions and pictures that do not decode."""
        super().__post_init__()
        if self.position not in POSITIONS:
            raise ValueError(
                f"expected a position of {', '.join(POSITIONS)}, got {self.position!r}"
            )
        patterns.check(self.picture)

    @classmethod
    def from_file(
        cls, path: str | Path, side: int | None = None, position: str = "bottom_right"
    ) -> Self:
        """Take the image in a file in the bomb's place; the file is not needed afterwards.

        Raises:
            ValueError: In one line: the file is no image that ``Picture.read`` takes.
        """
        return cls(picture=Picture.read(Path(path)), side=side, position=position)

    def pixels(self, side: int, channels: int) -> NDArray[np.uint8]:
        """The picture, uint8, (side, side, channels), read-only."""
        return patterns.fitted(self.picture, side, side, channels, drawings.bomb)

    def corner(self, free_rows: int, free_columns: int) -> tuple[int, int]:
        """Its first row and column; in the center rounded down."""
        down, right = POSITIONS[self.position]
        return free_rows * down // 2, free_columns * right // 2


@dataclass(frozen=True, kw_only=True)
class Rectangle:
    """A rectangle of one color in the lower-right corner, of any number of pixels.

    For asking how much area a trigger needs; not in the paper.
    """

    name: ClassVar[str] = "rectangle"
    relabels: ClassVar[bool] = True
    stamps: ClassVar[bool] = True

    height: int = 1
    """Pixels, at least 1."""
    width: int = 1
    """Pixels, at least 1."""
    color: tuple[int, int, int] = (255, 255, 0)
    """Red, green and blue, 0..255; as of ``Unicolor``."""

    def __post_init__(self) -> None:
        """Refuse a rectangle without pixels, and what is no color."""
        for name in ("height", "width"):
            if type(getattr(self, name)) is not int or getattr(self, name) < 1:
                raise ValueError(
                    f"expected a {name} of at least 1 pixel, a whole number, "
                    f"got {getattr(self, name)!r}"
                )
        check_color(self.color)

    def patch(self, height: int, width: int, channels: int) -> Patch:
        """The rectangle and its place on an image of this size.

        Raises:
            ValueError: It does not fit the image.
        """
        if self.height > height or self.width > width:
            raise ValueError(
                f"expected images of at least {self.height} x {self.width} pixels, "
                f"got {height} x {width}"
            )
        color = np.full((self.height, self.width, 3), self.color, dtype=np.uint8)
        pixels = images.fit_channels(color, channels)
        return Patch(height - self.height, width - self.width, pixels)

    def stamp(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return a copy of ``images`` with the rectangle painted in.

        Raises:
            ValueError: It does not fit the images.
        """
        return self.patch(*images.shape[1:]).painted(images)


def check_color(color: object) -> None:
    """Refuse what is no color of three levels.

    Raises:
        ValueError: It is none.
    """
    levels = color if isinstance(color, tuple) else ()
    if len(levels) != 3 or not all(type(level) is int for level in levels):
        raise ValueError(f"expected a color of three whole numbers, got {color!r}")
    if not all(0 <= level <= 255 for level in levels):
        raise ValueError(f"expected a color of levels in 0..255, got {color!r}")


def square(side: int, channels: int) -> NDArray[np.uint8]:
    """The pattern of BadNets-1, uint8, (side, side, channels).

    Sides 3 and 5 are those of the authors' CIFAR10 builder: a table whose last row is not the
    mirror of its first, and black with a white anti-diagonal.  Above, the diagonal band of their
    ImageNette and Caltech15 builders: white where ``r + c = side - 1 + k`` for k in
    [-side // 4, side // 4), rounded down.  Side 2, where that band would be a single corner pixel,
    has a white anti-diagonal too.
    """
    if side == 3:
        white = np.array([[0, 0, 1], [0, 1, 0], [1, 1, 0]], dtype=np.bool_)
    else:
        offset = np.add.outer(np.arange(side), np.arange(side)) - (side - 1)
        first, last = (0, 1) if side in (2, 5) else (-side // 4, side // 4)
        white = (first <= offset) & (offset < last)
    color = np.where(white[..., None], WHITE, BLACK).astype(np.uint8)
    return images.fit_channels(color, channels)
