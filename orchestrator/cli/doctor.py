"""``castlewalls doctor``: check this machine, or every node of a cluster, before a run.

A run stops at the first problem; the doctor lists all of them, each with its cure, and leaves
nothing behind.  Installed packages are left to ``pip check``.
"""

import os
import shlex
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from orchestrator.cli import machine
from orchestrator.cli.machine import Space
from orchestrator.process import cores
from orchestrator.run import sessions
from orchestrator.run.placement import GIB, TORCH_PROCESS

if TYPE_CHECKING:
    from rich.console import Console

    from orchestrator.store.store import Store

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
OBJECT_STORE = 300 * 2**20
"""Bytes of shared memory that Ray takes on one machine."""
FULL = 0.95
"""Use of a disk, or of memory, at which Ray stops storing objects or ends workers."""
SCANT = 2 * GIB
"""Free bytes of a disk below which it may fill up: a study writes up to 1.2 GB at cifar10."""
RAY_DISK = "delete old files there, or export RAY_TMPDIR=/a/larger/place (a short path)"
SHARED = "mount -o remount,size=2g /dev/shm; in a container: docker run --shm-size=2g ..."
WRITTEN = "read and written"
PATIENCE_SECONDS = 60.0
"""How long a node may take to answer; it may have to fetch the code first."""
LEVELS = {"good": "green", "note": "yellow", "wrong": "bold red"}
OF_NODE = "see raylet.err and runtime_env_setup-*.log in its /tmp/ray/session_latest/logs, install "
OF_NODE += "what pyproject.toml requires, and restart it"
OPEN = {
    "Ray": "allow its ports only between the machines of the cluster",
    "MLflow": "mlflow server --host 127.0.0.1 ..., and ssh -L from elsewhere",
    "TensorBoard": "start it without --bind_all and --host, and ssh -L from elsewhere",
}
Versions = Mapping[str, str | None]
"""Of Python and packages; None for one that is not installed."""


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
    """Check everything that a run rests on, here or on the nodes of the cluster at an address.

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


def equipment(
    environment: Mapping[str, str], temporary: str = "", counted: float | None = None
) -> list[Finding]:
    """Check this machine: CPUs, GPUs, memory, disks, the token and open ports.

    Args:
        environment: Of programs on this machine.
        temporary: Where Ray keeps its sessions; empty for where a run here would.
        counted: CPUs that Ray counts here; None for all.
    """
    folder, shared = Path(temporary or sessions.chosen(environment)), Path("/dev/shm")
    few, many = (OBJECT_STORE + TORCH_PROCESS * (steps + 1) for steps in (1, cores()))
    rooms = [
        room("memory", machine.memory(), few, many, "end other programs (top -o %MEM)", FULL),
        room("Ray's files", machine.space(folder), OBJECT_STORE, SCANT, RAY_DISK, FULL, folder),
    ]
    if shared.exists():  # not on macOS
        rooms.append(room("shared memory", machine.space(shared), 0, OBJECT_STORE, SHARED))
    return [
        cpus(cores(), machine.cpu_quota(), counted),
        threads(environment),
        gpus(*machine.gpus(environment)),
        *rooms,
        token(environment),
        *ports(machine.listening()),
    ]


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


def cpus(there: int, quota: float | None, counted: float | None = None) -> Finding:
    """Compare the CPUs on which steps are placed with those that they may use."""
    placed, usable = there if counted is None else counted, min(there, quota or there)
    few = max(1, int(usable))
    said = f"steps are placed on {placed:g}, so they slow each other down"
    cure = f"taskset -c 0-{few - 1} castlewalls run ...; on a node: ray start --num-cpus={few}"
    return judged("CPUs", f"{usable:g} to use", (placed > usable, "note", said, cure))


def threads(environment: Mapping[str, str]) -> Finding:
    """Look for variables that give each of several parallel steps more than one thread."""
    many = [x for x in THREADS if environment.get(x, "").isdigit() and int(environment[x]) > 1]
    found = " and ".join(f"{name}={environment[name]}" for name in many) or "one a step"
    said = "parallel steps compete for the CPUs, and the last digits of results may differ"
    return judged("threads", found, (bool(many), "note", said, f"unset {' '.join(many)}"))


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


def ports(listening: Mapping[str, list[str]]) -> list[Finding]:
    """One finding for each program that other machines can reach."""
    found = [
        Finding("note", "open ports", f"other machines reach {program} at {', '.join(at)}", cure)
        for program, cure in OPEN.items()
        if (at := listening.get(program))
    ]
    return found or [Finding("good", "open ports", "none of Ray, MLflow or TensorBoard")]


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
    """Findings about a cluster and its nodes."""
    from orchestrator.run import cluster, nodes

    told: list[str] = []
    with cluster.connected(address, dashboard=False, verbose=False, say=told.append):
        import ray

        yield from (Finding("good", "authentication", line) for line in told)
        yield guard(ray.get_runtime_context().gcs_address)
        probe = ""
        try:
            with suppress(OSError):  # the finding about the store says so already
                probe = store.probe()
            own = machine.installed(("Python", *nodes.VERSIONS_OF))
            yield from merged(dict(_answers(nodes.alive(), own, store.address, probe)))
        finally:
            if probe:
                store.unprobe(probe)


def guard(head: str) -> Finding:
    """Check that the cluster refuses a request without a token."""
    guarded = machine.head_guarded(head)
    said = "it asks for no token: whoever reaches it can run programs there"
    if guarded is None:
        said = "it did not say whether it asks for a token"
    level, cure = "note" if guarded is None else "wrong", "restart it with RAY_AUTH_MODE=token"
    return judged("authentication", f"the cluster at {head}", (not guarded, level, said, cure))


def _answers(
    nodes: Iterable[Mapping[str, Any]], own: Versions, address: str, probe: str
) -> Iterator[tuple[str, list[Finding]]]:
    """Have all nodes check themselves at once, without a CPU; yield a name and findings each."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    check, waiting = ray.remote(check_node), {}
    for node in nodes:
        there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        task = check.options(num_cpus=0, max_retries=0, scheduling_strategy=there)
        temporary = str(Path(node["RayletSocketName"]).parents[2])
        counted = node["Resources"].get("CPU", 0.0)
        name = f"{node['NodeManagerAddress']} ({node['NodeID'][:6]})"
        waiting[task.remote(own, temporary, counted, address, probe)] = name
    silent = [Finding("wrong", "node", f"no answer in {PATIENCE_SECONDS:.0f} s", OF_NODE)]
    done, _ = ray.wait(list(waiting), num_returns=len(waiting), timeout=PATIENCE_SECONDS)
    for reference, name in waiting.items():
        try:
            yield name, ray.get(reference) if reference in done else silent
        except ray.exceptions.RayError as error:
            yield name, [Finding("wrong", "node", _line(error)[-300:], OF_NODE)]


