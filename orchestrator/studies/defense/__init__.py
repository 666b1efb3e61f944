"""Classifiers trained on the generations, each labelled as it was asked for (Tab. 4 and A3).

Two controls: the training set with its poisoned images labelled right, and the generations of a
model that was trained on no poison at all.
"""

from collections.abc import Mapping, Sequence
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
from orchestrator.studies.graph import Graph
from orchestrator.studies.grid import poisons, stamping
from orchestrator.studies.scales import Scale
from orchestrator.studies.study import Point, Study, bounds_of, point, some
from tasks.rows import defense_row
from tasks.steps import correct
from tasks.triggers import Renewable, Trigger


def points(scale: Scale, axes: Axes) -> Sequence[Point]:
    """A point for each set of images that a classifier is trained on.

    At ratio 0 are the clean training set and a clean model's generations, attacked with each of the
    triggers.  Images of a trigger that does not relabel are labelled right as they are.
    """
    graph, chosen = Graph(scale, axes.target_class), stamping(scale, axes.trigger)
    drawn = product(("generation",), axes.guidance_weight, axes.sampler)
    sets = [("training", None, None), ("corrected", None, None), *drawn]
    return some(
        _point(
            graph,
            trigger,
            attacker,
            poison_ratio=ratio,
            image_set=image_set,
            guidance_weight=weight,
            sampler=sampler,
            classifier=network,
            seed=seed,
        )
        for trigger, attacker, ratio in poisons(axes, chosen, chosen)
        for image_set, weight, sampler in sets
        if trigger.relabels or image_set != "corrected"
        for network, seed in product(axes.classifier, axes.seed)
    )


def _point(graph: Graph, trigger: Trigger, attacker: Trigger, **own: Any) -> Point:
    """The point of a classifier that is attacked with a trigger; ``own`` are other coordinates."""
    settings = defense_row.Settings(
        trigger=trigger.name,
        judge_trigger=attacker.name,
        target_class=graph.target_class,
        sampler_steps=own["sampler"] and graph.scale.steps_of(own["sampler"]),
        paper_guidance=graph.scale.paper_guidance,
        **own,
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
        corrected = graph.step(correct.Settings(), {"manifest": manifest})
        inputs |= _attacks(graph, attacker, graph.classifier(corrected, seed, network))
    elif own["image_set"] == "generation":
        way = {name: own[name] for name in ("guidance_weight", "sampler")}
        generations = graph.generation_set(manifest, seed=seed, **way)
        taught = graph.classifier_of_generations(generations, seed, network)
        inputs |= _attacks(graph, attacker, taught)
        inputs["dissection"] = graph.dissection(generations, attacker)
    return point(settings, inputs)


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
