"""``castlewalls doctor``: check this machine, or a cluster, before a run.

A run stops at the first problem; the doctor lists all of them, each with its cure, and leaves
nothing behind.  Installed packages are left to ``pip check``, open ports to ``ss -ltnp``.
"""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import psutil

from analysis.wording import counted
from orchestrator.process import cores
from orchestrator.run import sessions
from orchestrator.run.placement import GIB, TORCH_PROCESS
from orchestrator.run.request import NoCluster

if TYPE_CHECKING:
    from rich.console import Console

    from orchestrator.run import nodes
    from orchestrator.store.store import Store

OBJECT_STORE = 300 * 2**20
"""Bytes of shared memory that Ray takes on one machine."""
FULL = 0.95
"""Use of a disk, or of memory, at which Ray stops storing objects or ends workers."""
SCANT = 2 * GIB
"""Free bytes of a disk below which it may fill up: a study writes up to 1.2 GB at cifar10."""
RAY_DISK = "delete old files there, or export RAY_TMPDIR=/a/larger/place (a short path)"
SHARED = "mount -o remount,size=2g /dev/shm; in a container: docker run --shm-size=2g ..."
SEE_GPUS = "unset CUDA_VISIBLE_DEVICES, see what nvidia-smi says, and install torch for the "
SEE_GPUS += "driver's CUDA: https://pytorch.org/get-started/locally"
LEVELS = {"good": "green", "note": "yellow", "wrong": "bold red"}
SEES_GPUS = (
    "import torch as t; print(t.__version__, t.version.cuda or 'none', t.cuda.device_count())"
)
GROUP = Path("/sys/fs/cgroup")
"""The container's limits, where there are any (cgroup 2)."""


class Space(NamedTuple):
    """Memory or disk space in bytes."""

    free: int
    total: int


class Finding(NamedTuple):
    """The result of one check."""

    level: str
    """``good``; ``note``: works, but is worth knowing; ``wrong``: must be fixed."""
    check: str
    found: str
    cure: str = ""
    """What to type or do; empty if the level is good."""


def judged(check: str, found: str, *problems: tuple[bool, str, str, str]) -> Finding:
    """The first of (is it there, level, what is said, cure) that is there, or what was found."""
    for there, level, said, cure in problems:
        if there:
            return Finding(level, check, f"{found}; {said}" if found else said, cure)
    return Finding("good", check, found)


def examine(store: str, address: str | None) -> list[Finding]:
    """Check everything that a run rests on, here or at the address of a cluster.

    Raises:
        ValueError: The store's address is not valid.
        NoCluster: No cluster answers at the address, or it refuses us.
    """
    from orchestrator.store.store import open_store

    found = [token(os.environ)] if address else equipment(os.environ)
    try:
        opened = open_store(store)
    except OSError as error:
        cure = "give another --store, or provide credentials for it (environment, ~/.aws, a role)"
        return [*found, Finding("wrong", "store", _line(error), cure)]
    with leaving_nothing(opened.root):
        found.append(writable(opened))
        if address is not None:
            found += _cluster(opened, address)
    return found


def equipment(environment: Mapping[str, str]) -> list[Finding]:
    """Check this machine: CPUs, GPUs, memory, disks and the token of programs here."""
    folder, shared = sessions.chosen(environment), Path("/dev/shm")
    few, many = (OBJECT_STORE + TORCH_PROCESS * (steps + 1) for steps in (1, cores()))
    rooms = [
        room("memory", memory_of(), few, many, "end other programs (top -o %MEM)", FULL),
        room("Ray's files", space_of(folder), OBJECT_STORE, SCANT, RAY_DISK, FULL, folder),
    ]
    if shared.exists():  # not on macOS
        rooms.append(room("shared memory", space_of(shared), 0, OBJECT_STORE, SHARED))
    return [cpus(cores(), cpu_quota()), gpus(environment), *rooms, token(environment)]


