"""Scales: one dial that sets the data, the networks and the lengths of everything."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from orchestrator import choices
from orchestrator.step import canonical
from orchestrator.studies.study import Axes
from tasks import datasets, sample, train_classifier, train_diffusion, triggers
from tasks.datasets import Dataset
from tasks.triggers import Trigger


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

    def trigger(self, name: str) -> Trigger:
        """The trigger that a name of ``TRIGGERS`` stands for at this scale."""
        own = {trigger.name: trigger for trigger in self.own_triggers}
        return own[name] if name in own else triggers.from_name(name)()

    @property
    def to_be_timed(self) -> bool:
        """Whether costs are measured before planning; those of the digits are known."""
        return not isinstance(self.dataset, datasets.Digits)

    @property
    def digest(self) -> str:
        """Hex digits of everything here: two scales of one name may have other data or lengths."""
        text = json.dumps(canonical(self), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


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
LAPTOP_SAMPLES = sample.Settings(
    conditions=(0,), guidance_weight=2.0, steps=25, clip=True, n=500, batch_size=125
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
)

TINY = Scale(
    name="tiny",
    about="the same with a small network and short trainings: for tests, no findings",
    dataset=datasets.Digits(),
    axes=replace(LAPTOP.axes, poison_ratio=(0.0, 0.1), guidance_weight=(1.0, 2.0)),
    diffusion=replace(
        LAPTOP_DIFFUSION, block_channels=(8, 16), steps=100, batch_size=32, ema_decay=0.9
    ),
    content_judge=replace(LAPTOP_JUDGE, steps=200, batch_size=64),
    trigger_judge=replace(LAPTOP.trigger_judge, steps=200, batch_size=64),
    generations=replace(LAPTOP_SAMPLES, steps=10, n=60, batch_size=20),
    others=replace(LAPTOP_SAMPLES, steps=10, n=60, batch_size=20),
    sampler_steps={"ddim": 10, "ddpm": 20, "sde": 10},
    composition_ratios=(0.0, 0.1),
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
    conditions=(0,), guidance_weight=6.0, steps=50, clip=False, n=1000, batch_size=250
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
    seed: str | None = None,
    target_class: str | None = None,
) -> Axes:
    """The study's axes (or the scale's own) with what was typed in their place.

    Raises:
        ValueError: For an unknown name, a number out of range or a word that is no number.
    """
    names = {
        "trigger": (choices.words(trigger), [item.name for item in triggers.TRIGGERS]),
        "sampler": (choices.words(sampler), sample.SAMPLERS),
        "target_class": (
            None if target_class is None else (target_class,),
            scale.dataset.class_names,
        ),
    }
    for axis, (typed, options) in names.items():
        for word in typed or ():
            choices.known(word, options, axis.replace("_", " "))
    numbers = {
        "poison_ratio": choices.numbers(poison_ratio, "--poison-ratio", float),
        "guidance_weight": choices.numbers(guidance_weight, "--guidance-weight", float),
        "seed": choices.numbers(seed, "--seed", int),
    }
    hint = "it is a fraction of all training images: for ten percent write 0.1."
    choices.in_range(numbers["poison_ratio"] or (), "--poison-ratio", 0, 1, hint)
    hint = "1 is no guidance."
    choices.in_range(numbers["guidance_weight"] or (), "--guidance-weight", 0, 1000, hint)
    choices.in_range(numbers["seed"] or (), "--seed", 0, 2**31, "any whole number from 0 on.")
    given: dict[str, Any] = {axis: typed for axis, (typed, _) in names.items()}
    given |= {**numbers, "target_class": target_class}
    chosen = {axis: value for axis, value in given.items() if value}
    return replace(axes or scale.axes, **chosen)
