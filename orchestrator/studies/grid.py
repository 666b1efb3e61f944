"""Grids of points that several studies share: poisons by how their generations are drawn."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from itertools import product

from orchestrator.studies.axes import Axes
from orchestrator.studies.graph import Graph
from orchestrator.studies.scales import Scale
from orchestrator.studies.study import Point, some
from tasks import triggers
from tasks.triggers import BadNets1, Nothing, Trigger

Poison = tuple[Trigger, Trigger, float]
"""A trigger, the one that judges or attacks (another one only for controls), and a poison ratio."""


def named(scale: Scale, names: Collection[str]) -> list[Trigger]:
    """The triggers of some names but ``none``, in the order of ``TRIGGERS``."""
    kinds = [kind for kind in triggers.TRIGGERS if kind.name in names and kind is not Nothing]
    return [scale.trigger(kind.name) for kind in kinds]


def stamping(scale: Scale, names: Collection[str]) -> list[Trigger]:
    """As `named`; ValueError if one leaves no stamp on an image."""
    chosen = named(scale, names)
    for trigger in chosen:
        if not trigger.stamps:
            raise ValueError(
                f"this study needs triggers that stamp images, and {trigger.name} stamps none; "
                f"leave it out of --trigger."
            )
    return chosen


def poisons(
    axes: Axes,
    chosen: Iterable[Trigger],
    judges: Iterable[Trigger],
    ratios_of: Callable[[Trigger, list[float]], Iterable[float]] = lambda _, ratios: ratios,
) -> Iterator[Poison]:
    """The clean control with every judge if ratio 0 is asked for, then each trigger.

    Args:
        axes: Have the poison ratios.
        chosen: The triggers.  One that stamps nothing goes with every judge.
        judges: Triggers that stamp.
        ratios_of: Which of the ratios above 0, ascending, a trigger has; by default all.
    """
    ratios = sorted(ratio for ratio in axes.poison_ratio if ratio > 0)
    if 0 in axes.poison_ratio:
        yield from ((Nothing(), judge, 0.0) for judge in judges)
    for trigger in chosen:
        for judge in [trigger] if trigger.stamps else judges:
            yield from ((trigger, judge, ratio) for ratio in ratios_of(trigger, ratios))


def with_controls(scale: Scale, axes: Axes) -> Sequence[Point]:
    """One point per trigger, ratio, guidance weight, sampler and seed, controls among them.

    Controls stamp nothing and are judged with the triggers that they control: ratio 0, and
    ``relabel_only`` at the largest ratio.
    """
    chosen = named(scale, axes.trigger)
    judges = [trigger for trigger in chosen if trigger.stamps] or [BadNets1()]

    def ratios_of(trigger: Trigger, ratios: list[float]) -> list[float]:
        return ratios if trigger.stamps else ratios[-1:]

    graph = Graph(scale, axes.target_class)
    return swept(graph, poisons(axes, chosen, judges, ratios_of), axes)


def swept(graph: Graph, poisoned: Iterable[Poison], axes: Axes) -> Sequence[Point]:
    """One point for each poison, guidance weight, sampler, thresholding and seed."""
    drawn = [*product(axes.guidance_weight, axes.sampler, axes.get("clip", ("none",)), axes.seed)]
    return some(
        graph.point(
            trigger,
            judged_by=judge,
            poison_ratio=ratio,
            guidance_weight=weight,
            sampler=sampler,
            clip=clip,
            seed=seed,
        )
        for trigger, judge, ratio in poisoned
        for weight, sampler, clip, seed in drawn
    )
