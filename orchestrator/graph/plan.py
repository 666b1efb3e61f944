"""What a run would do and why: read from the store, nothing started, no Ray."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from orchestrator.graph import pace
from orchestrator.graph.seen import Cost, Seen
from orchestrator.step import Step, ancestors
from orchestrator.store.siblings import Siblings
from orchestrator.store.store import NOT_BUILT, Store
from orchestrator.studies.study import Point

AROUND_SECONDS = 30.0
"""From the command to its first step, and from its last to the page."""
BESIDE_OTHERS = 2.0
"""How many times longer than guessed a step may take; ours: a main job took 1.9 times as long."""


@dataclass(frozen=True)
class Planned:
    """One step of a plan."""

    step: Step
    runs: bool
    """Whether ``run`` would make it."""
    why: str
    """``cached``, or the reason that it runs."""
    cost: Cost
    """Expected seconds on one core, from earlier steps of this store where it has any."""

    @property
    def seconds(self) -> float:
        """What is most likely of these; 0 when cached."""
        return self.cost.middle


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
        """Wall time of the steps on ``cores`` cores, roughly."""
        return wall(self.to_run, {one.step.digest: one.seconds for one in self.steps}, cores)

    def expected_range(self, cores: int) -> tuple[float, float]:
        """Wall time of a run on ``cores`` cores, from the command to the page: least and most."""
        costs = {one.step.digest: one.cost for one in self.steps}
        low = wall(self.to_run, {digest: cost.low for digest, cost in costs.items()}, cores)
        high = wall(self.to_run, {digest: cost.high for digest, cost in costs.items()}, cores)
        return low + AROUND_SECONDS, high + AROUND_SECONDS


def wall(steps: Iterable[Step], seconds: Mapping[str, float], cores: int) -> float:
    """Wall time on ``cores`` cores, roughly: shared evenly, or the longest way if longer.

    Args:
        steps: Those to run, sources first.
        seconds: Of each on one core, by its digest.
        cores: How many steps run at once.
    """
    finish: dict[str, float] = {}
    total = 0.0
    for step in steps:
        ready = max((finish.get(source.digest, 0.0) for source in step.sources), default=0.0)
        finish[step.digest] = ready + seconds[step.digest]
        total += seconds[step.digest]
    return max(total / cores, max(finish.values(), default=0.0))


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
                planned.append(Planned(step, True, why.new(step, damage), speed.cost(step)))
            elif damage is None:
                planned.append(Planned(step, False, "cached", Cost(0.0, 0.0, 0.0)))
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
    return Plan(points, [Planned(step, True, "", speed.cost(step)) for step in steps])


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


def guessed(seconds: float) -> Cost:
    """What a step takes alone, and in a run, where others take memory and caches from it."""
    return Cost(seconds, seconds, BESIDE_OTHERS * seconds)


class Pace:
    """How long steps take on this machine.

    From what earlier runs took for such steps; else from a measured rate where there is one; else
    from the settings' rough estimate, corrected by how the estimates of that task compared to what
    its steps in this store took, if there are any.
    """

    def __init__(self, store: Store) -> None:
        self.store = store
        self.rates = pace.Rates(store)
        self.seen = Seen(store)
        self.ratios: dict[str, float | None] = {}

    def seconds(self, step: Step) -> float:
        """Expected seconds of a step on one core."""
        return self.cost(step).middle

    def cost(self, step: Step) -> Cost:
        """The same, with how much less or more it may be."""
        return self.seen.cost(step) or guessed(self._guess(step))

    def _guess(self, step: Step) -> float:
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
