"""The conductor as a Ray actor, the tasks that it starts, and the driver's handle of it."""

import asyncio
import json
import time
import uuid
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from orchestrator.run import environment  # noqa: F401 - before Ray, for what it sets

# isort: split
import ray

from orchestrator.run import nodes
from orchestrator.run.conductor import Conductor, event_of, extent
from orchestrator.run.execute import Outcome, build
from orchestrator.run.placement import Bundle, Placement, reads_a_folder
from orchestrator.run.request import NoCluster
from orchestrator.run.stream import RayRows, TrainingSet
from orchestrator.step import Step
from orchestrator.store.checkpoints import Note
from orchestrator.store.store import Store

NAMESPACE = "castlewalls"
HEAD = {nodes.HEAD: 0.001}  # what an actor or task holds that is to be on the head without a CPU
BETWEEN_NOTES = 0.5  # seconds, at least, between two messages about a step's progress
FOLLOW_SECONDS = 2.0  # between two looks at which nodes there are
GONE_SECONDS = 30.0
"""A head that does not answer for so long is gone; Ray itself aborts after twice that."""


class StoreNotSeen(RuntimeError):
    """A node that came later does not see the store: the node's id, and a message."""


@ray.remote(max_retries=0)
def _build(
    step: Step, store: Store, placement: Placement, seen: str, conductor: str, **more: Any
) -> Outcome:
    """Run a step in a worker process, unless its node does not see the store."""
    if seen and (reason := store.sees(seen)):
        here = ray.util.get_node_ip_address()
        message = f"node {here} does not see the store {store.address}: {reason}"
        raise StoreNotSeen(ray.get_runtime_context().get_node_id(), message)
    return build(step, store, placement, note=_note(conductor, step.digest), **more)


_build_on_gpu = ray.remote(max_retries=0, num_gpus=1, max_calls=1)(_build._function)  # type: ignore[attr-defined]
"""Its process ends with the step, and so frees its memory on the GPU."""


def _note(name: str, digest: str) -> Note:
    """A function that sends progress to a conductor, unless it did so just before."""
    last = 0.0

    def note(position: int, metrics: Mapping[str, float]) -> None:
        nonlocal last
        if time.monotonic() - last < BETWEEN_NOTES:
            return
        last = time.monotonic()
        with suppress(ValueError):  # the conductor is being restarted
            conductor(name).progress.remote(digest, position, dict(metrics))

    return note


