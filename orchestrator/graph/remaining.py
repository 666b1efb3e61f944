"""How much longer a run takes, as its events tell, and what its steps took for the next plan."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.graph.costs import Costs, kind
from orchestrator.graph.plan import Plan, wall
from orchestrator.step import Step

ENDS = ("done", "failed", "retry", "damaged")  # kinds of events after which a step no longer runs


@dataclass
class Running:
    """A step that is running; times are those of events, seconds since 1970."""

    path: str
    began: float
    total: int | None
    """How far it goes, in its own units."""
    first: tuple[float, int] | None = None
    """Time and place of its first reported position."""
    last: tuple[float, int] | None = None
    loss: float | None = None
    whole: bool = True
    """Whether it began at its beginning, not at a checkpoint."""

    def left(self, now: float) -> float | None:
        """Seconds left at its own pace; None until that is known."""
        if not (self.total and self.first and self.last) or self.last[1] <= self.first[1]:
            return None
        one = (self.last[0] - self.first[0]) / (self.last[1] - self.first[1])
        return max(0.0, one * (self.total - self.last[1]) - (now - self.last[0]))


class Remaining:
    """Listens to the events of a run, and learns what steps cost from those that end.

    What ``distributed`` steps take says nothing of a core; ``cores`` is None where it is unknown.
    """

    def __init__(
        self, plan: Plan[Any], costs: Costs, distributed: Callable[[Step], bool], cores: int | None
    ) -> None:
        self.costs, self.distributed, self.cores = costs, distributed, cores
        self.waiting = {step.digest: step for step in plan.to_run}
        self.expected = {one.step.digest: one.seconds for one in plan.steps if one.runs}
        self.running: dict[str, Running] = {}

    def hear(self, event: Mapping[str, Any]) -> None:
        """Take note of an event."""
        digest, happened, now = event["digest"], event["kind"], event["time"]
        step = self.running.get(digest)
        if happened == "started":
            self.running[digest] = Running(event["path"], now, event["total"])
        elif happened == "progress" and step:
            step.last, step.loss = (now, event["position"]), event["metrics"].get("loss")
            step.first = step.first or step.last
        elif happened == "resumed" and step:
            step.whole, step.first = False, (now, event["position"])
        elif happened in ENDS:
            self.running.pop(digest, None)
            if happened == "done":
                self._learn(digest, event["seconds"] if step and step.whole else None)

    def of_run(self, now: float) -> float | None:
        """Seconds until the last step is done; None if unknown."""
        if self.cores is None:
            return None
        seconds = dict(self.expected)
        for digest, step in self.running.items():
            if digest in seconds:
                own = step.left(now)
                expected = max(0.0, seconds[digest] - (now - step.began))
                seconds[digest] = expected if own is None else own
        waiting = self.waiting.items()
        return wall(((step, seconds[digest]) for digest, step in waiting), self.cores)

    def _learn(self, digest: str, seconds: float | None) -> None:
        step = self.waiting.pop(digest, None)
        self.expected.pop(digest, None)
        if step is None or seconds is None or self.distributed(step):
            return
        self.costs.add(step, seconds)
        for other, waiting in self.waiting.items():
            if kind(waiting) == kind(step):
                self.expected[other] = self.costs.cost(waiting).middle
