"""Checks of settings that many tasks and methods share; each raises a ValueError of one line."""

import difflib
from collections.abc import Iterable, Sequence
from typing import ClassVar, Protocol, TypeVar


class _Named(Protocol):
    name: ClassVar[str]


Kind = TypeVar("Kind", bound=_Named)


def check(what: str, value: object, expected: str, holds: bool) -> None:
    """Raise ValueError, ``expected WHAT EXPECTED, got VALUE``, unless the condition holds."""
    if not holds:
        raise ValueError(f"expected {what} {expected}, got {value!r}")


def check_counts(settings: object, *names: str) -> None:
    """Raise ValueError if one of these fields is below 1."""
    for name in names:
        value = getattr(settings, name)
        check(name, value, "of at least 1", value >= 1)


def check_name(what: str, name: str, known: Sequence[str]) -> None:
    """Raise ValueError unless a name is known; the message suggests one that is spelled alike."""
    if name not in known:
        guess = difflib.get_close_matches(str(name), known, n=1)
        hint = f"; did you mean {guess[0]}?" if guess else ""
        raise ValueError(f"expected {what} of {', '.join(known)}, got {name!r}{hint}")


def find(what: str, name: str, kinds: Iterable[type[Kind]]) -> type[Kind]:
    """The class that has this name; raises ValueError if there is none."""
    known = {kind.name: kind for kind in kinds}
    check_name(what, name, list(known))
    return known[name]