class RayConductor(Conductor):
    """The conductor as an actor: each step is a Ray task that holds what the step needs.

    When its process is lost, Ray starts it again and repeats the calls that were waiting.
    """

    def __init__(
        self, name: str, targets: list[Step], store: Store, placement: Placement, seen: str = ""
    ) -> None:
        self.work = store, placement, seen, name
        self.incarnation = uuid.uuid4().hex
        self.reading: dict[str, asyncio.Task[Any]] = {}
        self.latest: dict[str, dict[str, Any]] = {}
        self.furthest: dict[str, int] = {}
        self.blind: set[str] = set()  # ids of nodes that do not see the store: no step goes there
        self.following: asyncio.Task[None] | None = None
        super().__init__(targets, store, placement, nodes.capacity(), self._start, grows=True)

    async def finish(self, digest: str) -> None:
        """Return once the step is in the store."""
        self._begin()
        await super().finish(digest)

    async def row(self, digest: str) -> dict[str, float]:
        """Finish a point's last step and return the numbers of its row."""
        await self.finish(digest)
        folder = await asyncio.to_thread(self.store.fetch, self.steps[digest])
        row = json.loads((folder / "metrics.json").read_text())
        return {name: value for name, value in row.items() if isinstance(value, int | float)}

    async def happened(self, incarnation: str, seen: int) -> tuple[str, int, list[dict[str, Any]]]:
        """What happened after the first ``seen`` events; all, if ``incarnation`` is another's.

        Returns this incarnation, how many events there are, and what is new: events, then the
        latest progress of each step that moved since the last call.
        """
        self._begin()
        news = self.events[seen if incarnation == self.incarnation else 0 :]
        news += self.latest.values()
        self.latest.clear()
        return self.incarnation, len(self.events), news

    async def progress(self, digest: str, position: int, metrics: dict[str, float]) -> None:
        """Record how far a step is; a training without metrics resumes at a checkpoint."""
        step = self.steps[digest]
        if step.shape == "fit" and not metrics:
            again = max(0, self.furthest.get(digest, position) - position)
            self.note("resumed", step, position=position, again=again, total=extent(step))
            self.resumed[digest] = max(position, self.resumed.get(digest, 0))
        self.furthest[digest] = max(position, self.furthest.get(digest, 0))
        self.latest[digest] = event_of("progress", step, position=position, metrics=metrics)

    def _begin(self) -> None:
        if self.following is None:
            self.following = asyncio.create_task(self._follow())
            self.begin()

    async def _follow(self) -> None:
        """Keep up with nodes that come and go."""
        while True:
            await asyncio.sleep(FOLLOW_SECONDS)
            with suppress(Exception):  # the head is being restarted, or gone: the driver finds out
                self.resize(await asyncio.to_thread(nodes.capacity, self.blind))

    async def _start(self, step: Step, bundle: Bundle) -> Outcome:
        rows, outcome = await self._rows(step), None
        while outcome is None:
            try:
                task = self._task(step, bundle)
                outcome = await task.remote(step, *self.work, rows=rows, bundle=bundle)
            except ray.exceptions.RayTaskError as error:  # not of the task: that is an outcome
                if isinstance(error.cause, StoreNotSeen):
                    node, reason = error.cause.args
                    if node not in self.blind:
                        self.blind.add(node)
                        self.note("waiting", step, message=f"for another node: {reason}")
                    continue
                cause = " ".join(str(error.cause).split())[:200]
                outcome = _lost(f"its process could not begin ({cause})")
            except ray.exceptions.RayError as error:
                outcome = _lost(f"its process was lost ({type(error).__name__})")
        if outcome.transient and rows:
            self._read_anew(step, rows)
        return outcome

    def _task(self, step: Step, bundle: Bundle) -> Any:
        # A step with processes of its own is driven from the head, without a CPU: no other lost
        # node ends it.  A user's own folder is read there too, as other nodes may not have it.
        if self.placement.distributed(step) or reads_a_folder(step):
            return _build.options(name=step.path, num_cpus=0, resources=HEAD)
        need: dict[str, Any] = {"num_cpus": bundle.cpus, "memory": bundle.memory}
        need["name"] = step.path  # shown by Ray's dashboard and by ps
        if self.blind:
            need["label_selector"] = {nodes.ID: f"!in({', '.join(sorted(self.blind))})"}
        if bundle.gpus:
            return _build_on_gpu.options(**need, num_gpus=bundle.gpus)
        return _build.options(**need)

    async def _rows(self, step: Step) -> RayRows | None:
        """A training's dataset in the object store, read once a run; None if it does not fit."""
        dataset = step.streams.get("dataset")
        if dataset is None or step.reads_training_set:
            return None
        try:
            folder = await asyncio.to_thread(self.store.fetch, dataset)
            if TrainingSet.of(folder).exceeds(step.settings.window_bytes):
                return None
            if dataset.digest not in self.reading:
                from orchestrator.run import distributed

                read = asyncio.to_thread(distributed.read, self.store, dataset)
                self.reading[dataset.digest] = asyncio.create_task(read)
            return RayRows(await asyncio.shield(self.reading[dataset.digest]))
        except Exception:  # whatever it is, the step reads the file itself, and reports it
            self.reading.pop(dataset.digest, None)
            return None

    def _read_anew(self, step: Step, rows: RayRows) -> None:
        """Forget a dataset that may lie on a lost node, unless it was read anew already."""
        digest = step.streams["dataset"].digest
        reading = self.reading.get(digest)
        if reading and reading.done() and reading.result() is rows.source:
            del self.reading[digest]


def _lost(message: str) -> Outcome:
    return Outcome(kind="failed", message=message, transient=True)


class ConductorHandle:
    """The driver's handle of a conductor, whose process lives as long as this does."""

    def __init__(
        self, targets: Sequence[Step], store: Store, placement: Placement, seen: str = ""
    ) -> None:
        """Start it on the head of the cluster."""
        self.name = f"conductor-{uuid.uuid4().hex[:8]}"
        actor = ray.remote(RayConductor).options(
            name=self.name,
            num_cpus=0,
            resources=HEAD,
            max_concurrency=10_000,
            max_restarts=-1,
            max_task_retries=-1,
        )
        self.actor: Any = actor.remote(self.name, list(targets), store, placement, seen)
        self.head = ray.get_runtime_context().gcs_address
        self.incarnation, self.seen = "", 0
        self.answered = time.monotonic()

    def poll(self) -> list[dict[str, Any]]:
        """The events since the last call; NoCluster if the head is gone, not just busy."""
        try:
            happened = self.actor.happened.remote(self.incarnation, self.seen)
            self.incarnation, self.seen, news = ray.get(happened, timeout=5)
        except (ray.exceptions.RayError, ValueError):
            self.refuse_lost(GONE_SECONDS)
            return []
        self.answered = time.monotonic()
        return news

    def refuse_lost(self, patience: float = 0.0) -> None:
        """Raise NoCluster if the cluster's head is gone, and has been for ``patience`` seconds."""
        if time.monotonic() - self.answered < patience or nodes.silence(self.head) is None:
            return
        raise NoCluster(
            f"the head of the cluster at {self.head} is gone. What is finished is kept: start a "
            f"cluster again and give the same command with its --address; it goes on from there."
        )


def conductor(name: str) -> Any:
    """Ray's handle of a conductor by its name, in any process of the run."""
    return ray.get_actor(name, namespace=NAMESPACE)
