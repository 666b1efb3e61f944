"""Detection on the training set and on the generations (Tab. 3, Fig. A9; section 5 of the paper).

The generation set has as many images as the training set, asked for as that is labelled.  Poison is
told by the manifest in the training set, and among the generations by the judge's trigger verdict.
"""

from collections.abc import Sequence
from itertools import product
from typing import Any

from orchestrator.studies.axes import DETECTOR, POISON_RATIO, TRIGGER, Axes, generated
from orchestrator.studies.graph import Graph
from orchestrator.studies.grid import poisons, stamping
from orchestrator.studies.scales import Scale
from orchestrator.studies.study import Point, Study, bounds_of, point, some
from tasks import detectors
from tasks.rows import detection_row
from tasks.triggers import BadNets1, Trigger

NULL_RISK = 0.05
"""Chance, at most, that one interval or more of the null points misses 0.5."""
PRETEND_RATIO = 0.1
"""Fraction of images with a made-up flag where the axes poison none."""


def points(scale: Scale, axes: Axes) -> Sequence[Point]:
    """A point for the training set and one for each of its generation sets, per detector.

    The first trigger has every ratio, the second the smallest and the largest, further ones the
    largest, so that three fit the time of the study.  At ratio 0 are the null points, judged with
    the first trigger's judge: random images carry a made-up flag, as many as the largest ratio
    poisons, and no detector can be better or worse than chance.  Their intervals share NULL_RISK.
    """
    chosen, drawn = stamping(scale, axes.trigger), product(axes.guidance_weight, axes.sampler)
    seen = [kind.name for kind in detectors.DETECTORS if kind.name in axes.detector]
    looks = [*product(axes.seed, [(None, None), *drawn], seen)]
    pretending = {
        "pretend_ratio": max(axes.poison_ratio) or PRETEND_RATIO,
        "null_level": 1 - NULL_RISK / max(1, len(looks)),
    }

    def ratios_of(trigger: Trigger, ratios: list[float]) -> list[float]:
        ends = sorted({*ratios[:1], *ratios[-1:]})
        return (ratios, ends, ratios[-1:])[min(chosen.index(trigger), 2)]

    graph = Graph(scale, axes.target_class)
    return some(
        _point(
            graph,
            trigger,
            judge,
            poison_ratio=ratio,
            guidance_weight=weight,
            sampler=sampler,
            seed=seed,
            detector=detector,
            **({} if ratio else pretending),
        )
        for trigger, judge, ratio in poisons(axes, chosen, chosen[:1] or [BadNets1()], ratios_of)
        for seed, (weight, sampler), detector in looks
    )


def _point(graph: Graph, trigger: Trigger, judge: Trigger, **own: Any) -> Point:
    """The point of a detector and a set of images; ``judge`` judges generations and attacks."""
    ratio, seed, sampler = own["poison_ratio"], own["seed"], own["sampler"]
    settings = detection_row.Settings(
        trigger=trigger.name,
        judge_trigger=judge.name,
        image_set="generation" if sampler else "training",
        target_class=graph.target_class,
        sampler_steps=sampler and graph.scale.steps_of(sampler),
        paper_guidance=graph.scale.paper_guidance,
        **own,
    )
    manifest = graph.manifest(trigger, ratio, seed)
    classifier = graph.classifier(manifest, seed)
    prepared = graph.prepared(own["detector"], classifier)
    inputs = {
        "dataset": graph.dataset,
        "manifest": manifest,
        "attack": graph.attack(classifier, judge),
        "prepared": prepared,
        "suspicion": graph.suspicion(prepared),
    }
    if sampler:
        generations = graph.generation_set(
            manifest, guidance_weight=own["guidance_weight"], sampler=sampler, seed=seed
        )
        inputs |= {
            "training_suspicion": inputs["suspicion"],
            "suspicion": graph.suspicion(prepared, generations),
            "generations": generations,
            "dissection": graph.dissection(generations, judge),
            "judges": graph.judges(judge),
        }
    return point(settings, inputs)


DETECTION = Study(
    name="detection",
    package=__name__,
    title="Detecting poison in the training set and among the generations",
    paper="Tab. 3, Fig. A9",
    question=(
        "Does a detector of poison, with one and the same classifier, tell poisoned from clean "
        "images better among the generations of a poisoned diffusion model than in the training "
        "set that poisoned it?"
    ),
    axes=generated(
        TRIGGER.over("badnets1", "blend", "unicolor", tiny=("badnets1",)),
        POISON_RATIO.over(0.0, 0.01, 0.05, 0.1, tiny=(0.0, 0.1)),
        DETECTOR,
    ),
    points=points,
    columns=("image_set", "n", *bounds_of("auroc")),
)
