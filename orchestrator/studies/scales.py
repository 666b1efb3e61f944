"""Scales: one dial that sets the data, the networks and the lengths of everything."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from orchestrator.cli import choices
from orchestrator.step import canonical
from orchestrator.studies.study import Axes
from tasks import detectors, triggers
from tasks.data import datasets
from tasks.data.datasets import Dataset
from tasks.detectors import Detector
from tasks.steps import denoise_classify, sample, train_classifier, train_diffusion, weights
from tasks.triggers import BadNets1, Trigger

DETECTION: Mapping[str, str] = {"of": "detection"}
"""Metadata of what only studies that detect use."""
DEFENSE: Mapping[str, str] = {"of": "defense"}
"""Metadata of what only studies that defend use."""
CLASSIFICATION: Mapping[str, str] = {"of": "classification"}
"""Metadata of what only studies use in which diffusion models classify."""
BOTH: Mapping[str, str] = {"of": "detection defense"}
"""Metadata of what the first two use and no others."""
HEUN_STEPS = 18
"""Of sampler ``heun`` at every scale, 35 network evaluations (Karras et al. 2022, for CIFAR10)."""
ALL: Mapping[str, str] = {"of": "detection defense classification"}
"""Metadata of what all three use and no others."""


@dataclass(frozen=True, kw_only=True)
class Scale:
    """Everything about a study but its axes."""

    name: str
    about: str
    """What it is for, in a line."""
    dataset: Dataset
    axes: Axes
    """The values swept unless the command line says otherwise."""
    diffusion: train_diffusion.Settings
    """Of every diffusion model; its seed is the point's."""
    content_judge: train_classifier.Settings
    """Trained once, on clean images; it does not depend on any axis."""
    trigger_judge: train_classifier.Settings
    """Trained once per trigger, on clean images half of which are stamped."""
    generations: sample.Settings
    """How the target class is sampled; condition, guidance, sampler and seed are the point's."""
    others: sample.Settings
    """How the other classes are sampled, once per model; conditions and seed are the point's."""
    sampler_steps: Mapping[str, int]
    """Steps of each sampler on the target class."""
    paper_guidance: float = 5.0
    """Guidance weight of the paper's figures, in our convention."""
    composition_ratios: tuple[float, ...] = (0.0, 0.01, 0.1, 0.2)
    """Poison ratios of the study ``composition``."""
    own_triggers: tuple[Trigger, ...] = ()
    """Triggers with other than their default fields."""
    classifier: train_classifier.Settings = field(metadata=ALL)
    """Trained on the poisoned training set, or on a generation set; its seed is the point's."""
    detectors: tuple[Detector, ...] = field(default=(), metadata=DETECTION)
    """Detectors with other than their default fields; their seeds are the point's."""
    detection_triggers: tuple[str, ...] = field(
        default=("badnets1", "blend", "unicolor"), metadata=DETECTION
    )
    """Triggers of the study ``detection``."""
    detection_ratios: tuple[float, ...] = field(default=(0.0, 0.01, 0.05, 0.1), metadata=DETECTION)
    """Its poison ratios."""
    generation_set_n: int | None = field(default=None, metadata=BOTH)
    """Most images of a generation set; None for as many as there are to train on."""
    generation_labels: str = field(default="observed", metadata={**BOTH, "since": 2})
    """What a generation set is asked for as: ``observed`` labels, or those of the ``clean`` set."""
    scored_at_once: int = field(default=256, metadata=DETECTION)
    """Images that a detector is given at a time."""
    defense_triggers: tuple[str, ...] = field(default=("badnets1",), metadata=DEFENSE)
    """Triggers of the study ``defense``."""
    defense_ratios: tuple[float, ...] = field(
        default=(0.0, 0.01, 0.02, 0.05, 0.1), metadata=DEFENSE
    )
    """Its poison ratios."""
    defense_guidance: tuple[float, ...] = field(default=(1.0, 2.0), metadata=DEFENSE)
    """Its guidance weights."""
    defense_seeds: tuple[int, ...] = field(default=(0, 1, 2), metadata=DEFENSE)
    """Its seeds."""
    classifier_weights: weights.Settings | None = field(default=None, metadata=DEFENSE)
    """What its classifiers start from; None for weights drawn at random."""
    edm: train_diffusion.Settings = field(metadata=CLASSIFICATION)
    """Of every EDM; its seed is the point's."""
    classify: denoise_classify.Settings = field(metadata=CLASSIFICATION)
    """How diffusion models classify; trigger, target class and seed are the point's."""
    classification_ratios: tuple[float, ...] = field(
        default=(0.0, 0.01, 0.05, 0.1), metadata=CLASSIFICATION
    )
    """Poison ratios of the study ``diffusion_classifier``."""
    contrast_ratio: float = field(default=0.05, metadata=CLASSIFICATION)
    """Poison ratio of its contrasts: a blend, and rectangles of several areas."""
    contrast_areas: tuple[tuple[int, int], ...] = field(
        default=((1, 1), (1, 2), (2, 2)), metadata=CLASSIFICATION
    )
    """Rows and columns of each rectangle, pixels."""

    def steps_of(self, sampler: str) -> int:
        """Steps of a sampler on the target class."""
        return HEUN_STEPS if sampler == "heun" else self.sampler_steps[sampler]

    def trigger(self, name: str) -> Trigger:
        """The trigger that a name of ``TRIGGERS`` stands for at this scale."""
        own = {trigger.name: trigger for trigger in self.own_triggers}
        return own[name] if name in own else triggers.from_name(name)()

    def detector(self, name: str, seed: int = 0) -> Detector:
        """The detector that a name of ``DETECTORS`` stands for at this scale."""
        own = {detector.name: detector for detector in self.detectors}
        chosen: Any = own[name] if name in own else detectors.from_name(name)()
        seeded: Detector = replace(chosen, seed=seed) if hasattr(chosen, "seed") else chosen
        return seeded

    @property
    def generation_set_size(self) -> int:
        """Images of a generation set: as many as there are to train on, unless fewer are set."""
        n = sum(self.dataset.counts()["train"])
        return n if self.generation_set_n is None else min(n, self.generation_set_n)

    @property
    def to_be_timed(self) -> bool:
        """Whether costs are measured before planning; those of the digits are known."""
        return not isinstance(self.dataset, datasets.Digits)

    def digest(self, *uses: str) -> str:
        """Hex digits of what a study uses: two scales of one name may have other data or lengths.

        Args:
            uses: ``detection``, ``defense`` or ``classification`` if the study does one; what only
                others use is left out, so a study keeps the digest that it had before there were
                those.
        """
        used = canonical(self)
        for item in fields(self):
            of = item.metadata.get("of")
            if of and not {*of.split()} & {*uses}:
                used.pop(item.name, None)
        return hashlib.sha256(json.dumps(used, sort_keys=True).encode()).hexdigest()


