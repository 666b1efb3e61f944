"""Facts about one machine, as plain values: what ``doctor`` judges.

The same function looks at the user's machine and, as a Ray task, at every node of a cluster.  It
imports neither Ray nor torch, starts nothing that stays, and brings no secret along.
"""

import platform
import resource
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import psutil

from orchestrator.process import cores
from orchestrator.run import sessions

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
SEES_GPUS = """
import torch
print(torch.__version__, torch.version.cuda or "none", torch.cuda.device_count())
"""
CPU_QUOTA = (  # how many microseconds of CPU time, in how many: cgroup 2, cgroup 1
    ("/sys/fs/cgroup/cpu.max",),
    ("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "/sys/fs/cgroup/cpu/cpu.cfs_period_us"),
)
MEMORY_LIMIT = (  # bytes: the limit, what is used, and of what kind that is
    ("/sys/fs/cgroup/memory.max", "memory.current", "memory.stat"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "memory.usage_in_bytes", "memory.stat"),
)


class Space(NamedTuple):
    """How much there is of something, bytes."""

    free: int
    total: int


class Token(NamedTuple):
    """Where Ray's token is; never the token."""

    where: str
    """A file, or the name of an environment variable."""
    mode: int | None = None
    """The file's permissions; None when it is no file, or cannot be looked at."""
    empty: bool = False


class Listener(NamedTuple):
    """A port that other machines can reach."""

    program: str
    """``Ray``, ``Ray's dashboard``, ``MLflow`` or ``TensorBoard``."""
    address: str
    """Address and port."""
    process: int
    guarded: bool | None
    """Whether it turned a stranger away; None when that is not known."""


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What one machine has."""

    python: str
    versions: Mapping[str, str | None]
    """Of each package that was asked for; None when it is not installed."""
    cores: int
    """That this process may use."""
    quota: float | None
    """CPUs that a container may use at once, if that is limited."""
    threads: Mapping[str, str]
    """Environment variables that give numerical libraries more threads than one."""
    gpus: tuple[str, ...]
    """Name and memory of each."""
    gpu_trouble: str
    """Why torch cannot use them, or an empty string."""
    memory: Space
    temporary: Path
    """Where Ray keeps its sessions."""
    temporary_trouble: str
    """Why that is not where Ray would by itself, or not possible; or an empty string."""
    temporary_disk: Space
    shared_memory: Space | None
    open_files: int | None
    """That one process may have open; None without a limit."""
    authentication: str
    """``RAY_AUTH_MODE`` as set, or an empty string."""
    token: Token | None
    listening: tuple[Listener, ...]


def look(packages: Iterable[str], environment: Mapping[str, str], temporary: str = "") -> Machine:
    """Gather the facts.

    Args:
        packages: Names of the packages whose versions are wanted.
        environment: The environment that programs on this machine are started with.
        temporary: Where Ray keeps its sessions; as the environment says if empty.
    """
    gpus, trouble = _gpus(environment)
    trouble_there = "" if temporary else sessions.unfit(sessions.usual(environment)) or ""
    folder = Path(temporary) if temporary else sessions.chosen(environment)
    shared = Path("/dev/shm")  # macOS has none
    return Machine(
        python=platform.python_version(),
        versions={name: _version(name) for name in packages},
        cores=cores(),
        quota=_quota(),
        threads={
            name: environment[name]
            for name in THREADS
            if environment.get(name, "").isdigit() and int(environment[name]) > 1
        },
        gpus=gpus,
        gpu_trouble=trouble,
        memory=_memory(),
        temporary=folder,
        temporary_trouble=trouble_there,
        temporary_disk=space(folder) or Space(0, 0),
        shared_memory=space(shared) if shared.exists() else None,
        open_files=_open_files(),
        authentication=environment.get("RAY_AUTH_MODE", ""),
        token=_token(environment),
        listening=tuple(listening()),
    )


def look_at_node(
    packages: Iterable[str], temporary: str, probe: tuple[str, str] | None
) -> tuple[Machine, str | None]:
    """As a task on a node: gather the facts, and read and write in the store.

    Args:
        packages: Names of the packages whose versions are wanted.
        temporary: Where Ray keeps its sessions on this node.
        probe: A store's address and what its ``probe`` returned; None for no store.

    Returns:
        The facts, and why a run could not use the store from here, or None.
    """
    own = psutil.Process().environ()  # as the raylet started it, before Ray and we set anything
    return look(packages, own, temporary), unusable(*probe) if probe else None


def unusable(address: str, probe: str) -> str | None:
    """Why this process cannot read a probe of the store, or not write there; None if it can."""
    from orchestrator.store.store import open_store

    try:
        store = open_store(address)
        if unseen := store.sees(probe):
            return unseen
        store.check_writable(0)
    except (OSError, ValueError) as error:
        return " ".join(str(error).split())
    return None


def space(path: Path) -> Space | None:
    """Of the disk that a path is on, or will be; None when that cannot be asked."""
    place = path.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        usage = shutil.disk_usage(place)
    except OSError:
        return None
    return Space(usage.free, usage.total)


def _open_files() -> int | None:
    """The limit to which Ray raises that of its processes."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if most == resource.RLIM_INFINITY else most


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _quota() -> float | None:
    for paths in CPU_QUOTA:
        numbers = " ".join(_text(Path(path)) for path in paths).split()
        if len(numbers) == 2 and numbers[0].isdigit():
            return int(numbers[0]) / int(numbers[1])
    return None


def _memory() -> Space:
    """Of the machine, or of the container when that is less; file caches count as free."""
    machine = psutil.virtual_memory()
    for path, usage, kinds in MEMORY_LIMIT:
        limit, used = _text(Path(path)), _text(Path(path).with_name(usage))
        if limit.isdigit() and used.isdigit() and int(limit) < machine.total:
            told = dict(line.split() for line in _text(Path(path).with_name(kinds)).splitlines())
            cached = int(told.get("total_inactive_file") or told.get("inactive_file") or 0)
            free = int(limit) - int(used) + cached
            return Space(min(free, machine.available), int(limit))
    return Space(machine.available, machine.total)


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _gpus(environment: Mapping[str, str]) -> tuple[tuple[str, ...], str]:
    """NVIDIA's GPUs, and why torch cannot use them: torch is asked in a process of its own."""
    if not shutil.which("nvidia-smi", path=environment.get("PATH")):
        return (), ""
    question = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"]
    try:
        answer = _answer(question, environment)
    except (OSError, subprocess.SubprocessError) as error:
        return (), f"nvidia-smi failed: {_last_line(error)}"
    gpus = tuple(answer.splitlines())
    try:
        version, cuda, seen = _answer([sys.executable, "-P", "-c", SEES_GPUS], environment).split()
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        return gpus, f"torch could not be asked: {_last_line(error)}"
    if int(seen) == len(gpus):
        return gpus, ""
    hidden = environment.get("CUDA_VISIBLE_DEVICES")
    why = f"CUDA {cuda}" if hidden is None else f"CUDA_VISIBLE_DEVICES is {hidden!r}"
    return gpus, f"torch {version} sees {seen} of {len(gpus)} ({why})"


def _answer(command: list[str], environment: Mapping[str, str]) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=120, env=dict(environment)
    )
    return done.stdout.strip()


