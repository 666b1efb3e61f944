"""Ray: start or join a cluster; ``orchestrator.run.conductor_actor`` has what then works on it.

Imported only when something is to be run; ``plan``, ``report`` and ``--help`` never get here.
"""

import logging
import os
import shlex
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from orchestrator import ROOT
from orchestrator.run import environment

# isort: split
import ray
from ray.job_config import JobConfig

from orchestrator.process import cores
from orchestrator.run import nodes, sessions
from orchestrator.run.conductor_actor import HEAD, NAMESPACE, Conducting, RayConductor, conductor
from orchestrator.run.request import NoCluster
from orchestrator.store.store import Store

__all__ = ("HEAD", "NAMESPACE", "Conducting", "RayConductor", "conductor", "connected")

EMBEDDED_OBJECT_STORE = 300 * 2**20
"""Bytes; the clean dataset and little else lies there."""


@contextmanager
def connected(
    address: str | None,
    *,
    dashboard: bool,
    verbose: bool,
    say: Callable[[str], Any] = print,
) -> Iterator[str | None]:
    """Join the cluster at ``address``, or start one in this machine that ends with this block.

    Args:
        address: Host and port, or ``auto``; None starts one.
        dashboard: Start Ray's dashboard, on loopback, where Ray is started here.
        verbose: Let Ray and its workers print.
        say: Told where the dashboard's token is, and if a token's file was open to others.

    Yields:
        Where Ray's dashboard is, host:port, or None without one.

    Raises:
        NoCluster: When nothing answers at ``address``, or it does not let us in.
    """
    if address is not None:
        _refuse_client(address)
        _probe(address)
    _refuse_running()
    environment.tell_ray()
    level = logging.INFO if verbose else logging.ERROR
    options = {"namespace": NAMESPACE, "log_to_driver": verbose, "logging_level": level}
    with (
        _embedded(dashboard, say)
        if address is None
        else nullcontext(_joined(address, say)) as where
    ):
        with (
            _on_loopback() if address is None else nullcontext(),
            nullcontext() if verbose or address is None else _without_chatter(),
        ):
            context = _init(address, options | where)
        for name in ("ray.data", "ray.tune", "ray.train"):
            logging.getLogger(name).setLevel(level if verbose else logging.CRITICAL)
        if not verbose:  # "(raylet) The node with node id ...": the conductor says what that means
            ray._private.worker.print_to_stdstream = lambda *_, **__: None
        session = _session_folder() if address is None else None
        try:
            yield context.dashboard_url or None
        finally:
            ray.shutdown()
            if session:
                shutil.rmtree(session, ignore_errors=True)


@contextmanager
def _embedded(dashboard: bool, say: Callable[[str], Any]) -> Iterator[dict[str, Any]]:
    """Yield what a Ray is started with in this machine: trusted, with a place for its sessions."""
    with ExitStack() as lasting:
        if not dashboard:
            lasting.enter_context(environment.trusting_only_this_process())
        elif path := environment.trust_the_user(say, make=True):
            say(f"Ray's dashboard asks for a token: it is in {path}")
        try:
            temporary = lasting.enter_context(sessions.folder())
        except OSError as error:
            raise NoCluster(str(error)) from error
        yield {
            "address": "local",  # else Ray joins whatever cluster was last started on this machine
            "num_cpus": cores(),
            "include_dashboard": dashboard,
            "dashboard_host": "127.0.0.1",
            "object_store_memory": EMBEDDED_OBJECT_STORE,
            "job_config": _path_of_workers(str(ROOT)),
            "_temp_dir": temporary,
            "runtime_env": python_of_workers(),
        }


def _joined(address: str, say: Callable[[str], Any]) -> dict[str, Any]:
    """What the cluster at ``address`` is joined with."""
    environment.trust_the_user(say, make=False)
    return {
        "address": address,
        "runtime_env": environment.shipped(),
        "job_config": _path_of_workers(),
    }


def python_of_workers() -> dict[str, str]:
    """The ``runtime_env`` without which a path with spaces reaches a shell as several words."""
    python = shlex.quote(sys.executable)
    return {} if python == sys.executable else {"py_executable": python}


