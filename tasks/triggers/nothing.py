"""No trigger: the clean control."""

from dataclasses import dataclass
from typing import ClassVar

from tasks.triggers.trigger import Unchanged


@dataclass(frozen=True, kw_only=True)
class Nothing(Unchanged):
    """No poison at all: the clean control."""

    name: ClassVar[str] = "none"
    title: ClassVar[str] = "no poison"
    place: ClassVar[int] = 0
    about: ClassVar[str] = "No poison: the clean training set, as a control."
    relabels: ClassVar[bool] = False
