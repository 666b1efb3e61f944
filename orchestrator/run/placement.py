"""Where steps run: never part of a result's identity."""

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from orchestrator.graph.costs import described_by
from orchestrator.run import memory
from orchestrator.step import Step

GIB = 2**30
TORCH_PROCESS = int(0.85 * GIB)
"""Bytes of a process that has computed with torch; measured: 600 to 1000 MiB, a third shared."""
PLAIN_PROCESS = int(0.5 * GIB)  # bytes of any other process
ACTOR_SECONDS = 180.0  # work of one core that justifies another actor, which takes seconds to start
ON_CPU = ("perturb",)  # tasks with a network whose results would differ on a GPU
CORES_OF_A_GPU = 50.0  # cores that a GPU counts as when actors are counted; a guess, not measured

DATA_CPUS = 4  # CPUs that decode for each GPU of a training; a guess, not measured
RESOURCES = ("CPU", "GPU", "memory")  # what steps are placed by, in Ray's names; memory in bytes

Nodes = Sequence[Mapping[str, float]]  # total resources of each node, by ``RESOURCES``


@dataclass(frozen=True, kw_only=True)
class Placement:
    """How steps are spread over the machine or the cluster; None leaves it to ``fitted``."""

    actors: int | None = None
    """Actors that share one sampling, dissecting or detecting step; 1 runs it in its process."""
    gpus_per_actor: int | None = None
    """GPUs of each of them, and of other steps that compute with a network but do not train."""
    training_workers: int | None = None
    """Data-parallel workers of one training; 1 on a CPU runs it in its task's process."""
    gpus_per_training: int | None = None
    """GPUs of one training, split evenly over its workers."""
    data_cpus: int | None = None
    """CPUs that decode the images of a training that are more than it may hold in memory; 0 has
    the training decode them itself."""
    cache_decoded: bool = False
    """Whether images that are streamed are kept decoded on the disks of the nodes."""
    checkpoint_seconds: float = 20.0
    """Seconds of training between two checkpoints; 0 takes one at every report."""
    actor_seconds: float = 0.0
    """Least expected seconds of an actor's share, on one core; a shorter step has fewer actors."""

    def __post_init__(self) -> None:
        """Raise ValueError for numbers out of range."""
        for name, value in vars(self).items():
            least = 1 if name in ("actors", "training_workers") else 0
            if value is not None and not value >= least:  # NaN is not
                flag = "--" + name.replace("_", "-")
                raise ValueError(f"{flag} must be at least {least}, got {value}.")
        if (self.gpus_per_training or 0) % (self.training_workers or 1):
            raise ValueError(
                f"{self.gpus_per_training} GPUs cannot be split evenly over "
                f"{self.training_workers} training workers; make --gpus-per-training a multiple."
            )

    def fitted(
        self, steps: Iterable[Step], nodes: Nodes, capacity: Mapping[str, float]
    ) -> "Placement":
        """Decide what is left open by the nodes there are, and what they have together.

        A training has one GPU, or, when there are more than trainings, as many workers of one each
        as share every batch evenly. A step is spread over actors only if it is long and there are
        more places than steps of its kind.
        """
        steps = list(steps)
        gpus = int(capacity.get("GPU", 0.0))
        workers, per_training = self._of_trainings(steps, gpus)
        per_actor = min(gpus, 1) if self.gpus_per_actor is None else self.gpus_per_actor
        found = replace(self, training_workers=workers, gpus_per_training=per_training)
        decoding = self._decoding(steps, per_training)
        found = replace(found, gpus_per_actor=per_actor, data_cpus=decoding)
        if self.actors is not None:
            return found
        least = ACTOR_SECONDS * (CORES_OF_A_GPU if per_actor else 1.0)
        return replace(found, actors=_idle_places(steps, nodes, per_actor), actor_seconds=least)

    def _of_trainings(self, steps: Sequence[Step], gpus: int) -> tuple[int, int]:
        """The workers of a training, and its GPUs."""
        workers, asked = self.training_workers, self.gpus_per_training
        if workers is not None:
            return workers, (workers if gpus else 0) if asked is None else asked
        if asked is not None:
            return max(1, asked), asked
        if not gpus:
            return 1, 0
        trainings = [step for step in steps if step.shape == "fit"]
        count = max(1, gpus // max(1, len(trainings)))
        while any(step.settings.batch_size % count for step in trainings):
            count -= 1
        return count, count

    def _decoding(self, steps: Sequence[Step], gpus: int) -> int:
        """CPUs that decode for a training; none unless there is one on GPUs that streams."""
        if not any(map(streams, steps)):
            return 0
        return DATA_CPUS * gpus if self.data_cpus is None else self.data_cpus

    def described(self) -> str:
        """How steps are spread, for people; empty if each is one process on a CPU."""
        workers, gpus = self.training_workers or 1, self.gpus_per_training or 0
        parts = []
        if workers > 1 or gpus:
            parts.append(f"each training has {workers} workers and {gpus} GPUs")
        if self.data_cpus:
            parts.append(f"up to {counted(self.data_cpus, 'CPU')} decode a training's images")
        if (self.actors or 1) > 1:
            parts.append(f"a long sampling or detection has up to {self.actors} actors")
        if self.gpus_per_actor:
            parts.append(f"every other process with a network has {self.gpus_per_actor} GPU")
        return "; ".join(parts)

    def distributed(self, step: Step) -> bool:
        """Whether the step starts processes of its own (Ray Train, an actor pool)."""
        if step.shape == "fit" and (self.gpus_per_training or (self.data_cpus and streams(step))):
            return True
        return self._processes(step) > 1

    def bundle(self, step: Step, cluster: Mapping[str, float]) -> "Bundle":
        """What each process of the step holds.

        More processes than the cluster has CPUs share them (a fraction each), but for GPUs.
        """
        count = self._processes(step)
        share = min(1.0, math.floor(1000 * cluster.get("CPU", 1.0) / count) / 1000)
        gpus = float(self.gpus_per_actor or 0) if uses_network(step) else 0.0
        if step.shape == "fit":
            gpus = (self.gpus_per_training or 0) / count
        cpus = share if count > 1 and not gpus else 1.0
        left = int(cluster.get("CPU", 1.0) - count * cpus)
        data_cpus = min(self.data_cpus or 0, max(0, left)) if streams(step) else 0
        memory = _memory(step, count, gpus)
        if data_cpus:  # another window is put together meanwhile
            memory += step.settings.window_bytes // count
        return Bundle(count=count, cpus=cpus, gpus=gpus, memory=memory, data_cpus=data_cpus)

    def _processes(self, step: Step) -> int:
        """How many processes share the step."""
        if step.shape == "fit":
            return self.training_workers or 1
        if step.shape == "whole" or self.actors is None:
            return 1
        if not self.actor_seconds:
            return self.actors
        worth = int(step.settings.expected_seconds // self.actor_seconds)
        ranges = math.ceil(getattr(step.settings, "n", 0) / step.settings.batch_size) or worth
        return max(1, min(self.actors, worth, ranges))


def reads_a_folder(step: Step) -> bool:
    """Whether the step reads images from where the user has them, outside the store."""
    return bool(getattr(step.settings, "folder", ""))


def streams(step: Step) -> bool:
    """Whether a training has more images, as uint8, than it may hold in memory."""
    return step.shape == "fit" and _training_set(step) > step.settings.window_bytes


def uses_network(step: Step) -> bool:
    """Whether a step computes with a network, so that it can use a GPU."""
    if step.task in ON_CPU:
        return False
    return step.shape != "whole" or any(source.shape == "fit" for source in step.inputs.values())


def _idle_places(steps: Iterable[Step], nodes: Nodes, gpus: int) -> int:
    """Places for processes that each step would have if those of its kind run side by side."""
    alike = Counter(step.task for step in steps if step.shape == "per_batch")
    one = Bundle(count=1, cpus=1.0, gpus=float(gpus), memory=TORCH_PROCESS)
    return max(1, places(one, nodes) // max(alike.values(), default=1))


def _memory(step: Step, processes: int, gpus: float) -> int:
    """Bytes of one of a step's processes, with its training set; not those in a GPU's memory."""
    loads = step.streams or uses_network(step) or step.task in ON_CPU
    found = TORCH_PROCESS if loads else PLAIN_PROCESS
    if not gpus:
        found += memory.expected(step, processes)
    if not step.streams:
        return found
    images = _training_set(step)
    return found + (images if step.reads_training_set else min(images, step.settings.window_bytes))


def _training_set(step: Step) -> int:
    """Bytes of what a step streams: images as uint8, or moments."""
    source = step.streams["dataset"]
    data: Any = source.settings
    if source.task == "encode":  # mean and log variance, each of two bytes
        size = described_by(source)
        return int(4 * data.n * size.latent_channels * size.latent_size**2)
    return int(sum(data.counts()["train"]) * data.image_size**2 * data.channels)


@dataclass(frozen=True)
class Bundle:
    """A step's whole peak need: ``count`` equal processes."""

    count: int
    cpus: float
    """Of one process, as are GPUs and memory, in bytes."""
    gpus: float
    memory: int
    data_cpus: int = 0
    """CPUs of the tasks, on any nodes, that decode images for all processes together."""

    @property
    def one(self) -> dict[str, float]:
        """What one process holds, in Ray's resource names."""
        return {"CPU": self.cpus, "GPU": self.gpus, "memory": float(self.memory)}

    @property
    def total(self) -> dict[str, float]:
        """What all processes hold together, in Ray's resource names."""
        total = {name: self.count * need for name, need in self.one.items()}
        return total | {"CPU": total["CPU"] + self.data_cpus}


def places(bundle: Bundle, nodes: Nodes) -> int:
    """How many of a bundle's processes the nodes hold at once."""
    needs = {name: need for name, need in bundle.one.items() if need > 0}
    return sum(
        min(int(node.get(name, 0.0) / need + 1e-6) for name, need in needs.items())
        for node in nodes
    )


def refusal(step: Step, bundle: Bundle, nodes: Nodes) -> str | None:
    """Say why no set of nodes can ever run the step and what would fit, or None if one can."""
    if step.shape == "fit" and (size := step.settings.batch_size) % bundle.count:
        return (
            f"{step.task} has batches of {size} images, which {bundle.count} workers cannot share "
            f"equally. {_what_fits(step, bundle, nodes)}"
        )
    room = places(bundle, nodes)
    if room >= bundle.count:
        return None
    most = {name: max((node.get(name, 0.0) for node in nodes), default=0.0) for name in RESOURCES}
    return (
        f"{step.task} needs {counted(bundle.count, 'process', 'processes')} with "
        f"{_resources(bundle, bundle.one)} each; the largest of {counted(len(nodes), 'node')} has "
        f"{_resources(bundle, most)}, and together they have room for {room}. "
        f"{_what_fits(step, bundle, nodes)}"
    )


def counted(count: float, one: str, several: str | None = None) -> str:
    """``1 CPU``, ``2 CPUs``, ``0 GPUs``."""
    return f"{count:g} {one if count == 1 else several or one + 's'}"


def _resources(bundle: Bundle, of: Mapping[str, float]) -> str:
    """Resources for people, as far as the bundle needs them."""
    gpus = f", {counted(of['GPU'], 'GPU')}" if bundle.gpus else ""
    return f"{counted(of['CPU'], 'CPU')}{gpus} and {of['memory'] / GIB:.1f} GiB"


def _what_fits(step: Step, bundle: Bundle, nodes: Nodes) -> str:
    """The flags with which a step that is refused could be placed; more workers come last."""
    for gpus in sorted({bundle.gpus, min(1.0, bundle.gpus), 0.0}, reverse=True):
        wanted = int(bundle.count * bundle.gpus / gpus if gpus else bundle.count)
        counts = [*range(wanted, 0, -1)]
        if step.shape == "fit":
            size = step.settings.batch_size
            counts = [n for n in (*counts, *range(wanted + 1, size + 1)) if not size % n]
        for count in counts:
            one = replace(bundle, cpus=1.0, gpus=gpus, memory=_memory(step, count, gpus))
            if places(one, nodes) < count:
                continue
            if step.shape == "fit":
                flags = f"--training-workers {count} --gpus-per-training {count * gpus:g}"
            else:
                spread = f"--actors {count} " if step.shape == "per_batch" else ""
                flags = f"{spread}--gpus-per-actor {gpus:g}"
            return f"What fits: {flags}."
    return "Nothing smaller fits either: it takes a larger node."
