"""What steps cost: counted work over a stated rate, corrected by what such steps took.

Work is counted in floating-point operations: those of an image's forward pass through a network,
times the passes that a step asks for.  CPU seconds follow from the rate of one core and from how
long a store's steps took; GPU-hours follow from datasheets alone: no GPU was measured.
"""

import hashlib
import json
import math
import platform
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from orchestrator.graph import kept
from orchestrator.graph.operations import forward
from orchestrator.process import cores
from orchestrator.step import Step, canonical
from orchestrator.store.store import Store
from tasks.detectors import CognitiveDistillation, FeatureConsistency, Strip
from tasks.steps import denoise_classify, detect

CORE_RATE = 7e10  # operations a second of one CPU core; a step of the authors' model takes it 400 s
GPUS: Mapping[str, float] = {
    "A6000": 77.4,
    "RTX 4090": 82.6,
    "A10": 62.5,
    "A100": 156.0,
    "H100": 494.5,
}
"""TFLOP/s in TF32 without sparsity, by NVIDIA's datasheets (A6000: GA102 whitepaper; H100: SXM);
in bf16 all of these have twice as many.  The second and the third have 24 GB."""
UTILIZATION = 0.15
"""Share of that rate assumed to be reached: small images, narrow layers, attention in float32."""
PAPER_TFLOPS = 2.07
"""TFLOP/s of each of the paper's GPUs: a diffusion model of scale ``cifar10`` in 4 x 24 hours."""
PAPER = "4 A6000 for about 24 hours a diffusion model, appendix I"
FOR_GPUS_SECONDS = 24 * 3600  # a training that takes a CPU core longer is meant for GPUs

BACKWARD = 2  # operations of a backward pass, in forward passes
STAGES: Mapping[str, tuple[str, ...]] = {
    "diffusion models": ("train_diffusion", "train_autoencoder", "fine_tune", "encode"),
    "judges, classifiers": ("train_classifier",),
    "sampling": ("sample",),
    "classifying": ("denoise_classify",),
    "judging": ("dissect", "judge_accuracy", "attack"),
    "detection": ("prepare", "detect"),
}
"""Tasks that compute with a network, in the order of a run."""

BESIDE_OTHERS = 2.0
"""How many times longer than stated a step may take beside others; a main job took 1.9."""
KEPT = 20  # measurements that are kept of each kind of step, the newest
NOT_OF_A_KIND = ("steps", "seed", "name")
"""Settings of a network that do not change what one step of its training costs."""


def operations(step: Step) -> float:
    """Floating-point operations of a step's networks; 0 if it has none, NaN if they are unknown."""
    if step.task not in PASSES:
        return 0.0
    return PASSES[step.task](step) * sum(map(forward, networks(step)))


def networks(step: Step) -> list[Any]:
    """Settings of the trainings whose networks a step computes with; of a training its own."""
    if step.shape == "fit":
        return [described_by(step)]
    holder = step.inputs.get("prepared", step)  # a detector scores with the classifier of that
    return [
        described_by(source)
        for role, source in holder.inputs.items()
        if source.shape == "fit" or role == "pipeline"  # encoding is about a pass of the U-Net
    ]


def described_by(training: Step) -> Any:
    """Settings that say how large a training's network is: its own, or its pipeline's."""
    while "pipeline" in training.inputs:
        training = training.inputs["pipeline"]
    return training.settings


def looks(detector: Any) -> float:
    """Forward passes for each image that a detector scores; NaN for one that is not ours."""
    if isinstance(detector, CognitiveDistillation):  # its weights get no gradient: half a backward
        learning = 1 + (1 + BACKWARD / 2) * detector.steps
        return learning + 1 + detect.KEPT_COLORS
    if isinstance(detector, Strip):
        return detector.overlays
    if isinstance(detector, FeatureConsistency):
        return 1 + detector.draws
    return math.nan


def _trained(step: Step) -> float:
    return float((1 + BACKWARD) * step.settings.batch_size * step.settings.steps)


def _classified(step: Step) -> float:
    early = denoise_classify.ELIMINATED if step.settings.stages else 1.0
    return float(step.settings.expected_calls * early)


def _tested(step: Step) -> float:
    """Test images as they are and stamped."""
    return 2.0 * sum(step.inputs["dataset"].settings.counts()["test"])


def _prepared(step: Step) -> float:
    """The classifier's accuracy on its training set, and what a detector fine-tunes."""
    detector = step.settings.detector
    epochs = detector.epochs if isinstance(detector, FeatureConsistency) else 0
    images = sum(step.streams["dataset"].settings.counts()["train"])
    return float((1 + (1 + BACKWARD) * epochs) * images)


PASSES: Mapping[str, Callable[[Step], float]] = {
    "train_diffusion": _trained,
    "train_classifier": _trained,
    "train_autoencoder": _trained,
    "fine_tune": _trained,
    "encode": lambda step: float(step.settings.n),
    "sample": lambda step: float(step.settings.n * step.settings.evaluations),
    "denoise_classify": _classified,
    "dissect": lambda step: float(step.inputs["generations"].settings.n),
    "judge_accuracy": _tested,
    "attack": _tested,
    "prepare": _prepared,
    "detect": lambda step: looks(step.settings.detector) * step.settings.n,
}
"""Forward passes of an image through each of a step's networks."""


class Cost(NamedTuple):
    """Seconds of a step on one core: at best, probably, at worst."""

    low: float
    middle: float
    high: float


NOTHING = Cost(0.0, 0.0, 0.0)


