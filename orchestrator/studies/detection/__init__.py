"""Detection on the training set and on the generations (Tab. 3, Fig. A9; section 5 of the paper).

Hypothesis: a detector of poison (Cognitive Distillation, STRIP, FCT), given the classifier that was
trained on the poisoned training set, tells poison apart better among the generations of a diffusion
model trained on that set than in the set itself: its AUROC rises.

The generation set has as many images as the training set, asked for as that is labelled.  Poison is
told by the manifest in the training set, and among the generations by the judge's trigger verdict.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from orchestrator.step import Step
from orchestrator.studies.axes import DETECTOR, POISON_RATIO, TRIGGER, Axes, generated
from orchestrator.studies.graph import Graph, stamping
from orchestrator.studies.scales import Scale
from orchestrator.studies.study import Point, Study, bounds_of, in_order
from tasks import detectors, triggers
from tasks.rows import detection_row
from tasks.triggers import Trigger

NULL_RISK = 0.05
"""Chance, at most, that one interval or more of the null points misses 0.5."""
PRETEND_RATIO = 0.1
"""Fraction of images with a made-up flag where the axes poison none."""


def points(scale: Scale, axes: Axes) -> Sequence[Point]:
    """A point for the training set and one for each of its generation sets, per detector.

    The first trigger is poisoned with at every ratio, the second at the smallest and the largest,
    further ones at the largest: so the study of three fits its time, and ``--trigger`` with one of
    them has all ratios.  At ratio 0 are the null points, judged with the
    first trigger's judge: random images carry a made-up flag there, as many as the largest ratio
    poisons, and no detector can be better or worse than chance.  Their intervals share NULL_RISK.

    Raises:
        ValueError: No point, a trigger that leaves nothing to detect, or a ratio that poisons
            nothing or more than there is.
    """
    graph = Graph(scale, axes.target_class)
    names = ("guidance_weight", "sampler")
    drawn = [
        dict(zip(names, way, strict=True)) for way in product(axes.guidance_weight, axes.sampler)
    ]
    seen = [kind.name for kind in detectors.DETECTORS if kind.name in axes.detector]
    looks = [*product(axes.seed, [dict.fromkeys(names), *drawn], seen)]
    pretending = {
        "pretend_ratio": max(axes.poison_ratio) or PRETEND_RATIO,
        "null_level": 1 - NULL_RISK / max(1, len(looks)),
    }
    made = [
        _point(
            graph,
            trigger,
            judge,
            {} if ratio else pretending,
            poison_ratio=ratio,
            seed=seed,
            detector=detector,
            **way,
        )
        for trigger, judge, ratio in _poisons(scale, axes)
        for seed, way, detector in looks
    ]
    if not made:
        raise ValueError(
            "these axes hold no point: detection needs a trigger that stamps, or poison ratio 0."
        )
    return made


def _poisons(scale: Scale, axes: Axes) -> Iterator[tuple[Trigger, Trigger, float]]:
    """Each (trigger, the trigger that judges, ratio) of the study, the clean control first."""
    chosen = stamping(scale, axes.trigger, "detection")
    ratios = sorted(ratio for ratio in axes.poison_ratio if ratio > 0)
    if 0 in axes.poison_ratio:
        yield triggers.Nothing(), next(iter(chosen), triggers.BadNets1()), 0.0
    for place, trigger in enumerate(chosen):
        of_place = (ratios, [*ratios[:1], *ratios[-1:]], ratios[-1:])[min(place, 2)]
        yield from ((trigger, trigger, ratio) for ratio in sorted({*of_place}))


def _point(
    graph: Graph, trigger: Trigger, judge: Trigger, pretending: Mapping[str, Any], **own: Any
) -> Point:
    """The point of a detector and a set of images.

    Args:
        graph: Builds the steps.
        trigger: That the training set is poisoned with.
        judge: Whose judge looks at the generations, and that the attack is tried with.
        pretending: Fields of a null point's settings; else empty.
        own: The point's other coordinates; those of the training set have no sampler.
    """
    ratio, seed, sampler = own["poison_ratio"], own["seed"], own["sampler"]
    names = {"trigger": trigger.name, "judge_trigger": judge.name}
    names |= {"image_set": "generation" if sampler else "training"}
    axes = in_order({**names, "target_class": graph.target_class, **own})
    settings = detection_row.Settings(
        **axes,
        sampler_steps=sampler and graph.scale.steps_of(sampler),
        paper_guidance=graph.scale.paper_guidance,
        **pretending,
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
    return Point(axes=axes, measure=Step(settings, inputs))


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
