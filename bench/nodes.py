"""A Ray cluster of several nodes on this machine: a head without CPUs, workers with one each.

Every node is a ``ray start --block`` of its own, so drivers are plain commands that are given an
address, and a node can be killed like a machine that loses its power.
"""

import ctypes
import os
import re
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

RAY = Path(sys.executable).with_name("ray")
OBJECT_STORE = 80 * 2**20
"""Bytes of each node's; Ray wants 75 MiB or more."""
PATIENCE = 120.0
"""Seconds that a node may take to start on a busy machine."""
STARTED = "Ray runtime started"
PR_SET_PDEATHSIG = 1
NOT_OURS = ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS", "CASTLEWALLS_STORE", "MLFLOW_TRACKING_URI")
"""What the user has set for work of her own."""
QUICK_TO_NOTICE = {
    "RAY_health_check_initial_delay_ms": "0",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_timeout_ms": "2000",
    "RAY_health_check_failure_threshold": "3",
}
"""A dead node is given up within some 3 s, not 30; more haste takes a busy node for a dead one."""


@dataclass(frozen=True, eq=False)
class Node:
    """One node: the ``ray start`` that all its processes descend from."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path


class Nodes:
    """A cluster with token authentication; leave it, or call ``close``, to end it.

    Args:
        workers: Nodes of one CPU to start beside the head.
        dashboard: Whether the head serves the Jobs API.
    """

    def __init__(self, workers: int = 2, *, dashboard: bool = False) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="nodes-"))  # short: sockets lie in it
        self.nodes: list[Node] = []
        self.started = 0  # nodes, the dead ones too
        # Each node is a host of its own, and no other cluster of this machine's uses its ports.
        self.network = f"127.{secrets.randbelow(254) + 1}.{secrets.randbelow(256)}"
        port, client, page = _free_ports(3)
        self.address = f"{self.network}.1:{port}"
        self.dashboard = f"http://127.0.0.1:{page}" if dashboard else None
        self.environment = _environment()
        words = ["--head", "--port", str(port), "--ray-client-server-port", str(client)]
        words += ["--include-dashboard", str(dashboard).lower(), "--no-monitor"]
        words += ["--dashboard-host", "127.0.0.1", "--dashboard-port", str(page)]
        try:
            self.head = self._start("head", [*words, "--num-cpus", "0"])
            self._wait_for([self.head])
            self._wait_for([self._start_worker() for _ in range(workers)])
        except BaseException:
            self.close()
            raise

    @property
    def live(self) -> Sequence[Node]:
        """The nodes that are there: a raylet that is taken for dead ends its node."""
        return [node for node in self.nodes if node.process.poll() is None]

    @property
    def workers(self) -> Sequence[Node]:
        """Those of them that have a CPU."""
        return [node for node in self.live if node is not self.head]

    def add(self, gpus: int = 0) -> Node:
        """Start another node of one CPU, which may pretend to have GPUs, and wait for it."""
        node = self._start_worker("--num-gpus", str(gpus))
        self._wait_for([node])
        return node

    def processes(self, node: Node) -> list[psutil.Process]:
        """Every process of a node, its ``ray start`` first; none once it is dead."""
        try:
            root = psutil.Process(node.process.pid)
            return [root, *root.children(recursive=True)]
        except psutil.NoSuchProcess:
            return []

    def kill(self, node: Node) -> None:
        """SIGKILL everything on a node, which nobody is told."""
        processes = self.processes(node)
        # The raylet dies with the first one, before it can replace the workers that follow.
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        node.process.wait()
        psutil.wait_procs(processes, timeout=10)
        self.nodes.remove(node)

    def close(self) -> None:
        """End every node and remove their folder."""
        for node in self.nodes[::-1]:  # the head last
            self.kill(node)
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> "Nodes":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start_worker(self, *more: str) -> Node:
        words = ["--address", self.address, "--num-cpus", "1", *more]
        return self._start(f"node{self.started}", words)

    def _start(self, name: str, words: Sequence[str]) -> Node:
        own = self.folder / name  # as on a machine of its own: no node reads another's files
        own.mkdir()
        self.started += 1
        host = f"{self.network}.{self.started}"
        log = self.folder / f"{name}.log"
        command = [str(RAY), "start", "--block", "--node-ip-address", host, *words]
        command += ["--object-store-memory", str(OBJECT_STORE), "--temp-dir", str(own)]
        command += ["--include-log-monitor", "false"]  # nobody reads what workers print
        with log.open("wb") as output:
            process = subprocess.Popen(
                command,
                stdout=output,
                stderr=output,
                env=self.environment,
                cwd=own,
                start_new_session=True,  # Ctrl-C is for who started this, who closes it
                preexec_fn=_die_with_the_parent,
            )
        node = Node(name, process, log)
        self.nodes.append(node)
        return node

    def _wait_for(self, nodes: Sequence[Node]) -> None:
        deadline = time.monotonic() + PATIENCE
        for node in nodes:
            while STARTED not in (said := node.log.read_text()):
                if node.process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"{node.name} did not start: {_last_line(said)}")
                time.sleep(0.05)


def _environment() -> Mapping[str, str]:
    """This process's, with a token that is in no file and on no command line."""
    kept = {name: value for name, value in os.environ.items() if name not in NOT_OURS}
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    return {**kept, **QUICK_TO_NOTICE, **token, "RAY_USAGE_STATS_ENABLED": "0"}


def _die_with_the_parent() -> None:
    """Have Linux kill this process when the thread that started it ends, however it ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [item.getsockname()[1] for item in sockets]
    for item in sockets:
        item.close()
    return ports


def _last_line(said: str) -> str:
    lines = [re.sub(r"\x1b\[\d*m", "", line).strip() for line in said.splitlines()]
    return next((line for line in reversed(lines) if line), "it said nothing")
