"""A picture in a square."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Final, Self

import numpy as np
from numpy.typing import NDArray

from tasks.checks import check_name
from tasks.triggers.patch import CornerSquare
from tasks.triggers.picture import BOMB, Picture, check_picture, fitted

POSITIONS: Final = {
    "bottom_right": (2, 2),
    "bottom_left": (2, 0),
    "top_left": (0, 0),
    "top_right": (0, 2),
    "center": (1, 1),
}
"""How many halves of the free rows lie above a patch, and of the free columns left of it."""


@dataclass(frozen=True, kw_only=True)
class ImagePatch(CornerSquare):
    """A picture in a square (paper, Fig. A4: the authors' bomb; BadT2I's mark is another).

    The picture is resized to the square with Pillow's bicubic filter, whatever its proportions, as
    the authors do.  Transparent pixels become white.
    """

    name: ClassVar[str] = "image_patch"
    title: ClassVar[str] = "image patch"
    place: ClassVar[int] = 5
    about: ClassVar[str] = (
        "The image patch is a small picture in the lower right corner, as large as BadNets-1's "
        "square: a bomb that we draw in place of the authors', unless a file was given."
    )

    picture: Picture | None = field(default=None, metadata={"file": True})
    """By default our bomb."""
    position: str = "bottom_right"
    """A name of POSITIONS."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_name("a position", self.position, list(POSITIONS))
        check_picture(self.picture)

    @classmethod
    def from_file(
        cls, path: str | Path, side: int | None = None, position: str = "bottom_right"
    ) -> Self:
        """Read the picture from an image file, which is not needed afterwards.

        Raises:
            ValueError: The file is not an image that ``Picture.read`` takes.
        """
        return cls(picture=Picture.read(Path(path)), side=side, position=position)

    def pixels(self, side: int, channels: int) -> NDArray[np.uint8]:
        """The picture, uint8, (side, side, channels), read-only."""
        return fitted(self.picture, side, side, channels, BOMB)

    def corner(self, free_rows: int, free_columns: int) -> tuple[int, int]:
        """First row and column; in the center they are rounded down."""
        down, right = POSITIONS[self.position]
        return free_rows * down // 2, free_columns * right // 2
