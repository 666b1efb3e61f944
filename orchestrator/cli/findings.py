"""What ``doctor`` makes of the facts: findings, each with its cure.  Pure functions."""

import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from packaging.specifiers import SpecifierSet

from orchestrator.cli.machine import Listener, Machine, Space, Token
from orchestrator.run import sessions
from orchestrator.run.placement import GIB, TORCH_PROCESS

Level = Literal["good", "note", "wrong"]

OBJECT_STORE = 300 * 2**20
"""Bytes of shared memory that Ray takes on one machine."""
FULL = 0.95
"""Share of a disk, and of memory, at which Ray stops storing objects and ends workers."""
SCARCE = 100 * 10**6
"""Bytes free in a store; the default study writes 20 MB at laptop."""
SCANT = 2 * GIB
"""Bytes free in a store; a study at cifar10 writes up to 1.2 GB, checkpoints aside."""
FEW_FILES = 4096
"""Open files below which Ray warns."""
FIREWALL = "let a firewall pass Ray's ports only between the machines of the cluster"


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    level: Level
    """``good``; ``note``: works, but there is something to know; ``wrong``: is to be mended."""
    about: str
    says: str
    cure: str = ""
    """What to type or do.  Whatever is not good has one."""

    def __post_init__(self) -> None:
        """Hold ourselves to a cure for everything that is not good."""
        assert (self.level == "good") != bool(self.cure), self


@dataclass(frozen=True)
class Wanted:
    """What ``pyproject.toml`` asks for."""

    python: str
    packages: Mapping[str, str]
    """Range by package."""
    extras: Mapping[str, str]
    """``[data,default]`` by package, for those that have any."""


def judge(machine: Machine, wanted: Wanted) -> Iterator[Finding]:
    """Yield what can be said of the user's machine, where runs without ``--address`` go."""
    yield versions(machine, wanted)
    yield from equipment(machine)
    yield token(machine)
    yield from ports(machine.listening)


def judge_node(
    machine: Machine, here: Machine, resources: Mapping[str, float], deciding: Iterable[str]
) -> Iterator[Finding]:
    """Yield what can be said of a cluster's node.

    Args:
        machine: The node.
        here: The driver's machine, for the versions.
        resources: What Ray counts there.
        deciding: Packages that must be of the same version, as Python must.
    """
    yield compared(machine, here, deciding)
    yield counted(machine, resources)
    yield from equipment(machine)
    yield token(machine)
    inner = [port for port in machine.listening if port.program == "Ray"]
    if inner:
        yield Finding(
            "note",
            "open ports",
            "Ray's inner ports are open to other machines, as a cluster's must be; what goes over "
            "them is not encrypted",
            FIREWALL,
        )
    yield from ports(port for port in machine.listening if port not in inner)


def equipment(machine: Machine) -> Iterator[Finding]:
    """Yield what can be said of processors, memory and disks."""
    yield processors(machine)
    if machine.threads:
        yield threads(machine)
    yield gpus(machine)
    yield memory(machine)
    yield temporary(machine)
    if machine.open_files is not None and machine.open_files < FEW_FILES:
        yield open_files(machine.open_files)
    if machine.shared_memory is not None:
        yield shared_memory(machine.shared_memory)


def versions(machine: Machine, wanted: Wanted) -> Finding:
    """Python and every package against the ranges of ``pyproject.toml``."""
    if not _inside(machine.python, wanted.python):
        return Finding(
            "wrong",
            "versions",
            f"Python is {machine.python}, expected {wanted.python}",
            "make the environment anew with such a Python: make run PYTHON=/path/to/python3.11",
        )
    amiss = {
        name: version
        for name, version in machine.versions.items()
        if version is None or not _inside(version, wanted.packages[name])
    }
    if not amiss:
        says = f"Python {machine.python}, {len(machine.versions)} packages in pyproject's ranges"
        return Finding("good", "versions", says)
    told = [
        f"{name} is {version or 'not installed'}, expected {wanted.packages[name] or 'any version'}"
        for name, version in amiss.items()
    ]
    needed = [name + wanted.extras.get(name, "") + wanted.packages[name] for name in amiss]
    return Finding(
        "wrong",
        "versions",
        "; ".join(told),
        f"python -m pip install {' '.join(map(shlex.quote, needed))}",
    )


def size(count: int) -> str:
    """``512 MiB``, ``1.5 GiB``."""
    return f"{count / GIB:.1f} GiB" if count >= GIB else f"{count / 2**20:.0f} MiB"


def _inside(version: str, versions: str) -> bool:
    return SpecifierSet(versions).contains(version, prereleases=True)


def processors(machine: Machine) -> Finding:
    """Cores, and whether the container may use all of them."""
    if machine.quota is not None and machine.quota < machine.cores:
        last = max(1, int(machine.quota)) - 1
        return Finding(
            "note",
            "cores",
            f"{machine.cores} are seen, but this container may use {machine.quota:g} at a time; "
            f"steps that run side by side then slow each other down",
            f"taskset -c 0-{last} castlewalls run ...; of a node: ray start --num-cpus={last + 1}",
        )
    return Finding("good", "cores", f"{machine.cores}, as many steps side by side")


