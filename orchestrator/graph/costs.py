"""What a plan for GPUs costs: floating-point operations, over rates that are stated, not measured.

Operations are counted: those of a network's forward pass, kept below (a test counts them anew on
the networks themselves), times the images that a step's settings name.  A multiplication and the
addition behind it are two.  Rates are assumed: what the datasheets promise, times UTILIZATION.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.step import Step
from tasks.detectors import CognitiveDistillation, FeatureConsistency, Strip
from tasks.steps import detect, sample

GPUS: Mapping[str, float] = {"A6000": 77.4, "A100": 156.0, "H100": 494.5, "L4": 60.0}
"""TFLOP/s in TF32 without sparsity, from NVIDIA's datasheets (RTX A6000: GA102 whitepaper, appendix
C; H100: SXM).  Torch convolves float32 in TF32 on all of these."""
UTILIZATION = 0.15
"""Share of that rate assumed to be kept up: small images, narrow layers, attention in float32."""
PAPER_TFLOPS = 2.07
"""TFLOP/s of each of the paper's GPUs: a diffusion model of scale ``cifar10`` in 4 x 24 hours."""
PAPER = "4 A6000 for about 24 hours a diffusion model, appendix I"

BACKWARD = 2
"""Operations of a backward pass, in forward passes."""
STAGES: Mapping[str, tuple[str, ...]] = {
    "diffusion models": ("train_diffusion",),
    "judges, classifiers": ("train_classifier",),
    "sampling": ("sample",),
    "classifying": ("denoise_classify",),
    "judging": ("dissect", "judge_accuracy", "attack"),
    "detection": ("prepare", "detect"),
}
"""Tasks that compute with a network, in the order of a run."""


@dataclass(frozen=True, kw_only=True)
class Network:
    """Operations of one image's forward pass."""

    fixed: int = 0
    """Whatever the image's size."""
    a_pixel: int
    """For each pixel of the image."""
    a_pair: float = 0.0
    """For each pair of pixels: attention."""

    def forward(self, image_size: int) -> float:
        """Operations for an image of so many pixels a side."""
        pixels = image_size**2
        return self.fixed + self.a_pixel * pixels + self.a_pair * pixels**2


U_NET = Network(fixed=1_441_792, a_pixel=3_173_120, a_pair=1450.75)
"""Of scale ``cifar10``, for three channels and ten classes; others are within 1 %."""
RESNET18 = Network(fixed=10_240, a_pixel=1_084_800)
"""With the stem for images below LARGE, for three channels and ten classes."""
RESNET18_LARGE = Network(fixed=10_240, a_pixel=72_288)
LARGE = 64
"""Pixels a side from which ``models.classifiers`` gives it the usual stem."""


@dataclass(frozen=True)
class Stage:
    """Steps of one kind that are to run."""

    name: str
    steps: int
    operations: float
    """Of those that are known."""
    unknown: int
    """Steps whose network or method has no count here."""

    def hours(self, gpu: str) -> float:
        """Expected GPU-hours on a GPU of GPUS."""
        return self.operations / (GPUS[gpu] * 1e12 * UTILIZATION) / 3600

    @property
    def paper_hours(self) -> float:
        """GPU-hours at the pace of the paper's trainings."""
        return self.operations / (PAPER_TFLOPS * 1e12) / 3600


def for_gpus(steps: Iterable[Step]) -> bool:
    """Whether a run of the steps is meant for GPUs: a diffusion model has the network of the paper.

    Digits are quicker on a CPU, and on other networks nothing is known here.
    """
    return any(
        step.task == "train_diffusion" and not math.isnan(_forward(step.settings)) for step in steps
    )


def by_stage(steps: Iterable[Step]) -> list[Stage]:
    """Where the operations of steps go, stage by stage; those without steps are left out."""
    of_task: dict[str, list[float]] = {}
    for step in steps:
        of_task.setdefault(step.task, []).append(operations(step))
    stages = []
    for name, tasks in STAGES.items():
        counts = [count for task in tasks for count in of_task.get(task, ())]
        known = [count for count in counts if not math.isnan(count)]
        if counts:
            stages.append(Stage(name, len(counts), sum(known), len(counts) - len(known)))
    return stages