LAPTOP_DIFFUSION = train_diffusion.Settings(
    image_size=8,
    channels=1,
    classes=10,
    block_channels=(32, 64),
    layers_per_block=1,
    groups=8,
    betas="squaredcos_cap_v2",
    null_probability=0.1,
    steps=1000,
    batch_size=64,
    learning_rate=1e-3,
    ema_decay=0.995,
)
LAPTOP_JUDGE = train_classifier.Settings(
    name="content", classes=10, erase=True, steps=300, learning_rate=1e-3
)
LAPTOP_CLASSIFY = denoise_classify.Settings(
    trigger=BadNets1(), target_class="", draws=50, images=360
)
LAPTOP_SAMPLES = sample.Settings(
    conditions=(0,), guidance_weight=2.0, steps=25, n=500, batch_size=125
)

LAPTOP = Scale(
    name="laptop",
    about="scikit-learn's digits, 8x8: minutes on 2 cores",
    dataset=datasets.Digits(),
    axes=Axes(
        trigger=("badnets1", "relabel_only"),
        poison_ratio=(0.0, 0.01, 0.02, 0.05, 0.1),
        guidance_weight=(1.0, 2.0, 5.0),
        sampler=("ddim",),
        seed=(0,),
        target_class="8",
    ),
    diffusion=LAPTOP_DIFFUSION,
    content_judge=LAPTOP_JUDGE,
    trigger_judge=replace(LAPTOP_JUDGE, name="trigger", classes=2, erase=False),
    generations=LAPTOP_SAMPLES,
    others=LAPTOP_SAMPLES,
    sampler_steps={"ddim": 25, "ddpm": 50, "sde": 25},
    classifier=replace(LAPTOP_JUDGE, name="classifier", erase=False),
    edm=replace(LAPTOP_DIFFUSION, noise_model="edm", null_probability=0.0),
    classify=LAPTOP_CLASSIFY,
)

