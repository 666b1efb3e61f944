"""Facts about this machine that ``castlewalls doctor`` judges, without Ray, torch or secrets."""

import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import psutil

SEES_GPUS = (
    "import torch as t; print(t.__version__, t.version.cuda or 'none', t.cuda.device_count())"
)
GROUP = Path("/sys/fs/cgroup")
"""The container's limits, where there are any (cgroup 2)."""


class Space(NamedTuple):
    """Memory or disk space in bytes."""

    free: int
    total: int


def space(path: Path) -> Space:
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


def memory(group: Path = GROUP) -> Space:
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


def gpus(environment: Mapping[str, str]) -> tuple[str, str]:
    """Names of the NVIDIA GPUs, and why torch cannot use them; empty if there are none, if it can.

    Torch is asked in a process of its own.
    """
    if not shutil.which("nvidia-smi", path=environment.get("PATH")):
        return "", ""
    question = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"]
    try:
        found = _answer(question, environment).splitlines()
    except (OSError, subprocess.SubprocessError) as failure:
        return "", f"nvidia-smi failed: {_last_line(failure)}"
    names = "; ".join(found)
    try:
        version, cuda, seen = _answer([sys.executable, "-P", "-c", SEES_GPUS], environment).split()
    except (OSError, ValueError, subprocess.SubprocessError) as failure:
        return names, f"torch cannot be imported: {_last_line(failure)}"
    hidden = environment.get("CUDA_VISIBLE_DEVICES")
    why = f"CUDA {cuda}" if hidden is None else f"CUDA_VISIBLE_DEVICES is {hidden!r}"
    trouble = f"torch {version} sees {seen} of {len(found)} ({why})"
    return names, "" if int(seen) == len(found) else trouble


def _answer(command: list[str], environment: Mapping[str, str]) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=120, env=dict(environment)
    )
    return done.stdout.strip()


def _last_line(failure: Exception) -> str:
    said = getattr(failure, "stderr", None) or getattr(failure, "stdout", None) or str(failure)
    return str(said).strip().splitlines()[-1][:200]


def head_guarded(address: str) -> bool | None:
    """Whether a Ray head refuses a request without a token; None if its answer tells neither."""
    import grpc

    with grpc.insecure_channel(address, [("grpc.enable_http_proxy", 0)]) as channel:  # as Ray does
        try:
            channel.unary_unary("/ray.rpc.NodeInfoGcsService/GetClusterId")(b"", timeout=5)
        except grpc.RpcError as refusal:
            return True if refusal.code() == grpc.StatusCode.UNAUTHENTICATED else None
    return False
