"""Studies: a folder for each figure or table of the paper; adding one is a folder and a line here.

Their pages call triggers and detectors by the titles of their classes.
"""

import tasks.detectors
import tasks.triggers
from analysis import names
from orchestrator.studies.amplification import AMPLIFICATION
from orchestrator.studies.composition import COMPOSITION
from orchestrator.studies.defense import DEFENSE
from orchestrator.studies.detection import DETECTION
from orchestrator.studies.diffusion_classifier import DIFFUSION_CLASSIFIER
from orchestrator.studies.scales import Scale
from orchestrator.studies.study import Study
from orchestrator.studies.triggers import TRIGGERS

STUDIES: tuple[Study, ...] = (
    AMPLIFICATION,
    COMPOSITION,
    TRIGGERS,
    DETECTION,
    DEFENSE,
    DIFFUSION_CLASSIFIER,
)


def studies_at(scale: Scale) -> tuple[Study, ...]:
    """The studies that make sense at a scale."""
    return tuple(one for one in STUDIES if not (one.of_classes and scale.text))


_shown = sorted(tasks.triggers.TRIGGERS, key=lambda kind: kind.place)
names.register(_shown, "trigger", "judge_trigger")
names.register(tasks.detectors.DETECTORS, "detector")
