"""Ray: start or join a cluster, and the conductor as an actor on it.

Imported only when something is to be run; ``plan``, ``report`` and ``--help`` never get here.
"""

import asyncio
import logging
import os
import secrets
import shutil
import socket
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

EMBEDDED = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_AIR_NEW_OUTPUT": "0",  # Tune's new output prints a banner even at verbose=0
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",  # each report() waits for one poll
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "TUNE_GLOBAL_CHECKPOINT_S": "5",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C is ours to answer
    "RAY_AUTH_MODE": "token",
}
"""Ray's environment, unless the user has set it: quiet, authenticated, nothing sent anywhere."""
os.environ.update({name: os.environ.get(name, value) for name, value in EMBEDDED.items()})

import ray  # noqa: E402 - it reads the environment when it is imported

from orchestrator.conductor import Conductor, event_of  # noqa: E402
from orchestrator.execute import Outcome, build  # noqa: E402
from orchestrator.placement import Bundle, Placement, refusal  # noqa: E402
from orchestrator.request import NoCluster  # noqa: E402
from orchestrator.step import Step, ancestors  # noqa: E402
from orchestrator.store import Store  # noqa: E402
from orchestrator.stream import RayRows, TrainingSet  # noqa: E402

NAMESPACE = "castlewalls"
HEAD = {"node:__internal_head__": 0.001}
"""A resource that every Ray cluster has, on its head: for what holds no CPU."""
EMBEDDED_OBJECT_STORE = 300 * 2**20
"""Bytes; the clean dataset and little else lies there."""
NOTES_A_SECOND = 2.0
PACKAGES = ("orchestrator", "tasks", "models", "analysis")


@contextmanager
def connected(address: str | None, *, dashboard: bool, verbose: bool) -> Iterator[str | None]:
    """Join the cluster at ``address``, or start one in this machine that ends with this block.

    Yields:
        Where Ray's dashboard is, host:port, or None without one.

    Raises:
        NoCluster: When nothing answers at ``address``.
    """
    level = logging.INFO if verbose else logging.ERROR
    options: dict[str, Any] = {
        "namespace": NAMESPACE,
        "log_to_driver": verbose,
        "logging_level": level,
    }
    if address is None:
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))  # one process's, in no file
        _stay_on_loopback()
        options |= {
            "address": "local",  # else Ray joins whatever cluster was last started on this machine
            "num_cpus": len(os.sched_getaffinity(0)),
            "include_dashboard": dashboard,
            "dashboard_host": "127.0.0.1",
            "object_store_memory": EMBEDDED_OBJECT_STORE,
        }
    else:
        _probe(address)
        root = Path(__file__).parent.parent
        modules = [str(root / name) for name in PACKAGES]
        options |= {"address": address, "runtime_env": {"py_modules": modules}}
    try:
        context = ray.init(**options)
    except ray.exceptions.AuthenticationError as error:
        raise NoCluster(
            f"the cluster at {address} wants a token and there is none here. Copy its "
            f"~/.ray/auth_token to this machine, or set RAY_AUTH_TOKEN; for a cluster that was "
            f"started without authentication set RAY_AUTH_MODE=disabled."
        ) from error
    except (ConnectionError, RuntimeError) as error:
        where = address or "this machine"
        raise NoCluster(f"Ray did not start on {where}: {' '.join(str(error).split())}") from error
    for name in ("ray.data", "ray.tune", "ray.train"):
        logging.getLogger(name).setLevel(level if verbose else logging.CRITICAL)
    session = _session_folder() if address is None else None
    try:
        yield context.dashboard_url or None
    finally:
        ray.shutdown()
        if session:
            shutil.rmtree(session, ignore_errors=True)


def _stay_on_loopback() -> None:
    """Have every port of a Ray that is started here bound to 127.0.0.1.

    Ray does so by itself on macOS and Windows; elsewhere only this switch turns it on, which this
    process has read already and its children are still to read.
    """
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    ray._private.ray_constants.ENABLE_RAY_CLUSTER = False


