"""Where steps run: never part of a result's identity."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from orchestrator.step import Step

GIB = 2**30
TORCH_PROCESS = int(1.0 * GIB)
"""Memory counted for a process that has torch loaded, bytes."""
PLAIN_PROCESS = int(0.5 * GIB)
"""Memory counted for any other process, bytes."""


@dataclass(frozen=True, kw_only=True)
class Placement:
    """How steps are spread over the machine or the cluster."""

    actors: int = 1
    """Actors that share one sampling, dissecting or detecting step; 1 runs it in its process."""
    training_workers: int = 1
    """Data-parallel workers of one training; 1 on a CPU runs it in its task's process."""
    gpus_per_training: int = 0
    """GPUs of one training, split evenly over its workers."""
    checkpoint_seconds: float = 20.0
    """Seconds of training between two checkpoints; 0 takes one at every report."""

    def __post_init__(self) -> None:
        """Reject counts that mean nothing."""
        least_of = {"actors": 1, "training_workers": 1, "gpus_per_training": 0}
        for name, least in {**least_of, "checkpoint_seconds": 0}.items():
            value = getattr(self, name)
            if not value >= least:  # NaN is not
                flag = "--" + name.replace("_", "-")
                raise ValueError(f"{flag} must be at least {least}, got {value}.")
        if self.gpus_per_training % self.training_workers and self.gpus_per_training:
            raise ValueError(
                f"{self.gpus_per_training} GPUs cannot be split evenly over "
                f"{self.training_workers} training workers; make --gpus-per-training a multiple."
            )

    def distributed(self, step: Step) -> bool:
        """Whether the step starts processes of its own (Ray Train, an actor pool)."""
        if step.shape == "fit":
            return self.training_workers > 1 or self.gpus_per_training > 0
        return step.shape == "per_batch" and self.actors > 1

    def bundle(self, step: Step, cluster: Mapping[str, float]) -> "Bundle":
        """What each process of the step holds.

        More processes than the cluster has CPUs share them (a fraction each), so that the
        distributed way can be forced on any machine.
        """
        count = {"fit": self.training_workers, "per_batch": self.actors, "whole": 1}[step.shape]
        share = min(1.0, math.floor(1000 * cluster.get("CPU", 1.0) / count) / 1000)
        gpus = self.gpus_per_training / count if step.shape == "fit" else 0.0
        memory = _memory(step)
        return Bundle(count=count, cpus=share if count > 1 else 1.0, gpus=gpus, memory=memory)


def _memory(step: Step) -> int:
    """Bytes of one process of a step; those of its training set as uint8 are counted in full.

    But a ``fit`` re-streams what is more than it may hold.
    """
    if not step.streams:
        return PLAIN_PROCESS if step.shape == "whole" else TORCH_PROCESS
    data = step.streams["dataset"].settings
    images = sum(data.counts()["train"]) * data.image_size**2 * data.channels
    held = images if step.reads_training_set else min(images, step.settings.window_bytes)
    return TORCH_PROCESS + held


@dataclass(frozen=True)
class Bundle:
    """A step's whole peak need: ``count`` equal processes."""

    count: int
    cpus: float
    """CPUs of one process."""
    gpus: float
    """GPUs of one process."""
    memory: int
    """Bytes of one process."""

    @property
    def total(self) -> dict[str, float]:
        """What all processes hold together, in Ray's resource names."""
        return {
            "CPU": self.count * self.cpus,
            "GPU": self.count * self.gpus,
            "memory": float(self.count * self.memory),
        }


def refusal(step: Step, bundle: Bundle, nodes: list[Mapping[str, float]]) -> str | None:
    """Say why no set of nodes can ever run the step, or None if one can.

    Args:
        step: The step, for the message.
        bundle: Its need.
        nodes: Total resources of each live node, in Ray's names.
    """
    if step.shape == "fit" and step.settings.batch_size % bundle.count:
        return (
            f"{step.task} has batches of {step.settings.batch_size} images, which "
            f"{bundle.count} workers cannot share equally. Give another --training-workers."
        )
    one = {"CPU": bundle.cpus, "GPU": bundle.gpus, "memory": float(bundle.memory)}
    places = sum(
        min(int(node.get(name, 0.0) / need + 1e-6) for name, need in one.items() if need > 0)
        for node in nodes
    )
    if places >= bundle.count:
        return None
    wanted = ", ".join(
        f"{need:g} {name}" for name, need in one.items() if need and name != "memory"
    )
    largest = {name: max((node.get(name, 0.0) for node in nodes), default=0.0) for name in one}
    return (
        f"{step.task} needs {bundle.count} process(es) of {wanted}, {bundle.memory / GIB:.1f} GiB; "
        f"the largest of {len(nodes)} node(s) has {largest['CPU']:g} CPU, {largest['GPU']:g} GPU "
        f"and {largest['memory'] / GIB:.1f} GiB, which holds {places}. Lower --gpus-per-training, "
        f"--training-workers or --actors, or use a larger cluster."
    )
