"""What a trigger is, and what some triggers can do besides."""

from typing import ClassVar, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray


class Trigger(Protocol):
    """Stamps a batch of images.

    A frozen dataclass whose fields are its whole identity: triggers with equal fields stamp equal
    pixels on any host.
    """

    name: ClassVar[str]
    """Its name in flags, files and columns."""
    title: ClassVar[str]
    """Its name on pages."""
    place: ClassVar[int]
    """Its place on pages; smaller ones come first."""
    about: ClassVar[str]
    """One or more sentences for the glossary of a page."""
    relabels: ClassVar[bool]
    """Whether a poisoned image gets the target label.

    If so, images of the other classes are poisoned, otherwise images of the target class.
    """
    stamps: ClassVar[bool]
    """Whether the pixels of a poisoned image change."""

    def stamp(self, images: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return a stamped copy of ``images``, uint8, (N, H, W, C)."""


@runtime_checkable
class Renewable(Trigger, Protocol):
    """A trigger that is drawn at random and can be drawn again."""

    def fresh(self) -> Self:
        """The same trigger with other random draws, which no model was trained on."""


def check_stamps(trigger: Trigger) -> None:
    """Raise ValueError unless a trigger changes pixels, so that a judge can look for it."""
    if not trigger.stamps:
        raise ValueError(
            f"expected a trigger that stamps, got {trigger.name}; judge a control with the "
            "trigger that it controls for"
        )
