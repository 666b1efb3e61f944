"""Studies: one file per phenomenon; adding one is a file and a line here."""

from orchestrator.studies.amplification import AMPLIFICATION
from orchestrator.studies.composition import COMPOSITION
from orchestrator.studies.detection import DETECTION
from orchestrator.studies.study import Study

STUDIES: tuple[Study, ...] = (AMPLIFICATION, COMPOSITION, DETECTION)