def room(
    check: str, there: Space, least: int, better: int, cure: str, full: float = 1, place: Any = ""
) -> Finding:
    """Check free bytes: with ``least``, or where ``full`` (0..1) is used, a run fails."""
    found = f"{_size(there.free)} of {_size(there.total)} free" + (f" in {place}" if place else "")
    least = max(least, int((1 - full) * there.total))
    few = (there.free <= least, "wrong", f"{_size(least)} are needed", cure)
    scant = (there.free < better, "note", f"{_size(better)} are better", cure)
    return judged(check, found, few, scant)


def cpus(placed: int, quota: float | None) -> Finding:
    """Compare the CPUs on which steps are placed with those that they may use."""
    usable = min(placed, quota or placed)
    said = f"steps are placed on {placed}, so they slow each other down"
    cure = f"taskset -c 0-{max(1, int(usable)) - 1} castlewalls run ..."
    return judged("CPUs", f"{usable:g} to use", (placed > usable, "note", said, cure))


def _size(count: int) -> str:
    return f"{count / GIB:.1f} GiB" if count >= GIB else f"{count / 2**20:.0f} MiB"


def token(environment: Mapping[str, str]) -> Finding:
    """Check that Ray asks for a token, and that only its owner can read it."""
    mode, named = environment.get("RAY_AUTH_MODE"), environment.get("RAY_AUTH_TOKEN_PATH")
    given = bool(environment.get("RAY_AUTH_TOKEN"))
    path = Path(named or f"{environment.get('HOME', '')}/.ray/auth_token")
    there = not given and os.access(path, os.R_OK)
    shared = there and bool(path.stat().st_mode & 0o077)
    lost = not given and not there and named is not None
    found = "no token; a run on this machine needs none"
    if given or there or lost:
        found = f"the token is in {'RAY_AUTH_TOKEN' if given else path}"
    anyone = f"RAY_AUTH_MODE is {mode!r}: whoever reaches Ray's ports can run programs here"
    restart = "unset RAY_AUTH_MODE, and restart what was started with it"
    copy = "copy ~/.ray/auth_token of the cluster's head there, or unset RAY_AUTH_TOKEN_PATH"
    problems = (
        (bool(mode) and mode != "token", "wrong", anyone, restart),
        (shared, "wrong", "others can read it", f"chmod 600 {shlex.quote(str(path))}"),
        (lost, "wrong", "that file cannot be read", copy),
    )
    return judged("authentication", found, *problems)


@contextmanager
def leaving_nothing(folder: Path) -> Iterator[None]:
    """Remove the folder and its parents if they were made inside this block and are empty."""
    new = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        yield
    finally:
        with suppress(OSError):
            for path in new:
                path.rmdir()


def writable(store: "Store") -> Finding:
    """Check that this machine can write to the store, and its free space."""
    try:
        store.check_writable(0)
    except OSError as error:
        return Finding("wrong", "store", _line(error), f"ls -ld {store.root}, or another --store")
    place = f"this machine's copy of {store.address}" if store.remote else store.address
    cure = "delete old files there, or give another --store"
    return room("store", space_of(store.root), OBJECT_STORE, SCANT, cure, place=place)


def _cluster(store: "Store", address: str) -> Iterator[Finding]:
    """Findings about a cluster; and about each node what a run would refuse it for."""
    from orchestrator.run import cluster, nodes

    told: list[str] = []
    with cluster.connected(address, dashboard=False, verbose=False, say=told.append):
        import ray

        yield from (Finding("good", "authentication", line) for line in told)
        yield guard(ray.get_runtime_context().gcs_address)
        try:
            probe = store.probe()
        except OSError:  # the finding about the store says so already
            return
        try:
            answers = nodes.ask(store, probe)
        finally:
            store.unprobe(probe)
        yield from fit(answers, store)


def fit(answers: "Mapping[str, nodes.Facts | str]", store: "Store") -> list[Finding]:
    """What a run would refuse each node for, by what the nodes answered."""
    from orchestrator.run import nodes

    found = []
    for name, answer in answers.items():
        try:
            nodes.refuse_unfit({name: answer}, store, nodes.facts())
        except NoCluster as error:
            said, _, cure = str(error).rpartition(". ")
            found.append(Finding("wrong", "node", said, cure))
    same = f"{counted(len(answers), 'node')} with our versions and a view of the store"
    return found or [Finding("good", "nodes", same)]


