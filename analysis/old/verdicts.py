"""The claims of studies that are not converted yet."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from analysis.statistics.verdicts import (
    Part,
    Verdict,
    above,
    below,
    counts,
    tally,
    together,
)

__all__ = [
    "Claim",
    "Judgment",
    "Part",
    "Verdict",
    "above",
    "below",
    "counts",
    "held",
    "tally",
    "together",
]

Subject = TypeVar("Subject")


@dataclass(frozen=True)
class Claim(Generic[Subject]):
    """One thing the paper says."""

    name: str
    """Short, file-name-safe."""
    statement: str
    """What the paper says, in a sentence."""
    source: str
    """Where it says so."""
    rule: str
    """What the data must show."""
    test: Callable[[Subject], list[Part]]
    """The parts that must all hold; none at all when the claim is not about the subject."""


@dataclass(frozen=True)
class Judgment(Generic[Subject]):
    """A claim held against the rows that it is about."""

    claim: Claim[Subject]
    """What was tested."""
    subject: Subject
    """On which rows."""
    parts: tuple[Part, ...]
    """What each thing it says came to."""

    @property
    def verdict(self) -> Verdict:
        """What became of the claim."""
        return together(self.parts)

    @property
    def evidence(self) -> str:
        """The numbers, in a sentence or a few."""
        return " ".join(part.evidence for part in self.parts)


def held(subjects: Iterable[Any], claims: Iterable[Claim[Any]]) -> tuple[Judgment[Any], ...]:
    """Hold every claim against every subject that it is about."""
    return tuple(
        Judgment(claim, subject, tuple(parts))
        for subject in subjects
        for claim in claims
        if (parts := claim.test(subject))
    )
