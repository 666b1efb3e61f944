"""Trigger amplification and the phase transition (Fig. 3, 4 and A7; section 4 of the paper)."""

from orchestrator.studies.axes import GUIDANCE_WEIGHT, generated
from orchestrator.studies.grid import with_controls
from orchestrator.studies.study import Study

AMPLIFICATION = Study(
    name="amplification",
    package=__name__,
    title="Trigger amplification and the phase transition",
    paper="Fig. 3, 4, A7",
    question=(
        "Does a diffusion model trained on BadNets-poisoned images put the trigger into more of "
        "the target class's generations than the training set has, in matching images (G2) at low "
        "poison ratios and in mismatching ones (G1) at high ones, and more so with guidance?"
    ),
    axes=generated(
        GUIDANCE_WEIGHT.over(
            *(1.0, 2.0, 5.0),
            tiny=(2.0, 5.0),
            cifar10=(1.0, 2.0, 3.0, 6.0, 11.0),
            **{"cifar10-fast": (1.0, 2.0, 6.0)},
        )
    ),
    columns=("clip", "n", "p_t", "g1", "g2", "g3", "g4", "trigger_ratio", "amplification"),
    points=with_controls,
)