def _last_line(error: Exception) -> str:
    said = getattr(error, "stderr", None) or getattr(error, "stdout", None) or str(error)
    return str(said).strip().splitlines()[-1][:200]


def _token(environment: Mapping[str, str]) -> Token | None:
    """Where Ray would take its token from, in Ray's own order."""
    if environment.get("RAY_AUTH_TOKEN"):
        return Token("RAY_AUTH_TOKEN")
    named = environment.get("RAY_AUTH_TOKEN_PATH")
    path = Path(named) if named else Path(environment.get("HOME", "~")) / ".ray" / "auth_token"
    try:
        status = path.expanduser().stat()
    except (OSError, RuntimeError):  # there may be no home
        return Token(str(path)) if named else None
    return Token(str(path), stat.S_IMODE(status.st_mode), empty=status.st_size == 0)


def listening() -> list[Listener]:
    """Ports of Ray, MLflow and TensorBoard that listen beyond loopback.

    Processes of other users are passed over: the system does not say which port is theirs.
    """
    found = {}
    for process, connection in _connections():
        if connection.status != psutil.CONN_LISTEN or not process:
            continue
        host, port = connection.laddr
        if host in ("::1", "::ffff:127.0.0.1") or host.startswith("127."):
            continue
        try:
            command = psutil.Process(process).cmdline()
        except psutil.Error:
            continue  # it has ended since
        if program := _program(command, port):
            address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
            guard = _guard(program, command, host, port)
            found[address] = Listener(program, address, process, guard)
    return [found[address] for address in sorted(found)]


