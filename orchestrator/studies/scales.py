"""Scales: one dial that sets the data, the networks and the lengths of everything."""

from dataclasses import dataclass, replace
from typing import Any

from orchestrator import choices
from orchestrator.studies.study import Axes
from tasks import datasets, sample, train_classifier, train_diffusion, triggers
from tasks.datasets import Dataset


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
)

SCALES = (TINY, LAPTOP)


def chosen_axes(
    scale: Scale,
    *,
    trigger: str | None = None,
    poison_ratio: str | None = None,
    guidance_weight: str | None = None,
    sampler: str | None = None,
    seed: str | None = None,
    target_class: str | None = None,
) -> Axes:
    """The scale's axes with what was typed in their place.

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
    return replace(scale.axes, **{axis: value for axis, value in given.items() if value})
