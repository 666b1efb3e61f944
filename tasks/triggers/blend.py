"""BadNets-2: a pattern blended over the whole image."""

from dataclasses import dataclass, field
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import ClassVar, Final, Self

import numpy as np
from numpy.typing import NDArray

from tasks.checks import check
from tasks.triggers.picture import CAT, Picture, check_picture, fitted

LEVELS: Final = 256
"""Levels of a channel."""


@dataclass(frozen=True, kw_only=True)
class Blend:
    """A cat's face blended over the whole image: the paper's BadNets-2 (A.2; Chen et al. 2017).

    x' = (1 - alpha) x + alpha K, as in the authors' code; ``additive`` is the paper's own wording,
    min(x + alpha K, 255).  K is the pattern stretched to the image.  Their Caltech15 builder blends
    twice, which is alpha = 0.36.  Levels are computed exactly and rounded, halves up.
    """

    name: ClassVar[str] = "blend"
    title: ClassVar[str] = "BadNets-2"
    place: ClassVar[int] = 60
    about: ClassVar[str] = (
        "BadNets-2 is a pattern blended over the whole image, (1 − α) x + α K with α = 0.2 as in "
        "the authors' code; the paper's text adds α K instead, which is an option here. K is a "
        "cat's face that we draw in place of the authors' Hello Kitty, unless a file was given."
    )
    relabels: ClassVar[bool] = True
    stamps: ClassVar[bool] = True

    alpha: float = 0.2
    """Weight of the pattern, in (0, 1]."""
    additive: bool = False
    """Whether the image keeps its full weight."""
    pattern: Picture | None = field(default=None, metadata={"file": True})
    """By default our cat."""

    def __post_init__(self) -> None:
        check("an alpha", self.alpha, "in (0, 1]", 0 < self.alpha <= 1)
        check_picture(self.pattern)

    @classmethod
    def from_file(cls, path: str | Path, alpha: float = 0.2, additive: bool = False) -> Self:
        """Read the pattern from a file, not needed afterwards; errors as of ``Picture.read``."""
        return cls(alpha=alpha, additive=additive, pattern=Picture.read(Path(path)))

    def stamp(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return a copy of ``images`` with the pattern blended in."""
        table = _blends(float(self.alpha), self.additive)
        cells = fitted(self.pattern, *images.shape[1:], CAT).astype(np.intp) * LEVELS
        stamped = np.empty_like(images)
        for image, blended in zip(images, stamped, strict=True):
            blended[...] = table[cells + image]
        return stamped


@lru_cache(maxsize=8)
def _blends(alpha: float, additive: bool) -> NDArray[np.uint8]:
    """Every blend of a pattern's level k and an image's level x, uint8, at LEVELS * k + x."""
    weight = Fraction(str(alpha))
    part, whole = weight.numerator, weight.denominator
    # Python's integers: the denominator of a long decimal overflows 64 bits.
    level = np.arange(LEVELS, dtype=object)
    of_image = level * (whole if additive else whole - part)
    exact = np.add.outer(level * part, of_image)
    rounded = (2 * exact + whole) // (2 * whole)
    table: NDArray[np.uint8] = np.minimum(rounded, LEVELS - 1).astype(np.uint8).ravel()
    return table
