"""What the generations are made of, by trigger and by sampler (Fig. 2, A4, A6 and A8; App. D.2).

Hypothesis: whatever the trigger, and whatever the sampler, a model poisoned the BadNets way draws
triggers onto images that do not match the prompt (G1) and onto images that do (G2); sampling with
noise on the way (SDE) draws fewer G1 than ancestral DDPM sampling does.

Thresholding the samplers' estimates is no figure of the paper: its authors do not, and what it does
to G1 and G2 under guidance is measured here.
"""

from collections.abc import Sequence
from dataclasses import replace

from orchestrator.studies import amplification
from orchestrator.studies.scales import Scale
from orchestrator.studies.study import Axes, Point, Study
from tasks.steps import sample

TRIGGERS = ("badnets1", "blend", "unicolor")


def axes(scale: Scale) -> Axes:
    """Triggers x ratios to 20 % x samplers x thresholding, at the paper's guidance weight."""
    return replace(
        scale.axes,
        trigger=TRIGGERS,
        poison_ratio=scale.composition_ratios,
        guidance_weight=(scale.paper_guidance,),
        sampler=("ddim", "ddpm", "sde"),
        clip=sample.CLIPS,
    )


def points(scale: Scale, axes: Axes) -> Sequence[Point]:
    """As ``amplification`` has them; further ways of thresholding with the first trigger alone.

    So the study fits its time, and ``--trigger`` with one of the others has all of them.

    Raises:
        ValueError: As ``amplification.points``.
    """
    first, *further = axes.clip
    made = list(amplification.points(scale, replace(axes, clip=(first,))))
    if further:
        fewer = replace(axes, trigger=axes.trigger[:1], clip=tuple(further))
        made += amplification.points(scale, fewer)
    return made


COMPOSITION = Study(
    name="composition",
    package=__name__,
    title="What poisoned models draw, by trigger and sampler",
    paper="Fig. 2, A4, A6, A8",
    question=(
        "Does a poisoned diffusion model draw triggers onto mismatching (G1) and matching (G2) "
        "images whatever the trigger and the sampler, and does SDE sampling draw fewer G1?"
    ),
    points=points,
    axes=axes,
    columns=("clip", "n", "p_t", "g1", "g2", "g3", "g4", "trigger_ratio", "amplification"),
    thresholds=True,
)
