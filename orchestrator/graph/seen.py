"""What steps took on this machine: kept in the store after every run, for the next estimate.

Seconds are those for which a step held its cores: process start and checks included, beside
whatever else ran meanwhile.  So they are more than a step alone needs, and what a plan wants to
know.
"""

import statistics
from typing import NamedTuple

from orchestrator.graph import pace
from orchestrator.step import Step
from orchestrator.store import cached
from orchestrator.store.store import Store

KEPT = 20
"""Steps of a kind that are remembered, the newest."""


class Cost(NamedTuple):
    """Seconds of a step on one core: at best, probably, at worst."""

    low: float
    middle: float
    high: float


class Seen:
    """Seconds a unit by kind of step; a kind is what ``pace.key`` tells apart, else the task."""

    def __init__(self, store: Store) -> None:
        self.path = pace.place(store, "seen")
        self.known: dict[str, list[float]] = cached.read(self.path, _are_numbers)
        self.new = False

    def add(self, step: Step, seconds: float) -> None:
        """Take note of a step that ran from its beginning to its end."""
        self.known[kind(step)] = [*self.known.get(kind(step), []), seconds / units(step)][-KEPT:]
        self.new = True

    def keep(self) -> None:
        """Have it in the store, if there is anything new."""
        if self.new:
            cached.write(self.path, self.known)

    def cost(self, step: Step) -> Cost | None:
        """What a step is expected to take, None if nothing like it was seen."""
        taken = self.known.get(kind(step))
        return spread(taken, units(step)) if taken else None


def spread(taken: list[float], times: float) -> Cost:
    """The median, and the middle half, which one odd step does not move; of up to three all."""
    ordered, left_out = sorted(taken), len(taken) // 4
    low, high = ordered[left_out], ordered[-1 - left_out]
    return Cost(low * times, statistics.median(ordered) * times, high * times)


def kind(step: Step) -> str:
    """What a step's pace is looked up by."""
    detector = getattr(step.settings, "detector", None)
    return pace.key(step) or f"{step.task} {getattr(detector, 'name', '')}".strip()


def units(step: Step) -> float:
    """How much there is to do: steps or images, else what the settings expect."""
    return pace.units(step) if pace.key(step) else pace.estimate(step)


def _are_numbers(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(map(cached.is_number, value))
