"""What some rows are about, as the heading of a page."""

from analysis.page.wording import (
    detector_name,
    titled,
    trigger_name,
)
from orchestrator.studies.detection.rows import Detected, NullPoints

"""The rows that a claim may be about."""


def heading(subject: Subject) -> str:
    """What some rows are about: trigger, target class and one sampler, detector or model."""
    if isinstance(subject, NullPoints):
        return "Clean data with random flags"
    words = [trigger_name(subject.trigger), f"class {subject.target_class}"]
    if isinstance(subject, Detected):
        words.append(detector_name(subject.detector))
    return titled(", ".join(words))
