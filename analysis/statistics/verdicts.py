"""What the data say about a claim, and the few rules that decide it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, TypeVar

from analysis.page.wording import listed
from analysis.statistics.intervals import Estimate

Subject = TypeVar("Subject")
"""The rows that a claim is held against."""


class Verdict(StrEnum):
    """What became of a claim of the paper."""

    SUPPORTED = "supported"
    """Everything it says lies on its side of the interval."""
    FAILED = "failed"
    """Something it says lies wholly on the other side."""
    UNDECIDED = "undecided"
    """An interval reaches across: the data cannot tell."""
    NOT_TESTED = "not tested"
    """A point it needs was not measured."""


@dataclass(frozen=True)
class Part:
    """One thing a claim says, such as what it says about one poison ratio."""

    verdict: Verdict
    """What the data say."""
    evidence: str
    """A sentence with the numbers."""


def above(estimate: Estimate, threshold: float = 0.0) -> Verdict:
    """Supported when the whole interval lies above the threshold, failed when below."""
    if estimate.low > threshold:
        return Verdict.SUPPORTED
    return Verdict.FAILED if estimate.high < threshold else Verdict.UNDECIDED


def below(estimate: Estimate, threshold: float = 0.0) -> Verdict:
    """Supported when the whole interval lies below the threshold, failed when above."""
    if estimate.high < threshold:
        return Verdict.SUPPORTED
    return Verdict.FAILED if estimate.low > threshold else Verdict.UNDECIDED


def together(parts: Sequence[Part]) -> Verdict:
    """The verdict on a claim all of whose parts must hold.

    A part that failed decides, whatever was not measured; otherwise a claim is tested only whole.
    """
    verdicts = [part.verdict for part in parts]
    for verdict in (Verdict.FAILED, Verdict.NOT_TESTED, Verdict.UNDECIDED):
        if verdict in verdicts:
            return verdict
    return Verdict.SUPPORTED if verdicts else Verdict.NOT_TESTED


def counts(verdicts: Sequence[Verdict]) -> list[tuple[Verdict, int]]:
    """Each verdict that occurs with how often, in the order of `Verdict`."""
    return [(verdict, verdicts.count(verdict)) for verdict in Verdict if verdict in verdicts]


def tally(verdicts: Sequence[Verdict]) -> str:
    """How many of each there are: "6 supported, 2 failed and 2 undecided"."""
    return listed([f"{count} {verdict.value}" for verdict, count in counts(verdicts)])


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
