"""Fields of triggers and detectors, as ``--trigger-setting wanet.strength=0.5`` sets them."""

import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from types import UnionType
from typing import Any

import numpy as np

from orchestrator import choices
from orchestrator.studies.scales import Scale
from tasks import detectors, triggers
from tasks.detectors import Detector
from tasks.triggers import Trigger
from tasks.triggers.picture import Picture


@dataclass(frozen=True)
class Flag:
    """A flag that sets a field of one kind of part, ``trigger`` or ``detector``."""

    part: str
    kinds: Mapping[str, type]
    example: str
    fixed: tuple[str, ...] = ()
    """Fields that a point sets."""

    def __str__(self) -> str:
        return f"--{self.part}-setting"

    def split(self, words: str) -> tuple[Any, str, str]:
        """The class, its field and the text of ``NAME.FIELD=VALUE``; ValueError for other words."""
        place, equals, text = words.partition("=")
        owner, dot, name = place.partition(".")
        if not (equals and dot and text):
            raise ValueError(
                f"{self} takes {self.part.upper()}.FIELD=VALUE, e.g. {self.example}; got {words!r}."
            )
        kind: Any = self.kinds[choices.known(owner, self.kinds, self.part)]
        names = [field.name for field in fields(kind) if field.name not in self.fixed]
        if not names:
            raise ValueError(f"{self.part} {owner} has no field; leave {self} {words} out.")
        return kind, choices.known(name, names, f"field of {self.part} {owner}"), text

    def values(self, typed: Sequence[str]) -> dict[Any, dict[str, Any]]:
        """The fields that were typed, by the class that has them."""
        found: dict[Any, dict[str, Any]] = {}
        for words in typed:
            kind, name, text = self.split(words)
            found.setdefault(kind, {})[name] = self._value(kind, name, text)
        return found

    def _value(self, kind: Any, name: str, text: str) -> Any:
        if _holds_a_file(kind, name):
            return Picture.read(choices.path(text, f"{self} {kind.name}.{name}"))
        wanted = typing.get_type_hints(kind)[name]
        sorts = typing.get_args(wanted) if isinstance(wanted, UnionType) else (wanted,)
        if type(None) in sorts and text == "none":
            return None
        sort = next(sort for sort in sorts if sort is not type(None))
        try:
            return _parsed(sort, text)
        except ValueError:
            words = {int: "a whole number", float: "a number", bool: "yes or no"}
            expected = words.get(sort, "numbers with commas between them")
            raise ValueError(f"{self} {kind.name}.{name} takes {expected}, got {text!r}.") from None


TRIGGERS = Flag("trigger", {kind.name: kind for kind in triggers.TRIGGERS}, "blend.alpha=0.36")
DETECTORS = Flag(
    "detector", {kind.name: kind for kind in detectors.DETECTORS}, "fct.draws=1", fixed=("seed",)
)


def triggers_of(typed: Sequence[str], image_size: int, channels: int) -> tuple[Trigger, ...]:
    """The triggers with other than their default fields; ValueError if one fits no such images."""
    image = np.zeros((1, image_size, image_size, channels), dtype=np.uint8)
    made = []
    for kind, given in TRIGGERS.values(typed).items():
        try:
            made.append(kind(**given))
            made[-1].stamp(image)
        except ValueError as error:
            raise ValueError(f"{TRIGGERS} {kind.name}: {error}") from None
    return tuple(made)


def detectors_of(typed: Sequence[str], scale: Scale) -> tuple[Detector, ...]:
    """The detectors with other fields than a scale gives them; ValueError as above."""
    made = []
    for kind, given in DETECTORS.values(typed).items():
        stock: Any = scale.detector(kind.name)
        try:
            made.append(replace(stock, **given))
        except ValueError as error:
            raise ValueError(f"{DETECTORS} {kind.name}: {error}") from None
    return tuple(made)


def files(typed: Sequence[str]) -> dict[str, str]:
    """The files among the values of ``--trigger-setting``, by what was typed for each."""
    parts = {words: TRIGGERS.split(words) for words in typed}
    return {words: text for words, (kind, name, text) in parts.items() if _holds_a_file(kind, name)}


def _holds_a_file(kind: Any, name: str) -> bool:
    return any(field.metadata.get("file") for field in fields(kind) if field.name == name)


def _parsed(sort: Any, text: str) -> Any:
    if sort is bool:
        if text not in ("yes", "no"):
            raise ValueError
        return text == "yes"
    if typing.get_origin(sort) is tuple:
        inner, *_ = typing.get_args(sort)
        return tuple(inner(part) for part in text.split(","))
    return sort(text)
