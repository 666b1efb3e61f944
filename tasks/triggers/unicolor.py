"""A square of one color."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from tasks.triggers.patch import CornerSquare, check_color, plain


@dataclass(frozen=True, kw_only=True)
class Unicolor(CornerSquare):
    """A square of one color in the lower right corner (paper, B.3 and Fig. A4: "naive trigger").

    The paper gives neither color, size nor place; ours has the geometry of BadNets-1.
    """

    name: ClassVar[str] = "unicolor"
    title: ClassVar[str] = "one color"
    place: ClassVar[int] = 4
    about: ClassVar[str] = (
        "One color is a square of a single color with the place and size of BadNets-1's; yellow "
        "unless set otherwise, on gray images its luminance, 226 of 255 (the paper says neither "
        "color, size nor place)."
    )

    color: tuple[int, int, int] = (255, 255, 0)
    """Red, green and blue, 0..255."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_color(self.color)

    def pixels(self, side: int, channels: int) -> NDArray[np.uint8]:
        """The square of one color, uint8, (side, side, channels)."""
        return plain(side, side, self.color, channels)