def space_of(path: Path) -> Space:
    """Space on the disk that holds a path, or will hold it once it is made."""
    place = path.absolute()
    while not place.exists() and place != place.parent:
        place = place.parent
    usage = shutil.disk_usage(place)
    return Space(usage.free, usage.total)


def cpu_quota(group: Path = GROUP) -> float | None:
    """CPUs that the container may use at once; None without a limit."""
    quota, _, period = _text(group / "cpu.max").partition(" ")
    return int(quota) / int(period) if quota.isdigit() else None


def memory_of(group: Path = GROUP) -> Space:
    """Memory of the machine, or of the container if that has less; file caches count as free."""
    machine = psutil.virtual_memory()
    limit, used = _text(group / "memory.max"), _text(group / "memory.current")
    if not limit.isdigit() or not used.isdigit() or int(limit) >= machine.total:
        return Space(machine.available, machine.total)
    kinds = dict(line.split() for line in _text(group / "memory.stat").splitlines())
    free = int(limit) - int(used) + int(kinds.get("inactive_file", 0))
    return Space(min(free, machine.available), int(limit))


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def gpus(environment: Mapping[str, str]) -> Finding:
    """Check that torch, in a process of its own, can use the NVIDIA GPUs that the driver has."""
    if not shutil.which("nvidia-smi", path=environment.get("PATH")):
        return Finding("good", "GPUs", "none found")
    question, names = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"], ""
    try:
        found = _answer(question, environment).splitlines()
        names = "; ".join(found)
        version, cuda, seen = _answer([sys.executable, "-P", "-c", SEES_GPUS], environment).split()
        hidden = environment.get("CUDA_VISIBLE_DEVICES")
        why = f"CUDA {cuda}" if hidden is None else f"CUDA_VISIBLE_DEVICES is {hidden!r}"
        trouble = f"torch {version} sees {seen} of {len(found)} ({why})"
        fine = int(seen) == len(found)
    except (OSError, ValueError, subprocess.SubprocessError) as failure:
        asked = "torch cannot be imported" if names else "nvidia-smi failed"
        fine, trouble = False, f"{asked}: {_last_line(failure)}"
    return judged("GPUs", names, (not fine, "wrong", trouble, SEE_GPUS))


def _answer(command: list[str], environment: Mapping[str, str]) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=120, env=dict(environment)
    )
    return done.stdout.strip()


def _last_line(failure: Exception) -> str:
    said = getattr(failure, "stderr", None) or getattr(failure, "stdout", None) or str(failure)
    return str(said).strip().splitlines()[-1][:200]


def guard(head: str) -> Finding:
    """Check that the cluster refuses a request without a token."""
    import grpc

    level, said = "wrong", "it asks for no token: whoever reaches it can run programs there"
    with grpc.insecure_channel(head, [("grpc.enable_http_proxy", 0)]) as channel:  # as Ray does
        try:
            channel.unary_unary("/ray.rpc.NodeInfoGcsService/GetClusterId")(b"", timeout=5)
        except grpc.RpcError as refusal:
            level, said = "note", "it did not say whether it asks for a token"
            if refusal.code() == grpc.StatusCode.UNAUTHENTICATED:
                level = "good"
    problem = (level != "good", level, said, "restart it with RAY_AUTH_MODE=token")
    return judged("authentication", f"the cluster at {head}", problem)


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())


def print_findings(found: Iterable[Finding], console: "Console") -> None:
    """Print a line for each finding with its cure below, then the counts."""
    from rich.text import Text

    counts = dict.fromkeys(LEVELS, 0)
    for level, check, says, cure in found:
        counts[level] += 1
        console.print(Text(f"{level:6}", LEVELS[level]) + f"{check}: {says}", soft_wrap=True)
        if cure:
            console.print(f"      cure: {cure}", markup=False, soft_wrap=True)
    console.print("{good} good, {note} to note, {wrong} wrong".format(**counts), markup=False)
