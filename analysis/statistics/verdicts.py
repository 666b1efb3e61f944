"""What the data say about a claim, and the few rules that decide it."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from analysis.statistics.intervals import Estimate
from analysis.wording import listed


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
