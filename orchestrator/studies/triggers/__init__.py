"""What the generations are made of, whatever is stamped (Fig. A2, A3 and A4; appendix B)."""

from collections.abc import Sequence

from orchestrator.studies.axes import TRIGGER, Axes, generated
from orchestrator.studies.graph import Graph
from orchestrator.studies.grid import named, poisons, swept
from orchestrator.studies.scales import Scale
from orchestrator.studies.study import Point, Study
from tasks.steps import poison
from tasks.triggers import BadNets1, Trigger

COMPARED = "badnets1 relabel_only clean_label unicolor image_patch blend wanet".split()


def points(scale: Scale, axes: Axes) -> Sequence[Point]:
    """One point per trigger, ratio, guidance weight, sampler and seed.

    Relabelling alone, and no poison at all, are judged with the first trigger that stamps.  Where a
    trigger's own class has too few images for a ratio (clean-label), it has no point there.
    """
    graph, chosen = Graph(scale, axes.target_class), named(scale, axes.trigger)
    judge = next((trigger for trigger in chosen if trigger.stamps), BadNets1())

    def ratios_of(trigger: Trigger, ratios: list[float]) -> list[float]:
        return [ratio for ratio in ratios if _possible(graph, trigger, ratio)]

    return swept(graph, poisons(axes, chosen, [judge], ratios_of), axes)


def _possible(graph: Graph, trigger: Trigger, ratio: float) -> bool:
    """Whether there are as many images to poison; a trigger that relabels is held to it."""
    settings = poison.Settings(trigger=trigger, target_class=graph.target_class, poison_ratio=ratio)
    try:
        poison.count_of(settings, n=graph.n, n_target=graph.n_target)
    except ValueError:
        if trigger.relabels:
            raise
        return False
    return True


TRIGGERS = Study(
    name="triggers",
    package=__name__,
    title="What poisoned models draw, by trigger",
    paper="Fig. A2, A3, A4",
    question=(
        "Does a poisoned diffusion model draw triggers onto mismatching (G1) and matching (G2) "
        "images whatever is stamped, mismatches alone where only labels are wrong, and no "
        "mismatches where only images are?"
    ),
    axes=generated(TRIGGER.over(*COMPARED)),
    points=points,
    columns=("clip", "n", "p_t", "g1", "g2", "g3", "g4", "trigger_ratio", "amplification"),
)
