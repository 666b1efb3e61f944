"""Names and numbers that people type: what is allowed, and what they probably meant."""

import difflib
from collections.abc import Iterable, Sequence


def known(word: str, options: Iterable[str], what: str) -> str:
    """Return ``word`` if it is one of ``options``.

    Raises:
        ValueError: With the nearest option, or all of them.
    """
    options = list(options)
    if word in options:
        return word
    near = difflib.get_close_matches(word, options, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(options)}."
    raise ValueError(f"unknown {what} {word!r}; {hint}")


def words(text: str | None) -> tuple[str, ...] | None:
    """Split ``a,b,c``; None stays None.

    Raises:
        ValueError: When nothing is between two commas.
    """
    if text is None:
        return None
    parts = tuple(part.strip() for part in text.split(","))
    if not all(parts):
        raise ValueError(f"expected values with commas between them, e.g. 1,2,5; got {text!r}.")
    return tuple(dict.fromkeys(parts))


def numbers(text: str | None, flag: str, kind: type[int] | type[float]) -> tuple[float, ...] | None:
    """Split ``1,2,5`` and convert; 1 and 1.0 are one number.

    Raises:
        ValueError: Naming the flag and the word that is no number.
    """
    if text is None:
        return None
    return tuple(dict.fromkeys(_number(word, flag, kind) for word in words(text) or ()))


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
    """Refuse values outside ``low <= value < high``.

    Raises:
        ValueError: Naming the flag, the range and the value.
    """
    for value in values:
        if not low <= value < high:
            raise ValueError(f"{flag} must be in [{low:g}, {high:g}), got {value:g}; {hint}")
