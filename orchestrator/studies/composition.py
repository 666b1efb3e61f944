"""What the generations are made of, by trigger and by sampler (Fig. 2, A4, A6 and A8; App. D.2).

Hypothesis: whatever the trigger, and whatever the sampler, a model poisoned the BadNets way draws
triggers onto images that do not match the prompt (G1) and onto images that do (G2); sampling with
noise on the way (SDE) draws fewer G1 than ancestral DDPM sampling does.
"""

from dataclasses import replace

from orchestrator.studies import amplification
from orchestrator.studies.scales import Scale
from orchestrator.studies.study import Axes, Study

TRIGGERS = ("badnets1", "blend", "unicolor")


def axes(scale: Scale) -> Axes:
    """Triggers x ratios to 20 % x samplers, at the guidance weight of the paper's figures."""
    return replace(
        scale.axes,
        trigger=TRIGGERS,
        poison_ratio=scale.composition_ratios,
        guidance_weight=(scale.paper_guidance,),
        sampler=("ddim", "ddpm", "sde"),
    )


COMPOSITION = Study(
    name="composition",
    title="What poisoned models draw, by trigger and sampler",
    paper="Fig. 2, A4, A6, A8",
    question=(
        "Does a poisoned diffusion model draw triggers onto mismatching (G1) and matching (G2) "
        "images whatever the trigger and the sampler, and does SDE sampling draw fewer G1?"
    ),
    points=amplification.points,
    axes=axes,
)
