"""Start Ray on this machine or join a cluster; imported only when something is to run."""

import logging
import os
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from orchestrator import ROOT
from orchestrator.run import environment

# isort: split
import ray
from ray.job_config import JobConfig

from orchestrator.process import cores
from orchestrator.run import nodes, sessions
from orchestrator.run.conductor_actor import NAMESPACE
from orchestrator.run.request import NoCluster
from orchestrator.store.store import Store

EMBEDDED_OBJECT_STORE = 300 * 2**20  # bytes; the clean dataset and little else lies there


@contextmanager
def connected(
    address: str | None, *, dashboard: bool, verbose: bool, say: Callable[[str], Any] = print
) -> Iterator[str | None]:
    """Join the cluster at ``address``, or start one on this machine that ends with this block.

    Yields where Ray's dashboard is, host:port, or None.  Raises NoCluster if nothing answers at
    ``address`` (host and port, or ``auto``), or it does not let us in.
    """
    _refuse(address)
    environment.tell_ray()
    level = logging.INFO if verbose else logging.ERROR
    options = {"namespace": NAMESPACE, "log_to_driver": verbose, "logging_level": level}
    with ExitStack() as lasting, ExitStack() as starting:
        if address is None:
            options |= lasting.enter_context(_embedded(dashboard, say))
            starting.enter_context(_on_loopback())
            if not verbose:
                starting.enter_context(_without_chatter())
        else:
            environment.trust_the_user(say, make=False)
            options |= {"address": address, "runtime_env": environment.shipped()}
            options["job_config"] = _path_of_workers()
        context = _init(address, options)
        starting.close()
        lasting.callback(ray.shutdown)
        for name in ("ray.data", "ray.tune", "ray.train"):
            logging.getLogger(name).setLevel(level if verbose else logging.CRITICAL)
        if not verbose:  # "(raylet) The node with node id ...": the conductor says what that means
            ray._private.worker.print_to_stdstream = lambda *_, **__: None
        yield context.dashboard_url or None


def _refuse(address: str | None) -> None:
    """Raise NoCluster, with what to type instead, where there is none to join."""
    if address is not None and "://" in address:
        raise NoCluster(
            f"expected --address host:port of the cluster's head, or auto on it, got {address}. "
            f"From outside the cluster, `castlewalls submit` runs a study on it."
        )
    # Of "auto" and the like Ray itself says at once what is wrong.
    numbered = address is not None and address.rpartition(":")[2].isdigit()
    if numbered and (reason := nodes.silence(address or "")):
        raise NoCluster(
            f"no Ray cluster answers at {address} ({reason}). Start one with "
            f"`ray start --head`, or leave --address out to run on this machine."
        )
    if ray.is_initialized():
        raise NoCluster(
            "Ray already runs in this process. Call ray.shutdown() first: a run starts Ray as it "
            "needs it, or joins the cluster that address names."
        )


@contextmanager
def _embedded(dashboard: bool, say: Callable[[str], Any]) -> Iterator[dict[str, Any]]:
    """Yield what Ray is started with on this machine, with a token and a folder of its own."""
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


def python_of_workers() -> dict[str, str]:
    """The ``runtime_env`` without which a path with spaces reaches a shell as several words."""
    python = shlex.quote(sys.executable)
    return {} if python == sys.executable else {"py_executable": python}


class _Fixed(list[str]):
    def extend(self, _: Any) -> None:
        """Add nothing: Ray would add the script's folder and the current one."""


def _path_of_workers(*folders: str) -> JobConfig:
    """Have only these folders on the path of the workers: elsewhere may lie another ``models``."""
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
    except Exception as error:  # Ray raises bare ones, too, when a busy machine is slow to start it
        where = address or "this machine"
        raise NoCluster(f"Ray did not start on {where}: {' '.join(str(error).split())}") from error
    finally:
        if on_main:
            signal.signal(signal.SIGTERM, handler)


@contextmanager
def _without_chatter() -> Iterator[None]:
    """Let the C++ side of Ray, which is started inside, print only why it aborts."""
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    standard_error = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(standard_error, 2)
        os.close(standard_error)


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

    This process has read the switch of it already; its children are still to read it.
    """
    constants, switch = ray._private.ray_constants, "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
    enabled, constants.ENABLE_RAY_CLUSTER = constants.ENABLE_RAY_CLUSTER, False
    before, os.environ[switch] = os.environ.get(switch), "0"
    try:
        yield
    finally:
        constants.ENABLE_RAY_CLUSTER = enabled
        del os.environ[switch]
        if before is not None:
            os.environ[switch] = before


@contextmanager
def store_seen(store: Store) -> Iterator[str]:
    """Have every node look at the store; yield what ``Store.sees`` is asked on those to come.

    Raises NoCluster if a node does not see it, does not answer, or has other versions.
    """
    token = store.probe()
    try:
        nodes.refuse_unfit(nodes.ask(store, token), store, nodes.facts())
        yield token
    finally:
        store.unprobe(token)
