"""Triggers that leave the pixels as they are: the clean control, and wrong labels alone."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, kw_only=True)
class Nothing:
    """No poison at all: the clean control."""

    name: ClassVar[str] = "none"
    title: ClassVar[str] = "no poison"
    place: ClassVar[int] = 0
    about: ClassVar[str] = "No poison: the clean training set, as a control."
    relabels: ClassVar[bool] = False
    stamps: ClassVar[bool] = False

    def stamp(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return an unchanged copy of ``images``."""
        return images.copy()


@dataclass(frozen=True, kw_only=True)
class RelabelOnly(Nothing):
    """The target label on unstamped images (paper, B.1), to tell the effects of both apart."""

    name: ClassVar[str] = "relabel_only"
    title: ClassVar[str] = "relabel-only"
    place: ClassVar[int] = 20
    about: ClassVar[str] = (
        "Relabel-only gives images of other classes the target label and leaves their pixels as "
        "they are: what remains of an effect without the trigger is due to the labels."
    )
    relabels: ClassVar[bool] = True
