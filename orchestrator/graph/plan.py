"""What a run would do and why: read from the store; nothing is started."""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Generic, Protocol, TypeVar

from orchestrator.graph.costs import NOTHING, Cost, Costs
from orchestrator.step import Step, ancestors
from orchestrator.store.reasons import Reasons
from orchestrator.store.store import Store

AROUND_SECONDS = 30.0  # from the command to its first step, and from its last to the page


class Target(Protocol):
    """What a run is for, such as a study's point."""

    @property
    def measure(self) -> Step:
        """The step that it ends in."""


T = TypeVar("T", bound=Target)


@dataclass(frozen=True)
class Planned:
    """One step of a plan."""

    step: Step
    runs: bool
    why: str
    """``cached``, or the reason that it runs."""
    cost: Cost
    """Expected seconds on one core; nothing when cached."""

    @property
    def seconds(self) -> float:
        """The most likely of these."""
        return self.cost.middle


@dataclass(frozen=True)
class Plan(Generic[T]):
    """Every point of a study and every step that it takes."""

    points: Sequence[T]
    steps: Sequence[Planned]
    """Sources first."""

    @cached_property
    def to_run(self) -> Sequence[Step]:
        """The steps that are to run, sources first."""
        return [planned.step for planned in self.steps if planned.runs]

    def unfinished(self) -> list[T]:
        """Points with something to run, distinct trainings first."""
        running = {step.digest for step in self.to_run}
        return trainings_first([one for one in self.points if one.measure.digest in running])

    @property
    def expected_bytes(self) -> int:
        """What the run writes, roughly."""
        return sum(step.settings.expected_bytes for step in self.to_run)

    def expected_seconds(self, cores: int) -> float:
        """Wall time of the steps on ``cores`` cores, roughly."""
        return self._wall(cores, lambda cost: cost.middle)

    def expected_range(self, cores: int) -> tuple[float, float]:
        """Least and most wall time on ``cores`` cores, from the command to the page."""
        low = self._wall(cores, lambda cost: cost.low)
        return AROUND_SECONDS + low, AROUND_SECONDS + self._wall(cores, lambda cost: cost.high)

    def _wall(self, cores: int, seconds: Callable[[Cost], float]) -> float:
        return wall(((one.step, seconds(one.cost)) for one in self.steps if one.runs), cores)


def wall(steps: Iterable[tuple[Step, float]], cores: int) -> float:
    """Wall time on ``cores`` cores: evenly shared, or that of the longest path if it is longer.

    Steps come with their seconds on one core, sources first.
    """
    finish: dict[str, float] = {}
    total = 0.0
    for step, seconds in steps:
        ready = max((finish.get(source.digest, 0.0) for source in step.sources), default=0.0)
        finish[step.digest] = ready + seconds
        total += seconds
    return max(total / cores, max(finish.values(), default=0.0))


def make(points: Sequence[T], store: Store) -> Plan[T]:
    """Plan the points against what the store holds.

    A step runs if its result is missing or damaged *and* a step that runs, or a point, needs it.
    """
    needed = {point.measure.digest for point in points}
    steps = list(ancestors(point.measure for point in points))
    damages = store.damages(steps, content=needed)  # every report reads the rows
    for step in reversed(steps):  # readers come before what they read
        if step.digest in needed and damages[step.digest]:
            needed |= {source.digest for source in step.sources}
    reasons, costs = Reasons(store), Costs(store)
    planned = []
    for step in steps:
        damage = damages[step.digest]
        if damage is None:
            planned.append(Planned(step, False, "cached", NOTHING))
        elif step.digest in needed:
            why = "; ".join(reasons.why(step, damage))
            planned.append(Planned(step, True, why, costs.cost(step)))
    return Plan(points, planned)


def from_nothing(points: Sequence[T], cost: Callable[[Step], Cost]) -> Plan[T]:
    """Plan the points as if the store were empty: what they cost in all."""
    steps = ancestors(point.measure for point in points)
    return Plan(points, [Planned(step, True, "", cost(step)) for step in steps])


def trainings_first(points: Sequence[T]) -> list[T]:
    """Order points so that every distinct training comes once before any comes twice."""
    seen: Counter[frozenset[str]] = Counter()
    turns = []
    for point in points:
        fits = (step for step in ancestors([point.measure]) if step.shape == "fit")
        trainings = frozenset(step.digest for step in fits)
        turns.append(seen[trainings])
        seen[trainings] += 1
    return [points[place] for place in sorted(range(len(points)), key=turns.__getitem__)]
