"""Detectors: which images of a set are likely poisoned?

To add one, write a frozen dataclass as ``detector.Detector`` describes it in a file of its own, and
list it in ``DETECTORS``.  The property tests in ``tests/tasks/detectors`` then cover it.
"""

from tasks import checks
from tasks.detectors.cd import CognitiveDistillation
from tasks.detectors.detector import Detector
from tasks.detectors.fct import FeatureConsistency
from tasks.detectors.strip import Strip

__all__ = ["DETECTORS", "CognitiveDistillation", "Detector", "FeatureConsistency", "Strip"]

DETECTORS: tuple[type[Detector], ...] = (CognitiveDistillation, Strip, FeatureConsistency)
"""Every detector, in the paper's order, which is that of pages."""


def from_name(name: str) -> type[Detector]:
    """The class of DETECTORS called ``name``; raises ValueError if there is none."""
    return checks.find("a detector", name, DETECTORS)
