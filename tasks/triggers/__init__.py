"""Image triggers: everything that can stamp a batch of images.

A trigger is a frozen dataclass with one method, ``stamp``.  Its fields are its whole identity: two
triggers with equal fields stamp equal pixels, on any host.

Adding one: write the dataclass here (``patches``, ``blending`` and ``warping`` hold some of ours),
list it in ``TRIGGERS`` below, and the property tests in ``tests/tasks/triggers`` pick it
up.  One that relabels is stamped onto images of other classes, one that does not onto images of the
target class.
"""

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from tasks.triggers import blending, patches, warping
from tasks.triggers.patterns import Picture

LARGEST_NOISE: Final = 127
"""Grey levels; noise is kept as int8."""
SHARES: Final = ("all", "target")
"""What a poison ratio may be a fraction of: all training images, or those of the target class."""


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


@runtime_checkable
class Perturbing(Trigger, Protocol):
    """A trigger whose poisoned images get noise first, which task ``perturb`` looks for."""

    perturbs: ClassVar[bool]
    """True."""

    @property
    def epsilon(self) -> int:
        """Most that a level is changed by, grey levels."""
        ...

    @property
    def step_size(self) -> int:
        """Of one step of the search, grey levels."""
        ...

    @property
    def steps(self) -> int:
        """Of the search."""
        ...

    @property
    def of(self) -> str:
        """A name of SHARES."""
        ...


@runtime_checkable
class Renewable(Trigger, Protocol):
    """A trigger that is drawn at random, and can be drawn anew."""

    def fresh(self) -> Self:
        """The same with other draws, on which nobody was trained."""
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
class CleanLabel(patches.CornerSquare):
    """BadNets-1's square on noisy images of the target class; no label is wrong (paper, B.2).

    The noise makes the class hard to see, so that the square is what there is to learn: projected
    gradient descent against a classifier of clean images (Turner et al. 2019).  It is found once,
    by task ``perturb``, and a poisoned image is stamped after it.  ``stamp`` paints the square
    alone: that is what a test image is attacked with.

    The paper says neither which noise, how much, nor what the ratio is a fraction of.  Noise and
    trigger are what algorithms, section 1.8, recommends.
    """

    name: ClassVar[str] = "clean_label"
    relabels: ClassVar[bool] = False
    perturbs: ClassVar[bool] = True

    epsilon: int = 16
    """Most that a level is changed by, grey levels, 1..127."""
    step_size: int = 2
    """Of one step, grey levels, 1..epsilon."""
    steps: int = 20
    """1 or more."""
    of: str = "all"
    """What poison_ratio is a fraction of: ``all`` training images, or those of the ``target``."""

    def __post_init__(self) -> None:
        """Refuse noise that is none, or is no whole level."""
        super().__post_init__()
        check_noise(self.epsilon, self.step_size, self.steps)
        if self.of not in SHARES:
            raise ValueError(
                f"expected a poison ratio of {' or '.join(SHARES)} images, got of={self.of!r}"
            )

    def pixels(self, side: int, channels: int) -> NDArray[np.uint8]:
        """The black and white square, uint8, (side, side, channels)."""
        return patches.square(side, channels)


def check_noise(epsilon: int, step_size: int, steps: int) -> None:
    """Refuse noise that is none, or is no whole level.

    Raises:
        ValueError: ``epsilon`` outside 1..127, ``step_size`` outside 1..epsilon, no step, or any of
            them no whole number.
    """
    for name, value, most in (
        ("epsilon", epsilon, LARGEST_NOISE),
        ("step_size", step_size, epsilon),
    ):
        if type(value) is not int or not 1 <= value <= most:
            raise ValueError(f"expected {name} in whole grey levels, 1..{most}, got {value}")
    if type(steps) is not int or steps < 1:
        raise ValueError(f"expected at least one step, a whole number, got {steps}")


TRIGGERS: tuple[type[Trigger], ...] = (
    Nothing,
    RelabelOnly,
    patches.BadNets1,
    blending.Blend,
    patches.Unicolor,
    patches.ImagePatch,
    patches.Rectangle,
    warping.Wanet,
    CleanLabel,
)


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
    fields = {key: _again(value) for key, value in record.items() if key != "name"}
    return from_name(record["name"])(**fields)


def _again(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(value)
    return Picture(**value) if isinstance(value, dict) else value
