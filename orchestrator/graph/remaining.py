"""How much longer a run takes, as its events tell, and what its steps took for the next one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.graph.plan import Pace, Plan, wall
from orchestrator.graph.seen import kind
from orchestrator.run.placement import Placement

ENDS = ("done", "failed", "retry", "damaged")
"""Kinds of events after which a step does not run any more."""


@dataclass
class Running:
    """A step under way; times are those of events, seconds since 1970."""

    began: float
    total: int | None
    """How far it goes, in its own units."""
    first: tuple[float, int] | None = None
    """When its first position was told, and which."""
    last: tuple[float, int] | None = None
    whole: bool = True
    """Whether it began at its beginning."""

    def left(self, now: float) -> float | None:
        """Seconds left at its own pace; None until that is known."""
        if not (self.total and self.first and self.last) or self.last[1] <= self.first[1]:
            return None
        one = (self.last[0] - self.first[0]) / (self.last[1] - self.first[1])
        return max(0.0, one * (self.total - self.last[1]) - (now - self.last[0]))


class Remaining:
    """Listens to the events of a run.

    Args:
        plan: What is run.
        pace: What steps are expected to take; learns from those that end.
        placement: How they are spread: what several processes share says nothing of one core.
        cores: How many steps run at once; None where nobody knows, as with GPUs.
    """

    def __init__(self, plan: Plan, pace: Pace, placement: Placement, cores: int | None) -> None:
        self.pace, self.placement, self.cores = pace, placement, cores
        self.waiting = {step.digest: step for step in plan.to_run}
        self.kinds = {digest: kind(step) for digest, step in self.waiting.items()}
        self.expected = {one.step.digest: one.seconds for one in plan.steps if one.runs}
        self.running: dict[str, Running] = {}

    def hear(self, event: Mapping[str, Any]) -> None:
        """Take note of an event."""
        digest, happened, now = event["digest"], event["kind"], event["time"]
        step = self.running.get(digest)
        if happened == "started":
            self.running[digest] = Running(now, event["total"])
        elif happened == "progress" and step:
            step.last = now, event["position"]
            step.first = step.first or step.last
        elif happened == "resumed" and step:
            step.whole, step.first = False, (now, event["position"])
        elif happened in ENDS:
            self.running.pop(digest, None)
            if happened == "done":
                self._learn(digest, event["seconds"] if step and step.whole else None)

    def of_step(self, digest: str, now: float) -> float | None:
        """Seconds until a running step is done; None if that is not known."""
        return self.running[digest].left(now) if digest in self.running else None

    def of_run(self, now: float) -> float | None:
        """Seconds until the last step is done; None if that is not known."""
        if self.cores is None:
            return None
        seconds = dict(self.expected)
        for digest, step in self.running.items():
            if digest in seconds:
                own = step.left(now)
                expected = max(0.0, seconds[digest] - (now - step.began))
                seconds[digest] = expected if own is None else own
        return wall(self.waiting.values(), seconds, self.cores)

    def _learn(self, digest: str, seconds: float | None) -> None:
        step = self.waiting.pop(digest, None)
        self.expected.pop(digest, None)
        if step is None or seconds is None or self.placement.distributed(step):
            return
        self.pace.seen.add(step, seconds)
        for other, waiting in self.waiting.items():
            if self.kinds[other] == self.kinds[digest]:
                self.expected[other] = self.pace.seconds(waiting)
