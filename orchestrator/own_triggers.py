"""Triggers as people set them: ``--trigger-setting wanet.strength=0.5``, a field of a trigger."""

import typing
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from types import UnionType
from typing import Any

import numpy as np

from orchestrator import choices
from tasks import patterns, triggers
from tasks.triggers import Trigger

FLAG = "--trigger-setting"


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
    values: dict[type[Trigger], dict[str, Any]] = {}
    for words in typed:
        kind, name, text = split(words)
        values.setdefault(kind, {})[name] = _value(kind, name, text)
    made = []
    for kind, given in values.items():
        try:
            made.append(kind(**given))
            made[-1].stamp(image)
        except ValueError as error:
            raise ValueError(f"{FLAG} {kind.name}: {error}") from None
    return tuple(made)


def split(words: str) -> tuple[type[Trigger], str, str]:
    """The trigger, its field and the text of ``TRIGGER.FIELD=VALUE``.

    Raises:
        ValueError: It is of another form, or there is no such trigger or field.
    """
    place, equals, text = words.partition("=")
    trigger, dot, name = place.partition(".")
    if not (equals and dot and text):
        raise ValueError(f"{FLAG} takes TRIGGER.FIELD=VALUE, e.g. blend.alpha=0.36; got {words!r}.")
    kinds = {kind.name: kind for kind in triggers.TRIGGERS}
    kind = kinds[choices.known(trigger, kinds, "trigger")]
    names = [field.name for field in fields(kind)]  # type: ignore[arg-type]
    if not names:
        raise ValueError(f"trigger {trigger} has nothing to set; leave {FLAG} {words} out.")
    return kind, choices.known(name, names, f"field of trigger {trigger}"), text


def files(typed: Sequence[str]) -> Mapping[str, str]:
    """The files among the values, by what was typed for each."""
    return {
        words: text
        for words in typed
        for kind, name, text in [split(words)]
        if _is_file(kind, name)
    }


def _is_file(kind: type[Trigger], name: str) -> bool:
    [field] = [field for field in fields(kind) if field.name == name]  # type: ignore[arg-type]
    return bool(field.metadata.get("file"))


def _value(kind: type[Trigger], name: str, text: str) -> Any:
    """The text as the field's type has it."""
    if _is_file(kind, name):
        return patterns.Picture.read(Path(text))
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
        raise ValueError(f"{FLAG} {kind.name}.{name} takes {expected}, got {text!r}.") from None


def _parsed(sort: Any, text: str) -> Any:
    if sort is bool:
        if text not in ("yes", "no"):
            raise ValueError
        return text == "yes"
    if typing.get_origin(sort) is tuple:
        inner, *_ = typing.get_args(sort)
        return tuple(inner(part) for part in text.split(","))
    return sort(text)
