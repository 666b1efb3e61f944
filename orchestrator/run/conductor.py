"""Run a graph of steps, each one once, as soon as its sources are there and its need is free.

It knows nothing of Ray: it is given a coroutine that runs a step, and a capacity to share.
"""

import asyncio
import bisect
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from orchestrator.run.execute import Outcome
from orchestrator.run.placement import GIB, Bundle, Placement, counted
from orchestrator.step import Step, ancestors
from orchestrator.store.checkpoints import Checkpoints
from orchestrator.store.store import Store

ATTEMPTS = 3  # how often a step is started that fails for transient reasons and gets no further
REPAIRS = 3  # how often damaged sources of one step are built again
ROUNDING = 1e-6  # error of sums of fractions of a CPU, at most

Start = Callable[[Step, Bundle], Awaitable[Outcome]]
"""Runs one step and returns how it ended, even if its process was lost; does not raise."""


class StepFailed(RuntimeError):
    """A step failed for good; the points that need it fail, no others do."""


@dataclass(order=True)
class Waiting:
    """A step in the queue: the longest way to the end first, then in order of arrival."""

    order: tuple[float, int]
    step: Step = field(compare=False)
    bundle: Bundle = field(compare=False)
    turn: asyncio.Future[None] = field(compare=False)
    announced: bool = field(default=False, compare=False)
    """Whether an event says that it waits for a larger node."""


