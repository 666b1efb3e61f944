"""Studies: one file per phenomenon; adding one is a file and a line here."""

from orchestrator.studies.amplification import AMPLIFICATION
from orchestrator.studies.study import Study

STUDIES: tuple[Study, ...] = (AMPLIFICATION,)