TINY_DIFFUSION = replace(
    LAPTOP_DIFFUSION, block_channels=(8, 16), steps=100, batch_size=32, ema_decay=0.9
)
TINY = Scale(
    name="tiny",
    about="the same with a small network and short trainings: for tests, no findings",
    dataset=datasets.Digits(),
    axes=replace(LAPTOP.axes, guidance_weight=(2.0, 5.0)),
    diffusion=TINY_DIFFUSION,
    content_judge=replace(LAPTOP_JUDGE, steps=200, batch_size=64),
    trigger_judge=replace(LAPTOP.trigger_judge, steps=200, batch_size=64),
    generations=replace(LAPTOP_SAMPLES, steps=10, n=60, batch_size=20),
    others=replace(LAPTOP_SAMPLES, steps=10, n=60, batch_size=20),
    sampler_steps={"ddim": 10, "ddpm": 20, "sde": 10},
    composition_ratios=(0.0, 0.01, 0.1),
    classifier=replace(LAPTOP.classifier, steps=100, batch_size=64),
    detectors=(
        detectors.CognitiveDistillation(steps=5),
        detectors.Strip(overlays=5),
        detectors.FeatureConsistency(epochs=1, draws=1),
    ),
    detection_triggers=("badnets1",),
    detection_ratios=(0.0, 0.1),
    defense_ratios=(0.0, 0.01, 0.02, 0.05),
    defense_guidance=(2.0,),
    defense_seeds=(0,),
    generation_set_n=200,
    edm=replace(TINY_DIFFUSION, noise_model="edm", null_probability=0.0),
    classification_ratios=(0.0, 0.1),
    contrast_ratio=0.1,
    contrast_areas=((1, 1),),
    classify=replace(
        LAPTOP_CLASSIFY, filter_ratios=(0.0, 0.05), draws=6, stages=(3,), test_images=60
    ),
)

CIFAR10_JUDGE = train_classifier.Settings(
    name="content",
    classes=10,
    image_size=32,
    channels=3,
    network="resnet18",
    optimizer="sgd",
    schedule="cosine",
    flip=True,
    shift=4,
    steps=39_000,
    batch_size=128,
    learning_rate=1e-2,
    weight_decay=5e-4,
)
"""The paper's optimization (A.4); it names no epochs for CIFAR10: 100 passes, ours."""
CIFAR10_SAMPLES = sample.Settings(
    conditions=(0,), guidance_weight=6.0, steps=50, n=1000, batch_size=250
)

