"""Run a graph of steps, each one once, as soon as its sources are there and its need is free.

The conductor knows nothing of Ray: it is given a coroutine that runs one step somewhere, and a
capacity to admit steps against.  ``orchestrator.cluster`` makes a Ray actor of it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from orchestrator.execute import Outcome
from orchestrator.placement import Bundle, Placement
from orchestrator.step import Step, ancestors
from orchestrator.store import Store

ATTEMPTS = 3
"""Times a step is started when it fails for a transient reason."""
REPAIRS = 3
"""Times damaged sources of one step are built again."""

Start = Callable[[Step, Bundle], Awaitable[Outcome]]
"""Runs one step and says how it ended, a lost process included; it does not raise."""


class StepFailed(RuntimeError):
    """A step failed for good; the points that need it fail, no others do."""


class Conductor:
    """Single flight, whole-need admission, retries of transient errors.

    Args:
        steps: The targets of the run; what they need is found from them.
        store: Where results are.
        placement: How each step is spread.
        capacity: The cluster's CPUs, GPUs and memory, in Ray's names.
        start: Runs one step.
    """

    def __init__(
        self,
        steps: list[Step],
        store: Store,
        placement: Placement,
        capacity: Mapping[str, float],
        start: Start,
    ) -> None:
        self.steps = {step.digest: step for step in ancestors(steps)}
        self.store, self.placement, self.start = store, placement, start
        self.capacity = dict(capacity)
        self.free = dict(capacity)
        self.urgency = _longest_way(self.steps)
        self.runs: dict[str, asyncio.Future[None]] = {}
        self.queue: list[tuple[float, int, Bundle, asyncio.Future[None]]] = []
        self.events: list[dict[str, Any]] = []

    async def finish(self, digest: str) -> None:
        """Return once the step is in the store; start it if nobody has.

        Raises:
            StepFailed: When it, or a step it needs, failed for good.
        """
        if digest not in self.runs:
            self.runs[digest] = asyncio.ensure_future(self._finish(self.steps[digest]))
        await asyncio.shield(self.runs[digest])

    def note(self, kind: str, step: Step, **facts: Any) -> None:
        """Add to what happened, for whoever watches."""
        self.events.append(event_of(kind, step, **facts))

    async def _finish(self, step: Step) -> None:
        if self.store.has(step):
            self.note("cached", step)
            return
        await self._sources(step)
        attempt = repairs = 1
        while True:
            outcome = await self._run_once(step, attempt)
            if outcome.kind == "done":
                return
            if outcome.kind == "damaged" and repairs <= REPAIRS:
                self.note("damaged", step, message=outcome.message)
                repairs += 1
                self._forget(outcome.damaged)
                await self._sources(step)
            elif outcome.transient and attempt < ATTEMPTS:
                attempt += 1
                self.note("retry", step, message=outcome.message, attempt=attempt)
            else:
                self.note("failed", step, message=outcome.message)
                raise StepFailed(f"{step.path}: {outcome.message}")

    def _forget(self, digests: tuple[str, ...]) -> None:
        """Let finished steps be asked for again; one that is being built already is waited for."""
        for digest in digests:
            if digest in self.runs and self.runs[digest].done():
                del self.runs[digest]

    async def _sources(self, step: Step) -> None:
        sources = (self.finish(source.digest) for source in step.sources)
        ended = await asyncio.gather(*sources, return_exceptions=True)
        for failure in ended:
            if isinstance(failure, BaseException):
                raise failure

    async def _run_once(self, step: Step, attempt: int) -> Outcome:
        bundle = self.placement.bundle(step, self.capacity)
        for name, need in bundle.total.items():
            if need > self.capacity.get(name, 0.0) + 1e-6:  # it would wait for ever
                message = f"needs more {name} than there is: {need:g} of {self.capacity.get(name)}"
                return Outcome(kind="failed", message=message)
        await self._admit(step, bundle)
        self.note("started", step, attempt=attempt, total=extent(step))
        started = time.monotonic()
        try:
            outcome = await self.start(step, bundle)
        finally:
            self._change_free(bundle, +1)
            self._admit_waiting()
        if outcome.kind == "done":
            self.note("done", step, seconds=time.monotonic() - started)
        return outcome

    async def _admit(self, step: Step, bundle: Bundle) -> None:
        """Wait until the step's whole need is free, the longest way to the end first.

        Strictly in that order: a step that needs much is not passed by for ever by small ones.
        """
        turn = asyncio.get_running_loop().create_future()
        place = (-self.urgency[step.digest], len(self.events))
        self.queue.append((*place, bundle, turn))
        self.queue.sort(key=lambda entry: entry[:2])
        self._admit_waiting()
        await turn

    def _admit_waiting(self) -> None:
        while self.queue:
            *_, bundle, turn = self.queue[0]
            if any(self.free.get(name, 0.0) < need - 1e-6 for name, need in bundle.total.items()):
                return
            self._change_free(bundle, -1)
            self.queue.pop(0)
            turn.set_result(None)

    def _change_free(self, bundle: Bundle, sign: int) -> None:
        for name, need in bundle.total.items():
            self.free[name] = self.free.get(name, 0.0) + sign * need


def event_of(kind: str, step: Step, **facts: Any) -> dict[str, Any]:
    """What happened to a step, when."""
    about = {"kind": kind, "digest": step.digest, "path": step.path, "time": time.time()}
    return {**about, **facts}


def extent(step: Step) -> int | None:
    """How far a step goes, in the units of its progress: training steps, or images."""
    name = {"fit": "steps", "per_batch": "n", "whole": ""}[step.shape]
    return getattr(step.settings, name, None) or None  # 0: the settings do not know


def _longest_way(steps: Mapping[str, Step]) -> dict[str, float]:
    """Expected seconds from the start of each step to the end of the graph."""
    way = {digest: 0.0 for digest in steps}
    for step in reversed(list(steps.values())):  # readers come before what they read
        way[step.digest] += step.settings.expected_seconds
        for source in step.sources:
            way[source.digest] = max(way[source.digest], way[step.digest])
    return way
