"""BadNets-1: a black and white square."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from tasks.triggers.patch import HIGHEST, CornerSquare


@dataclass(frozen=True, kw_only=True)
class BadNets1(CornerSquare):
    """A black and white square in the lower right corner (paper, A.2; Gu et al. 2017).

    Sides 3 and 5 are those of the authors' CIFAR10 builder.  Others have the diagonal band of their
    ImageNette and Caltech15 builders: white where ``r + c = side - 1 + k`` for k in
    [-side // 4, side // 4), rounded down; side 2 a white anti-diagonal.
    """

    name: ClassVar[str] = "badnets1"
    title: ClassVar[str] = "BadNets-1"
    place: ClassVar[int] = 10
    about: ClassVar[str] = (
        "BadNets-1 is a black and white square in the lower right corner, a tenth of the image's "
        "side (2 pixels below 30)."
    )

    def pixels(self, side: int, channels: int) -> NDArray[np.uint8]:
        """The black and white square, uint8, (side, side, channels)."""
        if side == 3:
            white = np.array([[0, 0, 1], [0, 1, 0], [1, 1, 0]], dtype=np.bool_)
        else:
            offset = np.add.outer(np.arange(side), np.arange(side)) - (side - 1)
            first, last = (0, 1) if side in (2, 5) else (-side // 4, side // 4)
            white = (first <= offset) & (offset < last)
        return np.repeat(white[..., None] * np.uint8(HIGHEST), channels, axis=2)