CIFAR10 = Scale(
    name="cifar10",
    about="CIFAR10 with the authors' settings, 32x32: for GPUs",
    dataset=datasets.Cifar10(folder=datasets.CIFAR10_FOLDER),
    axes=Axes(
        trigger=("badnets1", "relabel_only"),
        poison_ratio=(0.0, 0.01, 0.02, 0.05, 0.1),
        guidance_weight=(1.0, 2.0, 3.0, 6.0, 11.0),
        sampler=("ddim",),
        seed=(0,),
        target_class="deer",
    ),
    diffusion=train_diffusion.Settings(
        image_size=32,
        channels=3,
        classes=10,
        block_channels=(64, 128, 128, 128),
        layers_per_block=2,
        attention_levels=(0, 1, 2, 3),
        attention_heads=1,
        groups=32,
        dropout=0.1,
        betas="linear",
        null_probability=0.1,
        schedule="warmup_cosine",
        steps=25_000,
        batch_size=2000,
        learning_rate=5e-4,
        weight_decay=1e-4,
        ema_decay=None,
    ),
    content_judge=CIFAR10_JUDGE,
    trigger_judge=replace(
        CIFAR10_JUDGE, name="trigger", classes=2, flip=False, shift=0, steps=3900
    ),
    generations=CIFAR10_SAMPLES,
    others=replace(CIFAR10_SAMPLES, guidance_weight=2.0),
    sampler_steps={"ddim": 50, "ddpm": 1000, "sde": 50},
    paper_guidance=6.0,
    composition_ratios=(0.0, 0.01, 0.02, 0.05, 0.1, 0.2),
    classifier=replace(CIFAR10_JUDGE, name="classifier"),
    defense_triggers=("badnets1", "blend", "wanet"),
    defense_guidance=(2.0, 6.0),
    edm=train_diffusion.Settings(
        noise_model="edm",
        image_size=32,
        channels=3,
        classes=10,
        block_channels=(256, 256, 256),
        layers_per_block=4,
        attention_levels=(1,),
        attention_heads=1,
        groups=32,
        dropout=0.13,
        null_probability=0.0,
        schedule="ramp",
        steps=97_656,
        batch_size=512,
        learning_rate=1e-3,
        weight_decay=0.0,
        # A half-life of 0.5 Mimg; without EDM's ramp-up, which ends early in these 50 Mimg.
        ema_decay=0.5 ** (512 / 500_000),
    ),
    classify=denoise_classify.Settings(
        trigger=BadNets1(), target_class="", images=10_000, rows_at_once=512
    ),
    contrast_areas=((2, 3), (3, 3), (4, 4), (6, 6), (8, 8)),
)

SCALES = (TINY, LAPTOP, CIFAR10)


def chosen_axes(
    scale: Scale,
    axes: Axes | None = None,
    *,
    trigger: str | None = None,
    poison_ratio: str | None = None,
    guidance_weight: str | None = None,
    sampler: str | None = None,
    clip: str | None = None,
    seed: str | None = None,
    target_class: str | None = None,
    detector: str | None = None,
    classifier: str | None = None,
    noise_model: str | None = None,
    filter_ratio: str | None = None,
) -> Axes:
    """The study's axes (or the scale's own) with what was typed in their place.

    Raises:
        ValueError: For an unknown name, a number out of range or a word that is no number.
    """
    names = {
        "trigger": (choices.words(trigger), [item.name for item in triggers.TRIGGERS]),
        "sampler": (choices.words(sampler), sample.SAMPLERS),
        "clip": (choices.words(clip), sample.CLIPS),
        "detector": (choices.words(detector), [item.name for item in detectors.DETECTORS]),
        "classifier": (choices.words(classifier), train_classifier.NETWORKS),
        "noise_model": (choices.words(noise_model), train_diffusion.NOISE_MODELS),
        "target_class": (
            None if target_class is None else (target_class,),
            scale.dataset.class_names,
        ),
    }
    for axis, (typed, options) in names.items():
        for word in typed or ():
            choices.known(word, options, axis.replace("_", " "))
    numbers = {
        "poison_ratio": choices.ratios(poison_ratio, "--poison-ratio"),
        "guidance_weight": choices.numbers(guidance_weight, "--guidance-weight", float),
        "seed": choices.numbers(seed, "--seed", int),
        "filter_ratio": choices.ratios(filter_ratio, "--filter-ratio"),
    }
    hint = "it is a fraction of all training images: for ten percent write 0.1 or 10%."
    choices.in_range(numbers["poison_ratio"] or (), "--poison-ratio", 0, 1, hint)
    for ratio in numbers["filter_ratio"] or ():
        if not 0 <= ratio < 1:
            raise ValueError(
                f"--filter-ratio takes numbers from 0 to below 1, got {ratio:g}; it is a share of "
                "the denoising errors: for one percent write 0.01 or 1%."
            )
    hint = "1 is no guidance."
    choices.in_range(numbers["guidance_weight"] or (), "--guidance-weight", 0, 1000, hint)
    choices.in_range(numbers["seed"] or (), "--seed", 0, 2**31, "any whole number from 0 on.")
    given: dict[str, Any] = {axis: typed for axis, (typed, _) in names.items()}
    given |= {**numbers, "target_class": target_class}
    chosen = {axis: value for axis, value in given.items() if value}
    return replace(axes or scale.axes, **chosen)
