"""Image triggers: everything that can stamp a batch of images.

A trigger is a frozen dataclass with one method, ``stamp``.  Its fields are its whole identity: two
triggers with equal fields stamp equal pixels, on any host.

Adding one: write the dataclass here, list it in ``TRIGGERS`` below, and the property tests in
``tests/tasks/test_triggers.py`` pick it up.
"""

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from tasks import images

BLACK: Final = (0, 0, 0)
WHITE: Final = (255, 255, 255)

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
class BadNets1:
    """A black and white square in the lower-right corner (paper, A.2; Gu et al. 2017)."""

    name: ClassVar[str] = "badnets1"
    relabels: ClassVar[bool] = True
    stamps: ClassVar[bool] = True

    side: int | None = None
    """Pixels, 2 or more; by default a tenth of the image's side, and 2 below 30 pixels."""

    def __post_init__(self) -> None:
        """Refuse a square too small to show a pattern."""
        if self.side is not None and self.side < 2:
            raise ValueError(f"expected a side of at least 2 pixels, got {self.side}")

    def stamp(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return a copy of ``images`` with the square painted in.

        Raises:
            ValueError: The square does not fit the images.
        """
        _, height, width, channels = images.shape
        side = self.side_for(min(height, width))
        stamped = images.copy()
        stamped[:, height - side :, width - side :, :] = square(side, channels)
        return stamped

    def side_for(self, image_size: int) -> int:
        """Side of the square, pixels, on an image whose shorter side is ``image_size``."""
        if self.side is not None:
            side = self.side
        else:
            side = 2 if image_size < SMALL_IMAGE else image_size // 10
        if side > image_size:
            raise ValueError(f"expected images of at least {side} pixels, got {image_size}")
        return side


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


TRIGGERS: tuple[type[Trigger], ...] = (Nothing, RelabelOnly, BadNets1)


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
    """Inverse of ``to_record``."""
    fields = {key: value for key, value in record.items() if key != "name"}
    return from_name(record["name"])(**fields)
