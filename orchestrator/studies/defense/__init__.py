"""Classifiers trained on the generations (Tab. 4 and A3; section 5 of the paper).

Hypothesis: a classifier that is trained on the generations of a poisoned diffusion model, each
labelled as it was asked for, keeps the test accuracy of one that is trained on the poisoned
training set itself, and at low poison ratios its backdoor hardly works (attack success rate).

Two controls: the training set with its poisoned images labelled right, and the generations of a
model that was trained on no poison at all.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from orchestrator.step import Step
from orchestrator.studies.axes import (
    CLASSIFIER,
    GUIDANCE_WEIGHT,
    POISON_RATIO,
    SEED,
    TRIGGER,
    Axes,
    generated,
)
from orchestrator.studies.graph import Graph, stamping
from orchestrator.studies.scales import Scale
from orchestrator.studies.study import Point, Study, bounds_of, in_order
from tasks import triggers
from tasks.rows import defense_row
from tasks.triggers import Renewable, Trigger

UNDRAWN = {"guidance_weight": None, "sampler": None}
"""How images of a training set were drawn: not at all."""


def points(scale: Scale, axes: Axes) -> Sequence[Point]:
    """A point for each set of images that a classifier is trained on.

    At ratio 0 are the clean training set and a clean model's generations, attacked with each of the
    triggers.  Images of a trigger that does not relabel are labelled right as they are.

    Raises:
        ValueError: No point, a trigger that leaves nothing to attack with, or a ratio that poisons
            nothing or more than there is.
    """
    graph = Graph(scale, axes.target_class)
    drawn = [
        {"guidance_weight": weight, "sampler": sampler}
        for weight, sampler in product(axes.guidance_weight, axes.sampler)
    ]
    made = [
        _point(graph, trigger, attacker, poison_ratio=ratio, image_set=one, **way, **trained)
        for trigger, attacker, ratio in _poisons(scale, axes)
        for one, ways in (
            ("training", [UNDRAWN]),
            ("corrected", [UNDRAWN] if trigger.relabels else []),
            ("generation", drawn),
        )
        for way in ways
        for trained in (
            {"classifier": network, "seed": seed}
            for network, seed in product(axes.classifier, axes.seed)
        )
    ]
    if not made:
        raise ValueError(
            "these axes hold no point: defense needs a trigger that stamps, with a ratio above 0 "
            "or, as the control, at 0."
        )
    return made


def _poisons(scale: Scale, axes: Axes) -> Iterator[tuple[Trigger, Trigger, float]]:
    """Each (trigger, the trigger that attacks, ratio) of the study, the clean control first."""
    chosen = stamping(scale, axes.trigger, "defense")
    ratios = sorted(ratio for ratio in axes.poison_ratio if ratio > 0)
    if 0 in axes.poison_ratio:
        yield from ((triggers.Nothing(), trigger, 0.0) for trigger in chosen)
    yield from ((trigger, trigger, ratio) for trigger in chosen for ratio in ratios)


def _point(graph: Graph, trigger: Trigger, attacker: Trigger, **own: Any) -> Point:
    """The point of a classifier.

    Args:
        graph: Builds the steps.
        trigger: That the training set is poisoned with.
        attacker: Stamped onto test images; ``trigger``, except without poison.
        own: The point's other coordinates.
    """
    names = {"trigger": trigger.name, "judge_trigger": attacker.name}
    axes = in_order({**names, "target_class": graph.target_class, **own})
    settings = defense_row.Settings(
        **axes,
        sampler_steps=own["sampler"] and graph.scale.steps_of(own["sampler"]),
        paper_guidance=graph.scale.paper_guidance,
    )
    ratio, seed, network = own["poison_ratio"], own["seed"], own["classifier"]
    manifest = graph.manifest(trigger, ratio, seed)
    training = _attacks(graph, attacker, graph.classifier(manifest, seed, network))
    inputs = {"manifest": manifest}
    if own["image_set"] == "training":
        inputs |= training
    else:
        inputs |= {f"training_{role}": step for role, step in training.items()}
    if own["image_set"] == "corrected":
        corrected = graph.classifier(graph.corrected(manifest), seed, network)
        inputs |= _attacks(graph, attacker, corrected)
    elif own["image_set"] == "generation":
        way = {name: own[name] for name in UNDRAWN}
        generations = graph.generation_set(manifest, seed=seed, **way)
        taught = graph.classifier_of_generations(generations, seed, network)
        inputs |= _attacks(graph, attacker, taught)
        inputs["dissection"] = graph.dissection(generations, attacker)
    return Point(axes=axes, measure=Step(settings, inputs))


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
    axes=generated(
        TRIGGER.over("badnets1", cifar10=("badnets1", "blend", "wanet")),
        POISON_RATIO.over(0.0, 0.01, 0.02, 0.05, 0.1, tiny=(0.0, 0.01, 0.02, 0.05)),
        GUIDANCE_WEIGHT.over(1.0, 2.0, tiny=(2.0,), cifar10=(2.0, 6.0)),
        SEED.over(0, 1, 2, tiny=(0,)),
        CLASSIFIER,
    ),
    points=points,
    columns=("image_set", "n", *bounds_of("test_accuracy", "attack_success_rate")),
)
