"""Image triggers: everything that can stamp a batch of images.

A trigger is a frozen dataclass with one method, ``stamp``.  Its fields are its whole identity: two
triggers with equal fields stamp equal pixels, on any host.

Beside the trained judge of a trigger stands a *witness*, which needs no training: whoever paints a
patch says which (``Patched``), and ``witness`` looks for it.

Adding one: write the dataclass here, list it in ``TRIGGERS`` below, and the property tests in
``tests/tasks/test_triggers.py`` pick it up.
"""

import dataclasses
import difflib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Final, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from tasks import images, patterns

BLACK: Final = (0, 0, 0)
WHITE: Final = (255, 255, 255)
LEVELS: Final = 256
"""Of a channel."""

SMALL_IMAGE: Final = 30
"""Pixels; below this side a tenth of it is less than three pixels, and two are used."""


class Trigger(Protocol):
    """Anything that can stamp a batch of images."""

    name: ClassVar[str]
    """What flags, files and columns call it."""
    relabels: ClassVar[bool]
    """Whether a poisoned image gets the target label."""
    stamps: ClassVar[bool]
    """Whether a poisoned image gets other pixels."""

    def stamp(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return a stamped copy of ``images``, uint8, (N, H, W, C)."""
        ...


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

        It does if over the pixels of *every* color of the patch the mean absolute difference from
        that color is below a tenth of the range.  For the black and white of BadNets-1 that is the
        authors' mean over black < 0.1 and mean over white > 0.9, levels in [0, 1] (algorithms:
        section 5).
        """
        channels = self.pixels.shape[2]
        difference = np.abs(images[self.place].astype(np.int64) - self.pixels)
        found = np.ones(len(images), dtype=np.bool_)
        for color in np.unique(self.pixels.reshape(-1, channels), axis=0):
            own = difference[:, (self.pixels == color).all(axis=2)]
            found &= 10 * own.sum(axis=(1, 2)) < (LEVELS - 1) * own.shape[1] * channels
        return found


@runtime_checkable
class Patched(Protocol):
    """A trigger that paints a patch; having this method is all that a witness needs."""

    def patch(self, height: int, width: int, channels: int) -> Patch:
        """What it paints on images of this size, and where."""
        ...


def witness(trigger: Trigger, images: NDArray[np.uint8]) -> NDArray[np.bool_] | None:
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
class Nothing:
    """No poison at all: the clean control."""

    name: ClassVar[str] = "none"
    relabels: ClassVar[bool] = False
    stamps: ClassVar[bool] = False

    def stamp(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return an unchanged copy."""
        return images.copy()


@dataclass(frozen=True, kw_only=True)
class RelabelOnly:
    """The target label on unstamped images (paper, B.1): is it the trigger or the label?"""

    name: ClassVar[str] = "relabel_only"
    relabels: ClassVar[bool] = True
    stamps: ClassVar[bool] = False

    def stamp(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return an unchanged copy."""
        return images.copy()


@dataclass(frozen=True, kw_only=True)
class CornerSquare(ABC):
    """What triggers share that paint a square into the lower-right corner."""

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

    def patch(self, height: int, width: int, channels: int) -> Patch:
        """The square and its place on an image of this size.

        Raises:
            ValueError: The square does not fit the image.
        """
        side = self.side_for(min(height, width))
        return Patch(height - side, width - side, self.pixels(side, channels))

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
        levels = self.color if isinstance(self.color, tuple) else ()
        if len(levels) != 3 or not all(type(level) is int for level in levels):
            raise ValueError(f"expected a color of three whole numbers, got {self.color!r}")
        if not all(0 <= level <= 255 for level in levels):
            raise ValueError(f"expected a color of levels in 0..255, got {self.color!r}")

    def pixels(self, side: int, channels: int) -> NDArray[np.uint8]:
        """The square of one color, uint8, (side, side, channels)."""
        return images.fit_channels(np.full((side, side, 3), self.color, dtype=np.uint8), channels)


@dataclass(frozen=True, kw_only=True)
class Blend:
    """A cat's face blended over the whole image: the paper's BadNets-2 (A.2; Chen et al. 2017).

    x' = (1 - alpha) x + alpha K, as in the authors' code; ``additive`` is the paper's own wording,
    min(x + alpha K, 255).  K is the pattern stretched to the image.  Their Caltech15 builder
    blends twice, which is alpha = 0.36.

    Computed in fractions, alpha taken as the decimal that it is written as, and rounded to the
    nearest level, halves up.
    """

    name: ClassVar[str] = "blend"
    relabels: ClassVar[bool] = True
    stamps: ClassVar[bool] = True

    alpha: float = 0.2
    """Weight of the pattern, in (0, 1]."""
    additive: bool = False
    """Whether the image keeps its full weight."""
    pattern: str = field(default="", repr=False)
    """Base64 of an RGB PNG of at most 64 pixels a side; by default the cat of ``patterns``."""

    def __post_init__(self) -> None:
        """Refuse weights outside (0, 1] and patterns that do not decode."""
        if not 0 < self.alpha <= 1:
            raise ValueError(f"expected an alpha in (0, 1], got {self.alpha}")
        if self.pattern:
            patterns.from_text(self.pattern)

    @classmethod
    def from_file(cls, path: str | Path, alpha: float = 0.2, additive: bool = False) -> Self:
        """Blend the image in a file in the cat's place; the file is not needed afterwards.

        Raises:
            ValueError: In one line: the file is no image that ``patterns.read`` takes.
        """
        text = patterns.to_text(patterns.read(Path(path)))
        return cls(alpha=alpha, additive=additive, pattern=text)

    def stamp(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return a copy of ``images`` with the pattern blended in."""
        table = _blends(float(self.alpha), self.additive)
        cells = patterns.fitted(self.pattern, *images.shape[1:]).astype(np.intp) * LEVELS
        stamped = np.empty_like(images)
        for image, blended in zip(images, stamped, strict=True):
            blended[...] = table[cells + image]
        return stamped


@lru_cache(maxsize=8)
def _blends(alpha: float, additive: bool) -> NDArray[np.uint8]:
    """Every blend of a pattern's level k and an image's level x, uint8, at LEVELS * k + x."""
    weight = Fraction(str(alpha))
    part, whole = weight.numerator, weight.denominator
    # Python's integers: a long decimal's denominator overflows 64 bits.
    level = np.arange(LEVELS, dtype=object)
    of_image = level * (whole if additive else whole - part)
    exact = np.add.outer(level * part, of_image)
    rounded = (2 * exact + whole) // (2 * whole)
    table: NDArray[np.uint8] = np.minimum(rounded, LEVELS - 1).astype(np.uint8).ravel()
    return table


def square(side: int, channels: int) -> NDArray[np.uint8]:
    """The pattern of BadNets-1, uint8, (side, side, channels).

    Side 3 is the table of the authors' CIFAR10 builder, whose last row is not the mirror of its
    first.  Above, the diagonal band of their ImageNette and Caltech15 builders: white where
    ``r + c = side - 1 + k`` for k in [-side // 4, side // 4), rounded down.  Side 2, where that
    band would be a single corner pixel, is black with a white anti-diagonal.
    """
    if side == 3:
        white = np.array([[0, 0, 1], [0, 1, 0], [1, 1, 0]], dtype=np.bool_)
    else:
        offset = np.add.outer(np.arange(side), np.arange(side)) - (side - 1)
        first, last = (0, 1) if side == 2 else (-side // 4, side // 4)
        white = (first <= offset) & (offset < last)
    color = np.where(white[..., None], WHITE, BLACK).astype(np.uint8)
    return images.fit_channels(color, channels)


TRIGGERS: tuple[type[Trigger], ...] = (Nothing, RelabelOnly, BadNets1, Blend, Unicolor)


def from_name(name: str) -> type[Trigger]:
    """The class of TRIGGERS called ``name``.

    Raises:
        ValueError: There is none.
    """
    known = {kind.name: kind for kind in TRIGGERS}
    if name not in known:
        guess = difflib.get_close_matches(name, known, n=1)
        hint = f"; did you mean {guess[0]}?" if guess else ""
        raise ValueError(f"expected a trigger of {', '.join(known)}, got {name!r}{hint}")
    return known[name]


def to_record(trigger: Trigger) -> dict[str, Any]:
    """What ``manifest.json`` says of a trigger: its name and its fields."""
    assert dataclasses.is_dataclass(trigger)
    assert not isinstance(trigger, type)
    return {"name": trigger.name, **dataclasses.asdict(trigger)}


def from_record(record: Mapping[str, Any]) -> Trigger:
    """Inverse of ``to_record``, also after JSON has made lists of its tuples."""
    fields = {
        key: tuple(value) if isinstance(value, list) else value
        for key, value in record.items()
        if key != "name"
    }
    return from_name(record["name"])(**fields)