def check_node(
    own: Versions, temporary: str, counted: float, address: str, probe: str
) -> list[Finding]:
    """As a task on a node: check it, with the driver's versions and its probe of the store."""
    import psutil

    from orchestrator.store.store import open_store

    blind: str | None = None
    try:
        if probe and not (blind := (store := open_store(address)).sees(probe)):
            store.check_writable(0)
    except (OSError, ValueError) as error:
        blind = _line(error)
    cure = "give every node credentials for it" if "://" in address else "share one folder"
    cure += ", or give another --store"
    found = Finding("wrong", "store", blind, cure) if blind else Finding("good", "store", WRITTEN)
    environment = psutil.Process().environ()  # as the raylet started it, before Ray changed it
    return [same(machine.installed(own), own), found, *equipment(environment, temporary, counted)]


def same(there: Versions, own: Versions) -> Finding:
    """Compare a node's versions with the driver's: a step must compute the same on each."""
    other = [name for name in own if there[name] != own[name]]
    said = "; ".join(f"{name} is {there[name] or 'missing'}, here {own[name]}" for name in other)
    cure = "install the same everywhere: pip install -c constraints.txt -e ., or deploy/Dockerfile"
    return judged("versions", "the same as here", (bool(other), "wrong", said, cure))


def merged(answers: Mapping[str, Iterable[Finding]]) -> Iterator[Finding]:
    """Yield equal findings of several nodes once, with the names of the nodes."""
    equal: dict[Finding, dict[str, str]] = {}
    for name, found in answers.items():
        for one in found:
            key = one._replace(found="") if one.level == "good" else one
            equal.setdefault(key, {})[name] = one.found
    for finding, said in equal.items():
        nodes, texts = list(said), set(said.values())
        some = ", ".join(nodes[:3]) + (f" and {len(nodes) - 3} more" if len(nodes) > 3 else "")
        where = "on every node" if len(nodes) == len(answers) else f"on {some}"
        yield finding._replace(found=f"{where}: {texts.pop() if len(texts) == 1 else 'good'}")


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