def _connections() -> Iterator[tuple[int | None, Any]]:
    """Yield TCP connections with their processes: all, or where that is not allowed the user's."""
    try:
        yield from ((each.pid, each) for each in psutil.net_connections(kind="tcp"))
    except psutil.AccessDenied:  # macOS
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                yield from ((process.pid, each) for each in process.net_connections(kind="tcp"))


def _program(command: list[str], port: int) -> str | None:
    """Which of the programs that matter here a process is."""
    text = " ".join(command)
    if "ray/dashboard/dashboard.py" in text and f"--port={port}" in command:
        return "Ray's dashboard"
    if text.startswith("ray::") or any(f"/ray/{part}/" in text for part in ("core", "dashboard")):
        return "Ray"
    if "ray.util.client.server" in text or "/ray/autoscaler/" in text or "/ray/_private/" in text:
        return "Ray"
    if "mlflow" in text and any(word in text for word in (" server", " ui", "mlflow.server")):
        return "MLflow"
    return "TensorBoard" if any("tensorboard" in word for word in command[:3]) else None


def _guard(program: str, command: list[str], host: str, port: int) -> bool | None:
    """Whether a port turns away who has no token or password; None when it cannot be asked."""
    local = {"0.0.0.0": "127.0.0.1", "::": "127.0.0.1"}.get(host, host)
    where = f"[{local}]:{port}" if ":" in local else f"{local}:{port}"
    if program == "Ray":
        return guarded(where) if Path(command[0]).name == "gcs_server" else None
    path = {"MLflow": "/api/2.0/mlflow/experiments/search?max_results=1"}.get(program)
    return _refused(f"http://{where}{path or '/api/version'}") if program != "TensorBoard" else None


def guarded(address: str) -> bool | None:
    """Whether a Ray head turns away who has no token; None when it says neither yes nor no."""
    import grpc

    with grpc.insecure_channel(address, [("grpc.enable_http_proxy", 0)]) as channel:  # as Ray does
        try:
            channel.unary_unary("/ray.rpc.NodeInfoGcsService/GetClusterId")(b"", timeout=5)
        except grpc.RpcError as error:
            return True if error.code() == grpc.StatusCode.UNAUTHENTICATED else None
    return False


def _refused(url: str) -> bool | None:
    from urllib import error, request

    try:
        request.build_opener(request.ProxyHandler({})).open(url, timeout=5).close()
    except error.HTTPError as refusal:
        return True if refusal.code in (401, 403) else None
    except OSError:
        return None
    return False


def answers(host: str, port: int) -> str | None:
    """Why nothing answers at a port within five seconds, or None."""
    try:
        socket.create_connection((host, port), timeout=5).close()
    except OSError as error:
        return error.strerror or str(error)
    return None
