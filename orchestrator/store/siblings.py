"""Which finished step of the same task is nearest to one that is not: why that one is new."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from orchestrator.step import Step, difference

ABSENT, UNHEARD_OF = 0, -1
"""Codes of a value that an identity does not have, and of one that no identity has."""


class Siblings:
    """Identities of finished steps of one task.

    Every value of an identity is a number in a table of a row each, so that a step is compared to
    all of them at once: a thousand steps to a thousand siblings take a moment, not a minute.
    """

    def __init__(self, identities: Iterable[Any]) -> None:
        self.identities = list(identities)
        self.columns: dict[str, int] = {}
        self.codes: dict[tuple[str, Any], int] = {}
        rows = []
        for identity in self.identities:
            leaves = list(_leaves(identity))
            rows.append(
                {
                    self.columns.setdefault(at, len(self.columns)): self.codes.setdefault(
                        (at, value), len(self.codes) + 1
                    )
                    for at, value in leaves
                }
            )
        self.table = np.full((len(rows), len(self.columns)), ABSENT, dtype=np.int64)
        for row, codes in zip(self.table, rows, strict=True):
            row[list(codes)] = list(codes.values())

    def changes(self, step: Step) -> list[str]:
        """A line for each value that sets the step apart from the nearest sibling.

        The nearest has the fewest other values, the first of several; one that does not differ is
        passed over.  Nothing when there is none.
        """
        values = dict(_leaves(step.identity))
        apart = self._distances(values)
        for place in np.argsort(apart, kind="stable"):
            if lines := list(difference(self.identities[place], step.identity)):
                return lines
        return []

    def _distances(self, values: Mapping[str, Any]) -> NDArray[np.int64]:
        """How many values are others, (N,)."""
        wanted = np.full(len(self.columns), ABSENT, dtype=np.int64)
        new = 0
        for at, value in values.items():
            if at in self.columns:
                wanted[self.columns[at]] = self.codes.get((at, value), UNHEARD_OF)
            else:
                new += 1
        apart: NDArray[np.int64] = (self.table != wanted).sum(axis=1) + new
        return apart


def _leaves(value: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every value of an identity that is not a dictionary, by the way to it."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, f"{at}.{key}" if at else key)
    else:
        yield at, _frozen(value)


def _frozen(value: Any) -> Any:
    """The same as something that can be a key."""
    if isinstance(value, list):
        return tuple(map(_frozen, value))
    if isinstance(value, dict):
        return tuple(sorted((key, _frozen(item)) for key, item in value.items()))
    return value