def stated(step: Step) -> float:
    """Seconds of a step on one core, when nothing like it was measured."""
    seconds = float(step.settings.expected_seconds)
    if step.shape == "fit":  # other settings do not know the network, a detector's 8x8 pixels
        return seconds
    if step.task in STAGES["detection"]:
        seconds *= max(1.0, (networks(step)[0].image_size / 8) ** 2)
    count = operations(step)
    return max(seconds, count / CORE_RATE) if count > 0 else seconds  # NaN is not


def guessed(seconds: float) -> Cost:
    """What a step takes alone, and in a run, beside others."""
    return Cost(seconds, seconds, BESIDE_OTHERS * seconds)


class Costs:
    """Seconds that steps take on machines like this one, from what they took in this store.

    They are kept as multiples of what is stated, so that they hold for other lengths.
    """

    def __init__(self, store: Store) -> None:
        machine = f"{platform.machine()}-{cores()}-cores"
        self.path = store.root / ".costs" / f"{machine}.json"
        self.known: dict[str, list[float]] = kept.read(self.path, _are_numbers)
        self.new = False

    def cost(self, step: Step) -> Cost:
        """Seconds that a step is expected to take: the middle half of what those of its kind took.

        After others of the same task only the rate of this machine is known.
        """
        seconds = stated(step)
        if taken := self.known.get(kind(step)):
            return Cost(*(times * seconds for times in spread(taken)))
        kinds = {name: statistics.median(taken) for name, taken in self.known.items()}
        alike = [times for name, times in kinds.items() if name.partition(" ")[0] == step.task]
        return guessed(statistics.median(alike) * seconds if alike else seconds)

    def add(self, step: Step, seconds: float) -> None:
        """Take note of a step that ran from its beginning to its end."""
        name, expected = kind(step), stated(step)
        if expected > 0:
            self.known[name] = [*self.known.get(name, []), seconds / expected][-KEPT:]
            self.new = True

    def keep(self) -> None:
        """Write what is new to the store."""
        if self.new:
            kept.write(self.path, self.known)


def kind(step: Step) -> str:
    """What a step computes, apart from how much of it: task, detector, digests of networks."""
    words = [step.task, getattr(getattr(step.settings, "detector", None), "name", "")]
    return " ".join(filter(None, [*words, *dict.fromkeys(map(network_of, networks(step)))]))


def network_of(settings: Any) -> str:
    """A digest of what one step of a network's training costs."""
    bare = {name: x for name, x in canonical(settings).items() if name not in NOT_OF_A_KIND}
    return hashlib.sha256(json.dumps(bare, sort_keys=True).encode()).hexdigest()[:8]


def spread(taken: Sequence[float]) -> Cost:
    """The median and the middle half, which one odd value does not move; of up to three all."""
    ordered, left_out = sorted(taken), len(taken) // 4
    return Cost(ordered[left_out], statistics.median(ordered), ordered[-1 - left_out])


def _are_numbers(values: Any) -> bool:
    return (
        isinstance(values, list)
        and bool(values)
        and all(isinstance(x, float) and 0 <= x < math.inf for x in values)
    )


@dataclass(frozen=True)
class StageCost:
    """Steps of one kind that are to run; ``unknown`` of them have a method without a count."""

    name: str
    steps: int
    operations: float
    in_bf16: float
    """Of the operations, those of steps that compute in bf16."""
    unknown: int
    seconds: float = 0.0
    """Of the device whose rates are given."""

    def hours(self, gpu: str) -> float:
        """Expected GPU-hours on a GPU of GPUS, which computes bf16 twice as fast."""
        work = self.operations - self.in_bf16 / 2
        return work / (GPUS[gpu] * 1e12 * UTILIZATION) / 3600

    @property
    def paper_hours(self) -> float:
        """GPU-hours at the pace of the paper's trainings."""
        return self.operations / (PAPER_TFLOPS * 1e12) / 3600


def for_gpus(steps: Iterable[Step]) -> bool:
    """Whether a run of the steps is meant for GPUs: a training would take a CPU core days."""
    most = FOR_GPUS_SECONDS * CORE_RATE
    return any(step.task == "train_diffusion" and operations(step) > most for step in steps)


def by_stage(steps: Iterable[Step], rates: Mapping[str, float] | None = None) -> list[StageCost]:
    """Where the operations of steps go, stage by stage; stages without steps are left out.

    ``rates`` are operations a second by ``network_of``.
    """
    steps = list(steps)
    stages = []
    for name, of_stage in STAGES.items():
        staged = [step for step in steps if step.task in of_stage]
        counts = [(count, step) for step in staged if not math.isnan(count := operations(step))]
        halved = sum(count for count, step in counts if _in_bf16(step))
        if staged:
            whole, unknown = sum(count for count, _ in counts), len(staged) - len(counts)
            seconds = sum(_seconds(step, rates) for _, step in counts) if rates else 0.0
            stages.append(StageCost(name, len(staged), whole, halved, unknown, seconds))
    return stages


def _seconds(step: Step, rates: Mapping[str, float]) -> float:
    each = [forward(settings) / rates[network_of(settings)] for settings in networks(step)]
    return PASSES[step.task](step) * sum(each)


def _in_bf16(step: Step) -> bool:
    return getattr(step.settings, "precision", "") == "bf16"


def total(stages: Sequence[StageCost]) -> StageCost:
    """All stages together."""
    return StageCost(
        "all of them",
        sum(stage.steps for stage in stages),
        sum(stage.operations for stage in stages),
        sum(stage.in_bf16 for stage in stages),
        sum(stage.unknown for stage in stages),
        sum(stage.seconds for stage in stages),
    )