class Conductor:
    """Runs each step once, when its whole need is free, and retries transient errors.

    Where the cluster ``grows``, a step that needs more than there is waits instead of failing.
    """

    def __init__(
        self,
        targets: list[Step],
        store: Store,
        placement: Placement,
        capacity: Mapping[str, float],
        start: Start,
        *,
        grows: bool = False,
    ) -> None:
        self.targets = [target.digest for target in targets]
        self.steps = {step.digest: step for step in ancestors(targets)}
        self.store, self.placement, self.start, self.grows = store, placement, start, grows
        self.planned = dict(capacity)
        """What bundles are made for, however many nodes there are at the moment."""
        self.capacity = dict(capacity)
        self.free = dict(capacity)
        self.urgency = _longest_way(self.steps)
        self.runs: dict[str, asyncio.Future[None]] = {}
        self.queue: list[Waiting] = []
        self.arrivals = 0
        self.resumed: dict[str, int] = {}  # the furthest checkpoint that a training went on from
        self.events: list[dict[str, Any]] = []

    async def finish(self, digest: str) -> None:
        """Return once the step is in the store; raise StepFailed if it or a source failed."""
        await asyncio.shield(self._run(digest))

    def begin(self) -> None:
        """Start every target that was not started before, in the order given."""
        for digest in self.targets:
            self._run(digest)

    def resize(self, capacity: Mapping[str, float]) -> None:
        """Go on with what the cluster has now; steps on lost nodes hold their need to the end."""
        if capacity == self.capacity:
            return
        for name in self.capacity.keys() | capacity.keys():
            now = capacity.get(name, 0.0)
            self.free[name] = self.free.get(name, 0.0) + now - self.capacity.get(name, 0.0)
            self.capacity[name] = now
        for waiting in self.queue:
            waiting.bundle = self._bundle(waiting.step)
            self._announce_if_it_needs_a_node(waiting)
        self._admit_waiting()

    def note(self, kind: str, step: Step, **facts: Any) -> None:
        """Record an event, for those who watch."""
        self.events.append(event_of(kind, step, **facts))

    def _run(self, digest: str) -> asyncio.Future[None]:
        if digest not in self.runs:
            run = asyncio.ensure_future(self._finish(self.steps[digest]))
            run.add_done_callback(_retrieve)
            self.runs[digest] = run
        return self.runs[digest]

    async def _finish(self, step: Step) -> None:
        if await self._has(step):
            self.note("cached", step)
            return
        await self._sources(step)
        attempt = tries = repairs = 1
        furthest = 0
        while True:
            outcome = await self._run_once(step, attempt)
            if outcome.kind == "done":
                return
            if outcome.transient:
                reached = await self._reached(step)
                tries, furthest = (1 if reached > furthest else tries + 1), max(reached, furthest)
            if outcome.kind == "damaged" and repairs <= REPAIRS:
                self.note("damaged", step, message=outcome.message)
                repairs += 1
                self._forget(outcome.damaged)
                await self._sources(step)
            elif outcome.transient and tries <= ATTEMPTS:
                attempt += 1
                self.note("retry", step, message=outcome.message, attempt=attempt)
            else:
                self.note("failed", step, message=outcome.message)
                raise StepFailed(f"{step.path}: {outcome.message}")

    async def _has(self, step: Step) -> bool:
        """Whether a step is finished; a remote store is asked without anybody waiting for it."""
        if self.store.remote:
            return await asyncio.to_thread(self.store.has, step)
        return self.store.has(step)

    async def _reached(self, step: Step) -> int:
        """The position of a training's newest checkpoint, in training steps."""
        if step.shape != "fit":
            return 0
        newest = await asyncio.to_thread(Checkpoints(self.store, step).position)
        return max(self.resumed.get(step.digest, 0), newest)

    def _forget(self, digests: tuple[str, ...]) -> None:
        """Let finished steps be built again; those that are being built are left alone."""
        for digest in digests:
            if digest in self.runs and self.runs[digest].done():
                del self.runs[digest]

    async def _sources(self, step: Step) -> None:
        await asyncio.gather(*(self.finish(source.digest) for source in step.sources))

    async def _run_once(self, step: Step, attempt: int) -> Outcome:
        lacking = self._lacking(self._bundle(step))
        if lacking and not self.grows:  # it would wait for ever
            return Outcome(kind="failed", message=lacking)
        bundle = await self._admit(step)
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

    def _bundle(self, step: Step) -> Bundle:
        """What a step needs; of the CPUs that decode for it no more than there are now."""
        bundle = self.placement.bundle(step, self.planned)
        left = int(self.capacity.get("CPU", 0.0) - bundle.count * bundle.cpus)
        return replace(bundle, data_cpus=max(0, min(bundle.data_cpus, left)))

    def _lacking(self, bundle: Bundle) -> str | None:
        """What a step needs more of than the whole cluster has, or None."""
        for name, need in bundle.total.items():
            if need > (there := self.capacity.get(name, 0.0)) + ROUNDING:
                if name == "memory":
                    return f"needs {need / GIB:.3g} GiB, the cluster has {there / GIB:.3g} GiB"
                return f"needs {counted(need, name)}, the cluster has {there:g}"
        return None

    async def _admit(self, step: Step) -> Bundle:
        """Wait until the step's whole need is free, the longest way to the end first."""
        turn = asyncio.get_running_loop().create_future()
        self.arrivals += 1
        order = -self.urgency[step.digest], self.arrivals
        waiting = Waiting(order, step, self._bundle(step), turn)
        bisect.insort(self.queue, waiting)
        self._announce_if_it_needs_a_node(waiting)
        self._admit_waiting()
        await turn
        return waiting.bundle

    def _admit_waiting(self) -> None:
        """Admit in order, and keep for each waiting step what it waits for, and nothing else."""
        left = dict(self.free)
        place = 0
        while place < len(self.queue) and left.get("CPU", 0.0) > ROUNDING:
            waiting = self.queue[place]
            needs = {name: need for name, need in waiting.bundle.total.items() if need > 0}
            short = [name for name, need in needs.items() if left.get(name, 0.0) < need - ROUNDING]
            if not short:
                self._change_free(waiting.bundle, -1)
                self.queue.pop(place).turn.set_result(None)
            else:
                place += 1
            if short and self._lacking(waiting.bundle):
                continue  # it waits for a node that may never come: keep nothing for it
            for name in short or needs:
                left[name] = left.get(name, 0.0) - needs[name]

    def _announce_if_it_needs_a_node(self, waiting: Waiting) -> None:
        lacking = self._lacking(waiting.bundle)
        if lacking and not waiting.announced:
            self.note("waiting", waiting.step, message=f"for a larger node: {lacking}")
        waiting.announced = bool(lacking)

    def _change_free(self, bundle: Bundle, sign: int) -> None:
        for name, need in bundle.total.items():
            self.free[name] = self.free.get(name, 0.0) + sign * need


def event_of(kind: str, step: Step, **facts: Any) -> dict[str, Any]:
    """What happened to a step, and when."""
    about = {"kind": kind, "digest": step.digest, "path": step.path, "time": time.time()}
    return {**about, **facts}


def extent(step: Step) -> int | None:
    """How far a step goes, in the units of its progress: training steps, or images."""
    name = {"fit": "steps", "per_batch": "n", "whole": ""}[step.shape]
    return getattr(step.settings, name, None) or None  # 0: the settings do not know


def _retrieve(run: asyncio.Future[None]) -> None:
    """Keep the event loop from reporting a failure that nobody waits for yet."""
    if not run.cancelled():
        run.exception()


def _longest_way(steps: Mapping[str, Step]) -> dict[str, float]:
    """Expected seconds from the start of each step to the end of the graph."""
    way = {digest: 0.0 for digest in steps}
    for step in reversed(list(steps.values())):  # readers come before what they read
        way[step.digest] += step.settings.expected_seconds
        for source in step.sources:
            way[source.digest] = max(way[source.digest], way[step.digest])
    return way
