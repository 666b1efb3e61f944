"""What the generations are made of, by trigger and by sampler (Fig. 2, A4, A6 and A8; App. D.2).

Thresholding the samplers' estimates is no figure of the paper: its authors do not, and what it does
to G1 and G2 under guidance is measured here.
"""

from collections.abc import Sequence

from orchestrator.studies.axes import CLIP, POISON_RATIO, SAMPLER, TRIGGER, Axes, generated
from orchestrator.studies.grid import with_controls
from orchestrator.studies.scales import Scale
from orchestrator.studies.study import Point, Study
from tasks.steps import sample


def points(scale: Scale, axes: Axes) -> Sequence[Point]:
    """As ``with_controls``; further ways of thresholding, to save time, with the first trigger."""
    first, *further = axes.clip
    made = [*with_controls(scale, axes.with_values(clip=(first,)))]
    if further:
        made += with_controls(scale, axes.with_values(trigger=axes.trigger[:1], clip=further))
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
    axes=generated(
        TRIGGER.over("badnets1", "blend", "unicolor"),
        POISON_RATIO.over(
            *(0.0, 0.01, 0.1, 0.2), tiny=(0.0, 0.01, 0.1), cifar10=(0.0, 0.01, 0.02, 0.05, 0.1, 0.2)
        ),
        SAMPLER.over("ddim", "ddpm", "sde"),
        CLIP.over(*sample.CLIPS),
    ),
    points=points,
    columns=("n", "p_t", "g1", "g2", "g3", "g4", "trigger_ratio", "amplification"),
)
