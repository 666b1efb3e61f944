"""Grids of points that several studies share: poisons by how their generations are drawn."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import product

from orchestrator.studies.axes import Axes
from orchestrator.studies.graph import Graph
from orchestrator.studies.scales import Scale
from orchestrator.studies.study import Point
from tasks import triggers
from tasks.triggers import Trigger


def with_controls(scale: Scale, axes: Axes) -> Sequence[Point]:
    """One point per trigger, ratio, guidance weight, sampler and seed, controls among them.

    Controls stamp nothing and are judged with the triggers that they control: ratio 0, and
    ``relabel_only`` at the largest ratio.

    Raises:
        ValueError: When a combination poisons nothing, or more than there is.
    """
    graph = Graph(scale, axes.target_class)
    return swept(graph, _poisons(scale, axes), axes)


def swept(
    graph: Graph, poisons: Iterable[tuple[Trigger, Trigger, float]], axes: Axes
) -> Sequence[Point]:
    """One point for each poison, guidance weight, sampler, thresholding and seed.

    Args:
        graph: Builds the steps.
        poisons: Each (trigger, the trigger that judges, ratio).
        axes: The other values.

    Raises:
        ValueError: When a combination poisons nothing, or more than there is; or there is none.
    """
    names = ("guidance_weight", "sampler", "clip", "seed")
    drawn = [*product(axes.guidance_weight, axes.sampler, axes.get("clip", ("none",)), axes.seed)]
    made = [
        graph.point(
            trigger, judged_by=judge, poison_ratio=ratio, **dict(zip(names, one, strict=True))
        )
        for trigger, judge, ratio in poisons
        for one in drawn
    ]
    if not made:
        raise ValueError(
            "these axes hold no point: trigger none goes with poison ratio 0, every other trigger "
            "with a ratio above it."
        )
    return made


def _poisons(scale: Scale, axes: Axes) -> Iterator[tuple[Trigger, Trigger, float]]:
    """Each (trigger, the trigger that judges, ratio) of the study, the clean control first."""
    names = [trigger.name for trigger in triggers.TRIGGERS if trigger.name in axes.trigger]
    chosen = [scale.trigger(name) for name in names]
    stamping = [trigger for trigger in chosen if trigger.stamps] or [triggers.BadNets1()]
    ratios = sorted(ratio for ratio in axes.poison_ratio if ratio > 0)
    if 0 in axes.poison_ratio:
        yield from ((triggers.Nothing(), judge, 0.0) for judge in stamping)
    for trigger in chosen:
        if trigger.stamps:
            yield from ((trigger, trigger, ratio) for ratio in ratios)
        elif trigger.relabels:
            yield from ((trigger, judge, ratio) for judge in stamping for ratio in ratios[-1:])
