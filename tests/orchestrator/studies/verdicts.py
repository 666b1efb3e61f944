"""Claims held against made-up rows, for the tests of every study's claims."""

from analysis.claims import hold
from analysis.rows import frame
from analysis.statistics.verdicts import Verdict

SUPPORTED, FAILED = Verdict.SUPPORTED, Verdict.FAILED
UNDECIDED, NOT_TESTED = Verdict.UNDECIDED, Verdict.NOT_TESTED


def judging(claims):
    """A function that holds claims against rows."""
    return lambda rows: hold(claims, frame(rows))


def deciding(claims):
    """A function that gives the only judgment on a claim; None if it is about nothing."""

    def decided(name, rows):
        found = [one for one in hold(claims, frame(rows)) if one.claim.name == name]
        assert len(found) <= 1
        return found[0] if found else None

    return decided


def check_that_every_verdict_is_tried(claims, cases, *elsewhere):
    """Every claim has cases (its name, what it is held against, the verdict) of each verdict."""
    for claim in claims:
        tried = {case[-1] for case in cases if case[0] == claim.name}
        assert claim.name in elsewhere or tried >= {SUPPORTED, FAILED, UNDECIDED}, claim.name