def _refuse_running() -> None:
    if ray.is_initialized():
        raise NoCluster(
            "Ray already runs in this process. Call ray.shutdown() first: a run starts Ray as it "
            "needs it, or joins the cluster that address names."
        )


class _Fixed(list[str]):
    """Folders that stay as they are when Ray adds to them."""

    def extend(self, _: Any) -> None:
        """Add nothing."""


def _path_of_workers(*folders: str) -> JobConfig:
    """Have these folders first on the path of the workers, and nothing else of this process's.

    Ray would put the script's folder and the current one first, where somebody's own ``models`` may
    lie.
    """
    config = JobConfig()
    config._py_driver_sys_path = _Fixed(folders)
    return config


def _init(address: str | None, options: Mapping[str, Any]) -> Any:
    """Start or join Ray, which takes SIGTERM for itself on the way: give it back."""
    on_main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM)
    try:
        return ray.init(**options)
    except SystemExit as error:  # what Ray makes of a SIGTERM while it starts
        raise KeyboardInterrupt from error
    except ray.exceptions.AuthenticationError as error:
        raise NoCluster(
            f"the cluster at {address} wants a token and there is none here. Copy its "
            f"~/.ray/auth_token to this machine, or set RAY_AUTH_TOKEN; for a cluster that was "
            f"started without authentication set RAY_AUTH_MODE=disabled."
        ) from error
    except Exception as error:  # a bare one, too, when a busy machine is slow to start it
        where = address or "this machine"
        raise NoCluster(f"Ray did not start on {where}: {' '.join(str(error).split())}") from error
    finally:
        if on_main:
            signal.signal(signal.SIGTERM, handler)


@contextmanager
def _without_chatter() -> Iterator[None]:
    """Let the C++ side of Ray, as it starts inside, say from now on only why it aborts.

    It complains in a line a second when the head does not answer; and it says in a line which level
    it was told, so nothing is heard of it while it starts.
    """
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    heard = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(heard, 2)
        os.close(heard)


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Have SIGTERM end what runs inside as Ctrl-C does."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _on_loopback() -> Iterator[None]:
    """Have every port of a Ray that is started inside bound to 127.0.0.1.

    Ray does so by itself on macOS and Windows; elsewhere only this switch turns it on, which this
    process has read already and its children are still to read.
    """
    constants, switch = ray._private.ray_constants, "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
    before, constants.ENABLE_RAY_CLUSTER = constants.ENABLE_RAY_CLUSTER, False
    said, os.environ[switch] = os.environ.get(switch), "0"
    try:
        yield
    finally:
        constants.ENABLE_RAY_CLUSTER = before
        del os.environ[switch]
        if said is not None:
            os.environ[switch] = said


def _refuse_client(address: str) -> None:
    if "://" in address:
        raise NoCluster(
            f"expected --address host:port of the cluster's head, or auto on it, got {address}. "
            f"From outside the cluster, `castlewalls submit` runs a study on it."
        )


def _probe(address: str) -> None:
    """Fail in seconds, not minutes, when nobody listens at ``host:port``."""
    port = address.rpartition(":")[2]
    if not port.isdigit():
        return  # "auto" and the like: Ray itself says what is wrong, at once
    if reason := nodes.silence(address):
        raise NoCluster(
            f"no Ray cluster answers at {address} ({reason}). Start one with "
            f"`ray start --head`, or leave --address out to run on this machine."
        )


def _session_folder() -> Path | None:
    node: Any = ray._private.worker._global_node
    return Path(node.get_session_dir_path()) if node else None


@contextmanager
def store_seen(store: Store) -> Iterator[str]:
    """Have every node look at the store before anything starts.

    Yields:
        What ``store.sees`` is asked for on nodes that come later.

    Raises:
        NoCluster: A node does not see it, does not answer, or has other versions.
    """
    token = store.probe()
    try:
        nodes.refuse_unfit(nodes.ask(store, token), store, nodes.facts())
        yield token
    finally:
        store.unprobe(token)