def threads(machine: Machine) -> Finding:
    """More than one thread for each of the steps that run side by side."""
    told = " and ".join(f"{name}={value}" for name, value in machine.threads.items())
    return Finding(
        "note",
        "threads",
        f"{told}: each step that runs side by side with others starts that many; steps are slower, "
        f"and last digits may differ from those of one thread",
        f"unset {' '.join(machine.threads)}",
    )


def gpus(machine: Machine) -> Finding:
    """GPUs, and whether torch can use them."""
    if machine.gpu_trouble:
        return Finding(
            "wrong",
            "GPUs",
            machine.gpu_trouble,
            "see that nvidia-smi lists the GPUs and CUDA_VISIBLE_DEVICES is not set, and install "
            "torch for a CUDA that this driver knows: https://pytorch.org/get-started/locally",
        )
    return Finding("good", "GPUs", "; ".join(machine.gpus) or "none; everything runs on CPUs")


def memory(machine: Machine) -> Finding:
    """Room for a step on every core; each is counted with what its torch takes."""
    free, total = machine.memory
    room = int((free - OBJECT_STORE) / TORCH_PROCESS)
    told = f"{free / GIB:.1f} of {total / GIB:.1f} GiB free"
    if room < 2 or free < (1 - FULL) * total:  # the driver and one step
        return Finding(
            "wrong",
            "memory",
            f"{told}; a step counts {TORCH_PROCESS / GIB:.1f} GiB, and Ray ends the processes of a "
            f"machine that is {100 * FULL:.0f} % full",
            "end what else takes memory here (top -o %MEM), or use a larger machine",
        )
    if room < machine.cores + 1:
        return Finding(
            "note",
            "memory",
            f"{told}, which holds {room - 1} step(s) at a time, not one for each of "
            f"{machine.cores} cores",
            "end what else takes memory here (top -o %MEM), or be patient: steps wait for memory",
        )
    return Finding("good", "memory", told)


def temporary(machine: Machine) -> Finding:
    """The folder of Ray's sessions, and its disk: Ray stores nothing more on a full one."""
    free, total = machine.temporary_disk
    told = f"{size(free)} free in {machine.temporary}"
    if free <= (1 - FULL) * total or free < OBJECT_STORE:
        return Finding(
            "wrong",
            "temporary files",
            f"{told}, of {size(total)}; Ray stops storing objects on a disk that is "
            f"{100 * FULL:.0f} % full",
            "delete what is old there, or export RAY_TMPDIR=/a/larger/place (a short path)",
        )
    if trouble := machine.temporary_trouble:
        if machine.temporary != Path(sessions.SHORT):
            return Finding("wrong", "temporary files", trouble, sessions.CURE)
        says = f"{trouble}; runs make a folder in {sessions.SHORT} instead, with {told}"
        return Finding("note", "temporary files", says, sessions.CURE)
    return Finding("good", "temporary files", told)


def open_files(most: int) -> Finding:
    """Ray's processes keep many connections, more with each core."""
    return Finding(
        "note",
        "open files",
        f"a process may have {most} open, Ray wants {FEW_FILES}; with many cores a run may fail",
        "raise the hard limit (nofile in /etc/security/limits.conf); of a container: docker run "
        "--ulimit nofile=65536 ...",
    )


def shared_memory(room: Space) -> Finding:
    """Ray keeps datasets there, if it is large enough."""
    told = f"{size(room.free)} of {size(room.total)} of /dev/shm free"
    if room.free < OBJECT_STORE:
        return Finding(
            "note",
            "shared memory",
            f"{told}; Ray wants {size(OBJECT_STORE)} or more and uses the disk without",
            "mount -o remount,size=2g /dev/shm; of a container: docker run --shm-size=2g ...",
        )
    return Finding("good", "shared memory", told)


def token(machine: Machine) -> Finding:
    """Whether Ray asks for a token, and who can read it."""
    about, found = "authentication", machine.token
    if machine.authentication and machine.authentication.lower() != "token":
        return Finding(
            "wrong",
            about,
            f"RAY_AUTH_MODE is {machine.authentication!r}, expected 'token': without one whoever "
            f"reaches Ray's ports can run programs as you",
            "unset RAY_AUTH_MODE, and start anew what runs with it",
        )
    if found is None:
        says = "no token file; a run on this machine makes a token for itself"
        return Finding("good", about, says)
    return _token(about, found)


def _token(about: str, found: Token) -> Finding:
    if found.where == "RAY_AUTH_TOKEN":
        return Finding("good", about, "a token is set in RAY_AUTH_TOKEN")
    quoted = shlex.quote(found.where)
    if found.mode is None:
        return Finding(
            "wrong",
            about,
            f"RAY_AUTH_TOKEN_PATH names {found.where}, which cannot be read",
            "unset RAY_AUTH_TOKEN_PATH, or copy the cluster's ~/.ray/auth_token there",
        )
    if found.empty:
        return Finding(
            "wrong",
            about,
            f"the token file {found.where} is empty",
            f"rm {quoted}; then copy the cluster's ~/.ray/auth_token there, or ray get-auth-token "
            f"--generate",
        )
    if found.mode & 0o077:
        return Finding(
            "wrong",
            about,
            f"the token file {found.where} has mode {found.mode:04o}: others can read it, and with "
            f"it run programs as you",
            f"chmod 600 {quoted}",
        )
    says = f"the token file {found.where} is yours alone ({found.mode:04o})"
    return Finding("good", about, says)


