"""Names, numbers and paths that people type: what is allowed, and what they probably meant."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Literal

MOST_IN_A_RANGE = 1000


def known(word: str, options: Iterable[str], what: str) -> str:
    """Return ``word`` if it is an option; raise ValueError with the nearest or all of them."""
    options = list(options)
    if word in options:
        return word
    near = difflib.get_close_matches(word, options, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(options)}."
    raise ValueError(f"unknown {what} {word!r}; {hint}")


def refuse_empty(given: Mapping[str, object]) -> None:
    """Raise ValueError for a flag that is given empty, as a shell variable that is not set."""
    for name, value in given.items():
        if isinstance(value, str) and not value.strip():
            flag = "--" + name.removeprefix("--").replace("_", "-")
            raise ValueError(
                f"{flag} is empty; give it a value or leave it out (is a shell variable not set?)."
            )


def path(text: str, flag: str) -> Path:
    """A path as it was typed, ``~`` being the home folder: shells leave that in ``--flag=~/x``."""
    refuse_empty({flag: text})
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise ValueError(
            f"{flag} {text}: nobody knows which folder ~ is here; give the whole path."
        ) from None


def words(text: str) -> tuple[str, ...]:
    """Split ``a,b,c``; raise ValueError where nothing is between two commas."""
    parts = tuple(part.strip() for part in text.split(","))
    if not all(parts):
        raise ValueError(f"expected values with commas between them, e.g. 1,2,5; got {text!r}.")
    return tuple(dict.fromkeys(parts))


def numbers(text: str, flag: str, kind: Literal["ratio", "number", "count"]) -> tuple[float, ...]:
    """Split ``1,2,5`` and convert; 1 and 1.0 are one number.

    Of ratios ``5%`` is 0.05; of counts, which are whole, ``0-2`` are three.  A ValueError names the
    flag and the word that is no number.
    """
    typed = words(text)
    if kind == "ratio":
        typed = tuple(map(_fraction, typed))
    elif kind == "count":
        typed = tuple(number for word in typed for number in _counted(word, flag))
    convert = int if kind == "count" else float
    return tuple(dict.fromkeys(_number(word, flag, convert) for word in typed))


def understood(text: str, values: Sequence[Any]) -> str | None:
    """What ``5%``, ``0-4`` or a title was taken for, as one types it; None for plain words."""
    if not values or isinstance(values[0], str):
        return None if set(words(text)) <= {*values} else ",".join(values)
    if not re.search(r"%|\d\s*-\s*\d", text):
        return None
    return ",".join(f"{value:.15g}" for value in values)


def _fraction(word: str) -> str:
    """A word in percent as its fraction, in decimals: 0.1 / 100 is not 0.001; others as given."""
    percent = re.fullmatch(r"(-?\d+\.?\d*|-?\.\d+)\s*%", word)
    return f"{Decimal(percent[1]) / 100}" if percent else word


def _counted(word: str, flag: str) -> Iterable[str]:
    """The whole numbers that ``0-4`` stands for; another word as it is."""
    ends = re.fullmatch(r"(\d+)\s*-\s*(\d+)", word)
    if not ends:
        return [word]
    first, last = int(ends[1]), int(ends[2])
    if not 0 <= last - first < MOST_IN_A_RANGE:
        raise ValueError(
            f"{flag} takes ranges that count up, of at most {MOST_IN_A_RANGE:,} numbers, e.g. "
            f"{flag} 0-4; got {word!r}."
        )
    return map(str, range(first, last + 1))


def _number(word: str, flag: str, kind: type[int] | type[float]) -> float:
    try:
        value = kind(word)
    except ValueError:
        sort, example = ("whole numbers", "0,1,2") if kind is int else ("numbers", "0,0.1")
        raise ValueError(f"{flag} takes {sort}, e.g. {flag} {example}; got {word!r}.") from None
    if value != value or value in (float("inf"), float("-inf")):
        raise ValueError(f"{flag} takes finite numbers, got {word!r}.")
    return value


def in_range(values: Sequence[float], flag: str, low: float, high: float, hint: str) -> None:
    """Raise ValueError, with the flag and the range, unless ``low <= value < high``."""
    for value in values:
        if not low <= value < high:
            raise ValueError(f"{flag} must be in [{low:g}, {high:g}), got {value:g}; {hint}")
