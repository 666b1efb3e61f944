"""Detection on the training set and on the generations (Tab. 3, Fig. A9; section 5 of the paper).

Hypothesis: a detector of poison (Cognitive Distillation, STRIP, FCT), given the classifier that was
trained on the poisoned training set, tells poison apart better among the generations of a diffusion
model trained on that set than in the set itself: its AUROC rises.

The generation set has as many images as the training set, asked for as that is labelled.  Poison is
told by the manifest in the training set, and among the generations by the judge's trigger verdict.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from orchestrator.step import Step
from orchestrator.studies.axes import (
    DETECTOR,
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
    cells = list(_cells(scale, axes))
    if not cells:
        raise ValueError(
            "these axes hold no point: detection needs a trigger that stamps, or poison ratio 0."
        )
    nulls = sum(cell.is_null for cell in cells)
    pretending = {
        "pretend_ratio": max(axes.poison_ratio) or PRETEND_RATIO,
        "null_level": 1 - NULL_RISK / max(1, nulls),
    }
    return [_point(graph, cell, pretending if cell.is_null else {}) for cell in cells]


@dataclass(frozen=True, kw_only=True)
class _Cell:
    """Where in the grid a point is."""

    trigger: Trigger
    judge: Trigger
    """The trigger whose judge looks at the generations, and that the attack is tried with."""
    poison_ratio: float
    seed: int
    guidance_weight: float | None = None
    """Of the generation set; None for the training set."""
    sampler: str | None = None
    """Likewise."""
    detector: str

    @property
    def is_null(self) -> bool:
        """Whether nothing is poisoned."""
        return self.poison_ratio == 0


def _cells(scale: Scale, axes: Axes) -> Iterator[_Cell]:
    drawn: list[dict[str, Any]] = [
        {"guidance_weight": weight, "sampler": sampler}
        for weight, sampler in product(axes.guidance_weight, axes.sampler)
    ]
    names = [kind.name for kind in detectors.DETECTORS if kind.name in axes.detector]
    for trigger, judge, ratio in _poisons(scale, axes):
        for seed, images, name in product(axes.seed, [{}, *drawn], names):
            yield _Cell(
                trigger=trigger,
                judge=judge,
                poison_ratio=ratio,
                seed=seed,
                detector=name,
                **images,
            )


def _poisons(scale: Scale, axes: Axes) -> Iterator[tuple[Trigger, Trigger, float]]:
    """Each (trigger, the trigger that judges, ratio) of the study, the clean control first."""
    chosen = stamping(scale, axes.trigger, "detection")
    ratios = sorted(ratio for ratio in axes.poison_ratio if ratio > 0)
    if 0 in axes.poison_ratio:
        yield triggers.Nothing(), next(iter(chosen), triggers.BadNets1()), 0.0
    for place, trigger in enumerate(chosen):
        of_place = (ratios, [*ratios[:1], *ratios[-1:]], ratios[-1:])[min(place, 2)]
        yield from ((trigger, trigger, ratio) for ratio in sorted({*of_place}))


def _point(graph: Graph, cell: _Cell, pretending: Mapping[str, Any]) -> Point:
    """The point of a cell.

    Args:
        graph: Builds the steps.
        cell: Where it is.
        pretending: Fields of a null point's settings; else empty.
    """
    sampler = cell.sampler
    axes: dict[str, Any] = {
        "trigger": cell.trigger.name,
        "judge_trigger": cell.judge.name,
        "poison_ratio": cell.poison_ratio,
        "target_class": graph.target_class,
        "guidance_weight": cell.guidance_weight,
        "sampler": sampler,
        "seed": cell.seed,
        "detector": cell.detector,
        "image_set": "training" if sampler is None else "generation",
    }
    steps = None if sampler is None else graph.scale.steps_of(sampler)
    paper = graph.scale.paper_guidance
    settings = detection_row.Settings(
        **axes, sampler_steps=steps, paper_guidance=paper, **pretending
    )
    return Point(axes=axes, measure=Step(settings, _inputs(graph, cell)))


def _inputs(graph: Graph, cell: _Cell) -> dict[str, Step]:
    """What the numbers of a cell are from."""
    manifest = graph.manifest(cell.trigger, cell.poison_ratio, cell.seed)
    classifier = graph.classifier(manifest, cell.seed)
    prepared = graph.prepared(cell.detector, classifier)
    on_training = graph.suspicion(prepared)
    shared = {
        "dataset": graph.dataset,
        "manifest": manifest,
        "attack": graph.attack(classifier, cell.judge),
        "prepared": prepared,
    }
    if cell.guidance_weight is None or cell.sampler is None:
        return {**shared, "suspicion": on_training}
    generations = graph.generation_set(
        manifest, guidance_weight=cell.guidance_weight, sampler=cell.sampler, seed=cell.seed
    )
    return {
        **shared,
        "suspicion": graph.suspicion(prepared, generations),
        "training_suspicion": on_training,
        "generations": generations,
        "dissection": graph.dissection(generations, cell.judge),
        "judges": graph.judges(cell.judge),
    }


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
    axes=(
        TRIGGER.over("badnets1", "blend", "unicolor", tiny=("badnets1",)),
        POISON_RATIO.over(0.0, 0.01, 0.05, 0.1, tiny=(0.0, 0.1)),
        TARGET_CLASS,
        GUIDANCE_WEIGHT,
        SAMPLER,
        SEED,
        DETECTOR,
    ),
    points=points,
    columns=(
        "image_set",
        "n",
        "auroc",
        "auroc_low",
        "auroc_high",
    ),
)
