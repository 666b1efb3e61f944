"""What a run would do and why: read from the store, nothing started, no Ray."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from orchestrator import pace
from orchestrator.siblings import Siblings
from orchestrator.step import Step, ancestors
from orchestrator.store import NOT_BUILT, Store
from orchestrator.studies.study import Point


@dataclass(frozen=True)
class Planned:
    """One step of a plan."""

    step: Step
    runs: bool
    """Whether ``run`` would make it."""
    why: str
    """``cached``, or the reason that it runs."""
    seconds: float
    """Expected on one core, from this store's own records where it has any; 0 when cached."""


@dataclass(frozen=True)
class Plan:
    """Every point of a study and every step that it takes."""

    points: Sequence[Point]
    steps: Sequence[Planned]
    to_run: Sequence[Step] = field(init=False)

    def __post_init__(self) -> None:
        """Collect the steps that are to run, sources first."""
        running = [planned.step for planned in self.steps if planned.runs]
        object.__setattr__(self, "to_run", running)

    @cached_property
    def running(self) -> frozenset[str]:
        """Digests of the steps that are to run."""
        return frozenset(step.digest for step in self.to_run)

    def unfinished(self) -> list[Point]:
        """Points with something to run, distinct trainings first."""
        waiting = [point for point in self.points if point.measure.digest in self.running]
        return trainings_first(waiting)

    @property
    def expected_bytes(self) -> int:
        """What the run writes, roughly."""
        return sum(step.settings.expected_bytes for step in self.to_run)

    def expected_seconds(self, cores: int) -> float:
        """Wall time on ``cores`` cores, roughly: shared evenly, or the longest way if longer."""
        seconds = {planned.step.digest: planned.seconds for planned in self.steps}
        finish: dict[str, float] = {}
        for step in self.to_run:
            ready = max((finish.get(source.digest, 0.0) for source in step.sources), default=0.0)
            finish[step.digest] = ready + seconds[step.digest]
        return max(sum(seconds.values()) / cores, max(finish.values(), default=0.0))


def make(points: Sequence[Point], store: Store) -> Plan:
    """Plan the points against what the store holds.

    A step runs if its result is missing or damaged *and* a step that runs, or a point, needs it:
    what lies behind a finished step is not needed again.
    """
    targets = [point.measure for point in points]
    read = {target.digest for target in targets}  # their rows are read by every report
    steps = list(ancestors(targets))
    with store.look(steps, content=read):
        damages = {step.digest: store.damage(step, content=step.digest in read) for step in steps}
        needed = _needed(targets, {digest for digest, damage in damages.items() if damage})
        why, speed = _Reasons(store), Pace(store)
        planned = []
        for step in steps:
            damage = damages[step.digest]
            if step.digest in needed:
                planned.append(Planned(step, True, why.new(step, damage), speed.seconds(step)))
            elif damage is None:
                planned.append(Planned(step, False, "cached", 0.0))
    return Plan(points, planned)


class _Reasons:
    """Why steps are to run, as ``Store.explain`` says it; every record is read once."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.siblings: dict[str, Siblings] = {}

    def new(self, step: Step, damage: str | None) -> str:
        """What is damaged, or how the step differs from its nearest sibling."""
        if damage is not None and damage != NOT_BUILT:
            return damage
        if step.task not in self.siblings:
            records = self.store.records(step.task)
            self.siblings[step.task] = Siblings(
                record["identity"] for record in records if "identity" in record
            )
        return "; ".join(self.siblings[step.task].changes(step)) or "the first of its task"


def from_nothing(points: Sequence[Point], speed: "Pace") -> Plan:
    """Plan the points as if the store were empty: what they cost in all."""
    steps = ancestors(point.measure for point in points)
    return Plan(points, [Planned(step, True, "", speed.seconds(step)) for step in steps])


def _needed(targets: Iterable[Step], missing: set[str]) -> set[str]:
    needed: set[str] = set()

    def want(step: Step) -> None:
        if step.digest in missing and step.digest not in needed:
            needed.add(step.digest)
            for source in step.sources:
                want(source)

    for target in targets:
        want(target)
    return needed


def trainings_first(points: Sequence[Point]) -> list[Point]:
    """Order points so that every distinct training comes once before any comes twice."""
    turns: dict[frozenset[str], int] = {}
    keyed = []
    for place, point in enumerate(points):
        trainings = frozenset(
            step.digest for step in ancestors([point.measure]) if step.shape == "fit"
        )
        turns[trainings] = turns.get(trainings, 0) + 1
        keyed.append((turns[trainings], place, point))
    return [point for _, _, point in sorted(keyed, key=lambda entry: entry[:2])]


class Pace:
    """How long steps take on this machine.

    From a measured rate where there is one; else from the settings' rough estimate, corrected by
    how the estimates of that task compared to what its steps in this store took, if there are any.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.rates = pace.Rates(store)
        self.ratios: dict[str, float | None] = {}

    def seconds(self, step: Step) -> float:
        """Expected seconds of a step on one core."""
        if (timed := self.rates.seconds(step)) is not None:
            return timed
        if step.task not in self.ratios:
            costs = [
                (record.get("seconds"), record.get("expected_seconds"))
                for record in self.store.records(step.task)
            ]
            measured = [
                took / expected
                for took, expected in costs
                if isinstance(took, float) and isinstance(expected, float) and expected > 0
            ]
            self.ratios[step.task] = statistics.median(measured) if measured else None
        ratio = self.ratios[step.task]
        if ratio is None:
            return pace.estimate(step, self.rates.known)
        return float(step.settings.expected_seconds * ratio)
