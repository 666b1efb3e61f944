"""What some rows are about, as the heading of a page."""

from analysis.page.wording import (
    classifier_name,
    noise_model_name,
    titled,
    trigger_name,
)
from orchestrator.studies.defense.rows import Defended
from orchestrator.studies.diffusion_classifier.rows import Areas, Classified

Subject = Defended | Classified | Areas
"""The rows that a claim may be about."""


def heading(subject: Subject) -> str:
    """What some rows are about: trigger, target class and one network or model."""
    stamp = subject.stamp if isinstance(subject, Classified) else trigger_name(subject.trigger)
    words = [f"{stamp}s by size" if isinstance(subject, Areas) else stamp]
    words += [f"class {subject.target_class}"]
    if isinstance(subject, Defended):
        words.append(classifier_name(subject.classifier))
    if isinstance(subject, Classified | Areas):
        words.append(noise_model_name(subject.noise_model))
    return titled(", ".join(words))