def total(stages: Sequence[Stage]) -> Stage:
    """All stages together."""
    return Stage(
        "all of them",
        sum(stage.steps for stage in stages),
        sum(stage.operations for stage in stages),
        sum(stage.unknown for stage in stages),
    )


def operations(step: Step) -> float:
    """Floating-point operations of a step's networks; 0 if it has none, NaN if they are unknown."""
    count = COUNTED.get(step.task)
    return 0.0 if count is None else count(step)


def evaluations(settings: sample.Settings) -> int:
    """How often the network looks at an image while that is drawn, guidance included."""
    return settings.evaluations


def _training(step: Step) -> float:
    settings = step.settings
    return (1 + BACKWARD) * _forward(settings) * settings.batch_size * settings.steps


def _sampling(step: Step) -> float:
    settings, model = step.settings, step.inputs["model"].settings
    return _forward(model) * settings.n * evaluations(settings)


def _classifying(step: Step) -> float:
    """As if no class was dropped early."""
    return _forward(step.inputs["model"].settings) * float(step.settings.expected_calls)


def _dissecting(step: Step) -> float:
    return _judges(step) * float(step.inputs["generations"].settings.n)


def _assessing(step: Step) -> float:
    """Test images as they are and stamped."""
    return _judges(step) * 2 * _count(step.inputs["dataset"], "test")


def _attacking(step: Step) -> float:
    """Test images as they are and, but for the target class, stamped: nearly twice all."""
    forward = _forward(step.inputs["classifier"].settings)
    return forward * 2 * _count(step.inputs["dataset"], "test")


def _preparing(step: Step) -> float:
    """The classifier's accuracy on its training set, and what a detector fine-tunes."""
    detector = step.settings.detector
    epochs = detector.epochs if isinstance(detector, FeatureConsistency) else 0
    passes = 1 + (1 + BACKWARD) * epochs
    forward = _forward(step.inputs["classifier"].settings)
    return forward * passes * _count(step.streams["dataset"], "train")


def _detecting(step: Step) -> float:
    classifier = step.inputs["prepared"].inputs["classifier"].settings
    return _forward(classifier) * looks(step.settings.detector) * float(step.settings.n)


def looks(detector: Any) -> float:
    """Forward passes for each image that a detector scores; NaN of one that is not ours."""
    if isinstance(detector, CognitiveDistillation):  # its weights get no gradient: half a backward
        learning = 1 + (1 + BACKWARD / 2) * detector.steps
        return learning + 1 + detect.KEPT_COLORS
    if isinstance(detector, Strip):
        return detector.overlays
    if isinstance(detector, FeatureConsistency):
        return 1 + detector.draws
    return math.nan


COUNTED: Mapping[str, Callable[[Step], float]] = {
    "train_diffusion": _training,
    "train_classifier": _training,
    "sample": _sampling,
    "denoise_classify": _classifying,
    "dissect": _dissecting,
    "judge_accuracy": _assessing,
    "attack": _attacking,
    "prepare": _preparing,
    "detect": _detecting,
}


def _judges(step: Step) -> float:
    return sum(_forward(step.inputs[name].settings) for name in ("content_judge", "trigger_judge"))


def _forward(settings: Any) -> float:
    """Operations of one image's forward pass through the network of a training; NaN if unknown."""
    network = _network(settings)
    return math.nan if network is None else network.forward(settings.image_size)


def _network(settings: Any) -> Network | None:
    if hasattr(settings, "network"):
        stem = RESNET18 if settings.image_size < LARGE else RESNET18_LARGE
        return stem if settings.network == "resnet18" else None
    shape = (
        settings.block_channels,
        settings.layers_per_block,
        settings.attention_levels,
        settings.attention_heads,
    )
    return U_NET if shape == ((64, 128, 128, 128), 2, (0, 1, 2, 3), 1) else None


def _count(dataset: Step, part: str) -> int:
    return sum(dataset.settings.counts()[part])
