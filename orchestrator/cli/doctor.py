"""``castlewalls doctor``: check this machine, or a cluster, before a run.

A run stops at the first problem; the doctor lists all of them, each with its cure, and leaves
nothing behind.  Installed packages are left to ``pip check``, open ports to ``ss -ltnp``.
"""

import os
import shlex
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from analysis.wording import counted
from orchestrator.cli import machine
from orchestrator.cli.machine import Space
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
LEVELS = {"good": "green", "note": "yellow", "wrong": "bold red"}


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
        room("memory", machine.memory(), few, many, "end other programs (top -o %MEM)", FULL),
        room("Ray's files", machine.space(folder), OBJECT_STORE, SCANT, RAY_DISK, FULL, folder),
    ]
    if shared.exists():  # not on macOS
        rooms.append(room("shared memory", machine.space(shared), 0, OBJECT_STORE, SHARED))
    given = gpus(*machine.gpus(environment))
    return [cpus(cores(), machine.cpu_quota()), given, *rooms, token(environment)]


def room(
    check: str, there: Space, least: int, better: int, cure: str, full: float = 1, place: Any = ""
) -> Finding:
    """Check free bytes: below ``least`` a run fails, below ``better`` it is slow or may fail.

    ``full`` is the use, 0..1, at which Ray takes the memory or disk for full.
    """
    found = f"{_size(there.free)} of {_size(there.total)} free" + (f" in {place}" if place else "")
    least = max(least, int((1 - full) * there.total))
    few = (there.free <= least, "wrong", f"{_size(least)} are needed", cure)
    return judged(
        check, found, few, (there.free < better, "note", f"{_size(better)} are better", cure)
    )


def cpus(placed: int, quota: float | None) -> Finding:
    """Compare the CPUs on which steps are placed with those that they may use."""
    usable = min(placed, quota or placed)
    said = f"steps are placed on {placed}, so they slow each other down"
    cure = f"taskset -c 0-{max(1, int(usable)) - 1} castlewalls run ..."
    return judged("CPUs", f"{usable:g} to use", (placed > usable, "note", said, cure))


def gpus(names: str, trouble: str) -> Finding:
    """Check that torch can use the GPUs that the driver has."""
    cure = "unset CUDA_VISIBLE_DEVICES, see what nvidia-smi says, and install torch for the "
    cure += "driver's CUDA: https://pytorch.org/get-started/locally"
    return judged("GPUs", names or "none found", (bool(trouble), "wrong", trouble, cure))


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
    return room("store", machine.space(store.root), OBJECT_STORE, SCANT, cure, place=place)


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
    same = (
        f"{counted(len(answers), 'node')} with the same versions as here, and a view of the store"
    )
    return found or [Finding("good", "nodes", same)]


def guard(head: str) -> Finding:
    """Check that the cluster refuses a request without a token."""
    guarded = machine.head_guarded(head)
    said = "it asks for no token: whoever reaches it can run programs there"
    if guarded is None:
        said = "it did not say whether it asks for a token"
    level, cure = "note" if guarded is None else "wrong", "restart it with RAY_AUTH_MODE=token"
    return judged("authentication", f"the cluster at {head}", (not guarded, level, said, cure))


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
