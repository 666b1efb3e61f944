"""Studies: one file per phenomenon; adding one is a file and a line here."""

from orchestrator.studies.amplification import AMPLIFICATION
from orchestrator.studies.composition import COMPOSITION
from orchestrator.studies.defense import DEFENSE
from orchestrator.studies.detection import DETECTION
from orchestrator.studies.diffusion_classifier import DIFFUSION_CLASSIFIER
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
