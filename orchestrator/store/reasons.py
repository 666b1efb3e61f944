"""Why a step is to run: damage, or what sets it apart from the nearest finished step."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from orchestrator.step import Step, difference
from orchestrator.store.store import NOT_BUILT, Store


class Reasons:
    """Reasons for the steps of one store; the records of each task are read once."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.siblings: dict[str, Siblings] = {}

    def why(self, step: Step, damage: str | None) -> list[str]:
        """Say why a step runs of which ``Store.damage`` says this, a line for each difference."""
        if damage is not None and damage != NOT_BUILT:
            return [damage]
        if step.task not in self.siblings:
            records = self.store.records(step.task)
            found = [record["identity"] for _, record in records if "identity" in record]
            self.siblings[step.task] = Siblings(found)
        return self.siblings[step.task].changes(step) or ["the first of its task"]


class Siblings:
    """Identities of finished steps of one task, each also as a set of its values."""

    def __init__(self, identities: Iterable[Any]) -> None:
        self.known = [(frozenset(_leaves(identity)), identity) for identity in identities]

    def changes(self, step: Step) -> list[str]:
        """A line for each value that sets the step apart from the nearest sibling.

        The nearest has the fewest differing values, the first of several.  Siblings that do not
        differ are skipped; without any other there are no lines.
        """
        own = frozenset(_leaves(step.identity))
        for _, identity in sorted(self.known, key=lambda one: len({at for at, _ in one[0] ^ own})):
            if lines := list(difference(identity, step.identity)):
                return lines
        return []


def _leaves(value: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every value of an identity that is no dictionary, with its path."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _leaves(item, f"{at}.{key}" if at else key)
    else:
        yield at, json.dumps(value, sort_keys=True) if isinstance(value, list) else value