def ports(listening: Iterable[Listener]) -> Iterator[Finding]:
    """Yield one finding a program that other machines can reach."""
    found: dict[str, list[Listener]] = {}
    for listener in listening:
        found.setdefault(listener.program, []).append(listener)
    if not found:
        says = "nothing of Ray's, MLflow's or TensorBoard's is open to other machines"
        yield Finding("good", "open ports", says)
    for program, ports in found.items():
        yield _open(program, ports)


def _open(program: str, ports: list[Listener]) -> Finding:
    shown = [port.address for port in ports[:4]] + ["..."] * (len(ports) > 4)
    processes = sorted({port.process for port in ports})
    whose = ", ".join(map(str, processes[:4])) + ", ..." * (len(processes) > 4)
    where = f"{program} is open to other machines at {', '.join(shown)} (process {whose})"
    welcome = any(port.guarded is False for port in ports)
    if program == "Ray":
        asks = any(port.guarded for port in ports)
        end = "its inner ports; it asks for a token" if asks else "its inner ports"
        end = "it asks for no token" if welcome else end
        return Finding(
            "wrong" if welcome else "note",
            "open ports",
            f"{where}; {end}",
            "start that Ray anew with RAY_AUTH_MODE=token" if welcome else FIREWALL,
        )
    loopback = {
        "Ray's dashboard": "ray start --head --dashboard-host=127.0.0.1 ...",
        "MLflow": "mlflow server --host 127.0.0.1 ...",
        "TensorBoard": "tensorboard without --bind_all and --host",
    }[program]
    guarded = all(port.guarded for port in ports)
    end = "it asks who comes, but encrypts nothing" if guarded else "it lets everybody in"
    cure = f"start it anew on loopback ({loopback}) and reach it by ssh -L"
    return Finding("note" if guarded else "wrong", "open ports", f"{where}; {end}", cure)


def disk(about: str, place: str, room: Space) -> Finding:
    """Room for what a study writes."""
    told = f"{size(room.free)} free in {place}"
    if room.free >= SCANT:
        return Finding("good", about, told)
    return Finding(
        "wrong" if room.free < SCARCE else "note",
        about,
        f"{told}; a study writes 20 MB at laptop and up to 1.2 GB at cifar10, checkpoints aside",
        "give a larger place with --store, or delete what is old there",
    )


def compared(there: Machine, here: Machine, deciding: Iterable[str]) -> Finding:
    """Versions of a node against those of the driver: a step computes the same on each."""
    pairs = {"Python": (there.python, here.python)}
    pairs |= {
        name: (there.versions.get(name) or "missing", version or "missing")
        for name, version in here.versions.items()
    }
    differing = [name for name, (other, own) in pairs.items() if other != own]
    if not differing:
        return Finding("good", "versions", "the same as here")
    told = [f"{name} is {pairs[name][0]}, here {pairs[name][1]}" for name in differing]
    return Finding(
        "wrong" if {"Python", *deciding} & set(differing) else "note",
        "versions",
        "; ".join(told),
        "install the same everywhere: python -m pip install -c constraints.txt -e . on every node, "
        "or one image for all of them (deploy/Dockerfile)",
    )


def counted(machine: Machine, resources: Mapping[str, float]) -> Finding:
    """Whether Ray counts the processors that a node has."""
    cpus, gpus = resources.get("CPU", 0.0), resources.get("GPU", 0.0)
    there = min(machine.cores, machine.quota or machine.cores)
    told = []
    if cpus > there:
        told.append(f"{cpus:g} CPUs of {there:g}: its steps slow each other down")
    if gpus != len(machine.gpus):
        told.append(f"{gpus:g} GPUs of {len(machine.gpus)}")
    if not told:
        return Finding("good", "resources", "what Ray counts is there")
    return Finding(
        "note",
        "resources",
        f"Ray counts {' and '.join(told)}",
        f"ray start --num-cpus={int(there)} --num-gpus={len(machine.gpus)} ... on it, or resources "
        f"in the cluster's file",
    )


def merged(findings: Mapping[str, Iterable[Finding]]) -> Iterator[Finding]:
    """Yield what is not good of several nodes: equal findings once, with the nodes' names."""
    names: dict[Finding, list[str]] = {}
    for name, found in findings.items():
        for finding in found:
            if finding.level != "good":
                names.setdefault(finding, []).append(name)
    for finding, nodes in names.items():
        shown = ", ".join(nodes[:3]) + (f" and {len(nodes) - 3} more" if len(nodes) > 3 else "")
        yield replace(finding, says=f"on {shown}: {finding.says}")