def _probe(address: str) -> None:
    """Fail in seconds, not minutes, when nobody listens at ``host:port``."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdigit():
        return  # "auto" and the like: Ray itself says what is wrong, at once
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=5).close()
    except OSError as error:
        raise NoCluster(
            f"no Ray cluster answers at {address} ({error.strerror or error}). Start one with "
            f"`ray start --head`, or leave --address out to run on this machine."
        ) from error


def _session_folder() -> Path | None:
    node: Any = ray._private.worker._global_node
    return Path(node.get_session_dir_path()) if node else None


def nodes() -> list[Mapping[str, float]]:
    """Total resources of each live node."""
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def refuse_impossible(steps: list[Step], placement: Placement) -> None:
    """Fail before anything starts if a step fits no set of nodes.

    Raises:
        ValueError: With the need, what there is, and the flags to lower.
    """
    capacity = ray.cluster_resources()
    for step in steps:
        if reason := refusal(step, placement.bundle(step, capacity), nodes()):
            raise ValueError(reason)


@ray.remote(max_retries=0)
def _build(
    step: Step, store: Store, placement: Placement, rows: RayRows | None, bundle: Bundle, name: str
) -> Outcome:
    """Run a step in a worker process."""
    note = ProgressNote(name, step.digest)
    return build(step, store, placement, rows=rows, bundle=bundle, note=note)


@dataclass
class ProgressNote:
    """Sends progress to the conductor, at most twice a second."""

    conductor: str
    digest: str
    last: float = 0.0

    def __call__(self, position: int, metrics: Mapping[str, float]) -> None:
        """Send ``position`` and ``metrics``; dropped when the last ones were just sent."""
        if time.monotonic() - self.last < 1 / NOTES_A_SECOND:
            return
        self.last = time.monotonic()
        with suppress(ValueError):  # the conductor is being restarted
            actor = ray.get_actor(self.conductor, namespace=NAMESPACE)
            actor.progress.remote(self.digest, position, dict(metrics))


class RayConductor(Conductor):
    """The conductor as an actor: each step is a Ray task that holds what the step needs.

    It holds no state that the store does not: when its process is lost, Ray starts it again and
    repeats the calls that were waiting.
    """

    def __init__(self, name: str, targets: list[Step], store: Store, placement: Placement) -> None:
        self.name = name
        self.incarnation = uuid.uuid4().hex
        self.reading: dict[str, asyncio.Task[RayRows]] = {}
        self.latest: dict[str, dict[str, Any]] = {}
        super().__init__(targets, store, placement, ray.cluster_resources(), self._start)

    async def happened(self, incarnation: str, seen: int) -> tuple[str, int, list[dict[str, Any]]]:
        """What happened after the first ``seen`` events of this incarnation; all, to a stranger.

        Returns:
            The incarnation, how many events there are, and the news: events, then the latest
            progress of each step that moved since the last call.
        """
        news = self.events[seen if incarnation == self.incarnation else 0 :]
        news += self.latest.values()
        self.latest.clear()
        return self.incarnation, len(self.events), news

    async def progress(self, digest: str, position: int, metrics: dict[str, float]) -> None:
        """Take a note of how far a running step is; only the latest one is kept."""
        facts = {"position": position, "metrics": metrics}
        self.latest[digest] = event_of("progress", self.steps[digest], **facts)

    async def _start(self, step: Step, bundle: Bundle) -> Outcome:
        alone = not self.placement.distributed(step)
        task = _build.options(
            num_cpus=bundle.cpus if alone else 0, memory=bundle.memory if alone else None
        )
        rows = await self._rows(step)
        try:
            return await task.remote(step, self.store, self.placement, rows, bundle, self.name)
        except ray.exceptions.RayError as error:
            message = f"its process was lost ({type(error).__name__})"
            return Outcome(kind="failed", message=message, transient=True)

    async def _rows(self, step: Step) -> RayRows | None:
        """The step's dataset in the object store; read once per run, whoever asks first.

        It is read with the CPU that the step was admitted with and does not use yet.  A dataset
        that is larger than the step may hold never goes there: the step reads the file, a window
        at a time.  So do steps that are no training, once.  One that cannot be read is left to the
        step, which finds out what is wrong.
        """
        dataset = step.streams.get("dataset")
        if dataset is None or step.reads_training_set:
            return None
        try:
            if TrainingSet.of(self.store.folder(dataset)).exceeds(step.settings.window_bytes):
                return None
            if dataset.digest not in self.reading:
                self.reading[dataset.digest] = asyncio.create_task(self._read(dataset))
            return await asyncio.shield(self.reading[dataset.digest])
        except Exception:
            self.reading.pop(dataset.digest, None)
            return None

    async def _read(self, dataset: Step) -> RayRows:
        from orchestrator import distributed

        return RayRows(await asyncio.to_thread(distributed.read, self.store, dataset))


class Conducting:
    """A conductor at work: its process lives as long as this does."""

    def __init__(self, targets: list[Step], store: Store, placement: Placement) -> None:
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
        self.actor: Any = actor.remote(self.name, targets, store, placement)
        self.incarnation, self.seen = "", 0

    def poll(self) -> list[dict[str, Any]]:
        """What happened since the last call; nothing while the conductor does not answer."""
        try:
            happened = self.actor.happened.remote(self.incarnation, self.seen)
            self.incarnation, self.seen, news = ray.get(happened, timeout=10)
        except (ray.exceptions.RayError, ValueError):
            return []
        return news


def conductor(name: str) -> Any:
    """The handle of a conductor, in any process of the run."""
    return ray.get_actor(name, namespace=NAMESPACE)


def slots(targets: list[Step], placement: Placement) -> int:
    """How many of the graph's largest steps run side by side on this cluster."""
    capacity = ray.cluster_resources()
    needs = [placement.bundle(step, capacity).total["CPU"] for step in ancestors(targets)]
    return max(1, int(capacity.get("CPU", 1.0) / max(needs)))
