"""Triggers and detectors as people set them, each by a field of it.

``--trigger-setting wanet.strength=0.5`` and ``--detector-setting fct.draws=1``.
"""

import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from types import UnionType
from typing import Any

import numpy as np

from orchestrator.cli import choices
from orchestrator.studies.scales import Scale
from tasks import detectors, triggers
from tasks.detectors import Detector
from tasks.triggers import Trigger
from tasks.triggers.picture import Picture


@dataclass(frozen=True)
class Flag:
    """What sets fields of some kind of thing."""

    what: str
    """Its name."""
    kinds: Mapping[str, type]
    """Those whose fields can be set, by name."""
    example: str
    fixed: tuple[str, ...] = ()
    """Fields that are a point's."""

    def __str__(self) -> str:
        return f"--{self.what}-setting"


FLAG = Flag("trigger", {kind.name: kind for kind in triggers.TRIGGERS}, "blend.alpha=0.36")
DETECTOR_FLAG = Flag(
    "detector", {kind.name: kind for kind in detectors.DETECTORS}, "fct.draws=1", fixed=("seed",)
)


def chosen(typed: Sequence[str], image_size: int, channels: int) -> tuple[Trigger, ...]:
    """The triggers that have other than their default fields.

    Args:
        typed: Each ``TRIGGER.FIELD=VALUE``.  The value of a field that holds a picture is a file.
        image_size: Pixels a side of the images that they are to fit.
        channels: Of these.

    Raises:
        ValueError: In one line, what was expected, what came and what to type instead.
    """
    image = np.zeros((1, image_size, image_size, channels), dtype=np.uint8)
    made = []
    for kind, given in _values(FLAG, typed).items():
        try:
            made.append(kind(**given))
            made[-1].stamp(image)
        except ValueError as error:
            raise ValueError(f"{FLAG} {kind.name}: {error}") from None
    return tuple(made)


def chosen_detectors(typed: Sequence[str], scale: Scale) -> tuple[Detector, ...]:
    """The detectors that have other fields than at a scale.

    Args:
        typed: Each ``DETECTOR.FIELD=VALUE``.
        scale: Gives the fields that are not typed.

    Raises:
        ValueError: In one line, what was expected, what came and what to type instead.
    """
    made = []
    for kind, given in _values(DETECTOR_FLAG, typed).items():
        stock: Any = scale.detector(kind.name)
        try:
            made.append(replace(stock, **given))
        except ValueError as error:
            raise ValueError(f"{DETECTOR_FLAG} {kind.name}: {error}") from None
    return tuple(made)


def _values(flag: Flag, typed: Sequence[str]) -> Mapping[Any, Mapping[str, Any]]:
    """The fields that were typed, by whose they are."""
    values: dict[Any, dict[str, Any]] = {}
    for words in typed:
        kind, name, text = split(words, flag)
        values.setdefault(kind, {})[name] = _value(flag, kind, name, text)
    return values


def split(words: str, flag: Flag = FLAG) -> tuple[Any, str, str]:
    """The trigger or detector, its field and the text of ``NAME.FIELD=VALUE``.

    Raises:
        ValueError: It is of another form, or there is no such thing or field.
    """
    place, equals, text = words.partition("=")
    owner, dot, name = place.partition(".")
    if not (equals and dot and text):
        raise ValueError(
            f"{flag} takes {flag.what.upper()}.FIELD=VALUE, e.g. {flag.example}; got {words!r}."
        )
    kind: Any = flag.kinds[choices.known(owner, flag.kinds, flag.what)]
    names = [field.name for field in fields(kind) if field.name not in flag.fixed]
    if not names:
        raise ValueError(f"{flag.what} {owner} has nothing to set; leave {flag} {words} out.")
    return kind, choices.known(name, names, f"field of {flag.what} {owner}"), text


def files(typed: Sequence[str]) -> Mapping[str, str]:
    """The files among the values, by what was typed for each."""
    return {
        words: text
        for words in typed
        for kind, name, text in [split(words)]
        if _is_file(kind, name)
    }


def _is_file(kind: Any, name: str) -> bool:
    [field] = [field for field in fields(kind) if field.name == name]
    return bool(field.metadata.get("file"))


def _value(flag: Flag, kind: Any, name: str, text: str) -> Any:
    """The text as the field's type has it."""
    if _is_file(kind, name):
        return Picture.read(choices.path(text, f"{flag} {kind.name}.{name}"))
    wanted = typing.get_type_hints(kind)[name]
    sorts = typing.get_args(wanted) if isinstance(wanted, UnionType) else (wanted,)
    if type(None) in sorts and text == "none":
        return None
    sort = next(sort for sort in sorts if sort is not type(None))
    try:
        return _parsed(sort, text)
    except ValueError:
        what = getattr(sort, "__name__", "value")
        words = {"int": "a whole number", "float": "a number", "bool": "yes or no"}
        expected = words.get(what, "numbers with commas between them")
        raise ValueError(f"{flag} {kind.name}.{name} takes {expected}, got {text!r}.") from None


def _parsed(sort: Any, text: str) -> Any:
    if sort is bool:
        if text not in ("yes", "no"):
            raise ValueError
        return text == "yes"
    if typing.get_origin(sort) is tuple:
        inner, *_ = typing.get_args(sort)
        return tuple(inner(part) for part in text.split(","))
    return sort(text)
