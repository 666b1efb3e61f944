"""What some rows are about, as the heading of a page."""

from analysis.page.wording import (
    detector_name,
    noise_model_name,
    titled,
    trigger_name,
)
from orchestrator.studies.detection.rows import Detected, NullPoints
from orchestrator.studies.diffusion_classifier.rows import Areas, Classified

Subject = Detected | NullPoints | Classified | Areas
"""The rows that a claim may be about."""


def heading(subject: Subject) -> str:
    """What some rows are about: trigger, target class and one sampler, detector or model."""
    if isinstance(subject, NullPoints):
        return "Clean data with random flags"
    stamp = subject.stamp if isinstance(subject, Classified) else trigger_name(subject.trigger)
    words = [f"{stamp}s by size" if isinstance(subject, Areas) else stamp]
    words += [f"class {subject.target_class}"]
    if isinstance(subject, Detected):
        words.append(detector_name(subject.detector))
    if isinstance(subject, Classified | Areas):
        words.append(noise_model_name(subject.noise_model))
    return titled(", ".join(words))
