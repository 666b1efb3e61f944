"""Classifiers trained on the generations (Tab. 4 and A3; section 5 of the paper).

Hypothesis: a classifier that is trained on the generations of a poisoned diffusion model, each
labelled as it was asked for, keeps the test accuracy of one that is trained on the poisoned
training set itself, and at low poison ratios its backdoor hardly works (attack success rate).

Two controls: the training set with its poisoned images labelled right, and the generations of a
model that was trained on no poison at all.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from orchestrator.step import Step
from orchestrator.studies.axes import (
    CLASSIFIER,
    GUIDANCE_WEIGHT,
    POISON_RATIO,
    SAMPLER,
    SEED,
    TARGET_CLASS,
    TRIGGER,
    Axes,
)
from orchestrator.studies.graph import Graph, stamping
from orchestrator.studies.scales import Scale
from orchestrator.studies.study import Point, Study
from tasks import triggers
from tasks.rows import defense_row
from tasks.triggers import Renewable, Trigger


def points(scale: Scale, axes: Axes) -> Sequence[Point]:
    """A point for each set of images that a classifier is trained on.

    At ratio 0 are the clean training set and a clean model's generations, attacked with each of the
    triggers.  Images of a trigger that does not relabel are labelled right as they are.

    Raises:
        ValueError: No point, a trigger that leaves nothing to attack with, or a ratio that poisons
            nothing or more than there is.
    """
    graph = Graph(scale, axes.target_class)
    made = [
        _point(graph, cell, network, seed)
        for cell in _cells(scale, axes)
        for network in axes.classifier
        for seed in axes.seed
    ]
    if not made:
        raise ValueError(
            "these axes hold no point: defense needs a trigger that stamps, with a ratio above 0 "
            "or, as the control, at 0."
        )
    return made


@dataclass(frozen=True, kw_only=True)
class _Cell:
    """What a classifier is trained on and attacked with."""

    trigger: Trigger
    attacker: Trigger
    """Stamped onto test images; ``trigger``, except without poison."""
    poison_ratio: float
    image_set: str
    """``training``, ``corrected`` or ``generation``."""
    guidance_weight: float | None = None
    """Of the generations, else None."""
    sampler: str | None = None
    """Likewise."""


def _cells(scale: Scale, axes: Axes) -> Iterator[_Cell]:
    for trigger, attacker, ratio in _poisons(scale, axes):
        cell = partial(_Cell, trigger=trigger, attacker=attacker, poison_ratio=ratio)
        yield cell(image_set="training")
        if trigger.relabels:
            yield cell(image_set="corrected")
        for weight in axes.guidance_weight:
            for sampler in axes.sampler:
                yield cell(image_set="generation", guidance_weight=weight, sampler=sampler)


def _poisons(scale: Scale, axes: Axes) -> Iterator[tuple[Trigger, Trigger, float]]:
    """Each (trigger, the trigger that attacks, ratio) of the study, the clean control first."""
    chosen = stamping(scale, axes.trigger, "defense")
    ratios = sorted(ratio for ratio in axes.poison_ratio if ratio > 0)
    if 0 in axes.poison_ratio:
        yield from ((triggers.Nothing(), trigger, 0.0) for trigger in chosen)
    yield from ((trigger, trigger, ratio) for trigger in chosen for ratio in ratios)


def _point(graph: Graph, cell: _Cell, network: str, seed: int) -> Point:
    axes: dict[str, Any] = {
        "trigger": cell.trigger.name,
        "judge_trigger": cell.attacker.name,
        "poison_ratio": cell.poison_ratio,
        "target_class": graph.target_class,
        "guidance_weight": cell.guidance_weight,
        "sampler": cell.sampler,
        "seed": seed,
        "classifier": network,
        "image_set": cell.image_set,
    }
    steps = None if cell.sampler is None else graph.scale.steps_of(cell.sampler)
    paper = graph.scale.paper_guidance
    settings = defense_row.Settings(**axes, sampler_steps=steps, paper_guidance=paper)
    return Point(axes=axes, measure=Step(settings, _inputs(graph, cell, network, seed)))


def _inputs(graph: Graph, cell: _Cell, network: str, seed: int) -> dict[str, Step]:
    """What the numbers of a cell are from."""
    manifest = graph.manifest(cell.trigger, cell.poison_ratio, seed)
    training = graph.classifier(manifest, seed, network)
    attacks = partial(_attacks, graph, cell.attacker)
    if cell.image_set == "training":
        return {"manifest": manifest, **attacks(training)}
    further = {f"training_{role}": step for role, step in attacks(training).items()}
    if cell.guidance_weight is None or cell.sampler is None:
        corrected = graph.classifier(graph.corrected(manifest), seed, network)
        return {"manifest": manifest, **attacks(corrected), **further}
    generations = graph.generation_set(
        manifest, guidance_weight=cell.guidance_weight, sampler=cell.sampler, seed=seed
    )
    return {
        "manifest": manifest,
        **attacks(graph.classifier_of_generations(generations, seed, network)),
        **further,
        "dissection": graph.dissection(generations, cell.attacker),
    }


def _attacks(graph: Graph, trigger: Trigger, classifier: Step) -> Mapping[str, Step]:
    """How a classifier does under attack, and under one that is new to everybody."""
    made = {"attack": graph.attack(classifier, trigger, verdicts=True)}
    if isinstance(trigger, Renewable):
        made["fresh_attack"] = graph.attack(classifier, trigger.fresh(), verdicts=True)
    return made


DEFENSE = Study(
    name="defense",
    package=__name__,
    title="Training classifiers on the generations",
    paper="Tab. 4, A3",
    question=(
        "Does a classifier that is trained on a poisoned diffusion model's generations keep the "
        "test accuracy of one trained on the poisoned training set, and lose its backdoor?"
    ),
    axes=(
        TRIGGER.over("badnets1", cifar10=("badnets1", "blend", "wanet")),
        POISON_RATIO.over(0.0, 0.01, 0.02, 0.05, 0.1, tiny=(0.0, 0.01, 0.02, 0.05)),
        TARGET_CLASS,
        GUIDANCE_WEIGHT.over(1.0, 2.0, tiny=(2.0,), cifar10=(2.0, 6.0)),
        SAMPLER,
        SEED.over(0, 1, 2, tiny=(0,)),
        CLASSIFIER,
    ),
    points=points,
    columns=(
        "image_set",
        "n",
        "test_accuracy",
        "test_accuracy_low",
        "test_accuracy_high",
        "attack_success_rate",
        "attack_success_rate_low",
        "attack_success_rate_high",
    ),
)
