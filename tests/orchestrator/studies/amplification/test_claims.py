import pytest

from analysis.statistics.verdicts import Part, together
from orchestrator.studies.amplification.claims import CLAIMS
from tests.made_up import template_matched
from tests.orchestrator.studies import verdicts
from tests.orchestrator.studies.verdicts import FAILED, NOT_TESTED, SUPPORTED, UNDECIDED

judge = verdicts.judging(CLAIMS)


@pytest.fixture(scope="session")
def verdict(row):
    """Verdict on one claim from {(trigger, ratio, weight): counts or (counts, changes)}."""

    def decide(name, points):
        rows = []
        for place, value in points.items():
            counts, changes = value if isinstance(value[0], tuple) else (value, {})
            rows.append(row(*place, counts, **changes))
        (found,) = (one for one in judge(rows) if one.claim.name == name)
        return found.verdict, found.evidence

    return decide


def _poisoned(weight, **counts):
    return {("badnets1", int(key[1:]) / 100, weight): value for key, value in counts.items()}


def _turning(g1_at_one, g1_at_five):
    """G1 at 1, 2, 5 and 10 %, where p_t is 9.2, 16.8, 33.8 and 50.7 %."""
    counts = {"p1": g1_at_one, "p2": 9, "p5": g1_at_five, "p10": 350}
    return _poisoned(5.0, **{place: (g1, 0, 0, 500 - g1) for place, g1 in counts.items()})


def _guided(**triggers):
    """G1 and G2 at 10 % by guidance weight."""
    return {
        ("badnets1", 0.1, float(weight[1:])): (g1, g2, 0, 500 - g1 - g2)
        for weight, (g1, g2) in triggers.items()
    }


def _with_clean(g1, g2):
    clean = {("none", 0.0, 2.0): (g1, g2, 4, 496 - g1 - g2)}
    return _poisoned(2.0, p1=(1, 1, 1, 497)) | clean


ABOVE = {"p1": (50, 100, 0, 350), "p2": (50, 150, 0, 300), "p5": (100, 150, 0, 250)}
CASES = [
    ("amplified-at-low-ratios", _poisoned(5.0, **ABOVE), SUPPORTED),
    ("amplified-at-low-ratios", _poisoned(5.0, **{**ABOVE, "p2": (40, 50, 0, 410)}), UNDECIDED),
    ("amplified-at-low-ratios", _poisoned(5.0, **{**ABOVE, "p5": (10, 50, 0, 440)}), FAILED),
    ("amplified-at-low-ratios", _poisoned(5.0, p1=(50, 100, 0, 350)), NOT_TESTED),
    ("amplified-at-low-ratios", _poisoned(2.0, **ABOVE), NOT_TESTED),
    ("amplified-at-ten-percent", _poisoned(5.0, p10=(150, 150, 0, 200)), SUPPORTED),
    ("amplified-at-ten-percent", _poisoned(5.0, p10=(107, 130, 12, 251)), UNDECIDED),
    ("amplified-at-ten-percent", _poisoned(5.0, p10=(50, 100, 0, 350)), FAILED),
    ("matching-triggers-at-one-percent", _poisoned(2.0, p1=(3, 36, 14, 447)), SUPPORTED),
    ("matching-triggers-at-one-percent", _poisoned(2.0, p1=(20, 24, 9, 447)), UNDECIDED),
    ("matching-triggers-at-one-percent", _poisoned(2.0, p1=(36, 3, 14, 447)), FAILED),
    ("mismatches-multiply", _poisoned(2.0, p1=(3, 36, 0, 461), p10=(134, 0, 0, 366)), SUPPORTED),
    ("mismatches-multiply", _poisoned(2.0, p1=(20, 36, 0, 444), p10=(134, 0, 0, 366)), UNDECIDED),
    ("mismatches-multiply", _poisoned(2.0, p1=(60, 36, 0, 404), p10=(134, 0, 0, 366)), FAILED),
    ("mismatches-multiply", _poisoned(2.0, p1=(60, 36, 0, 404)), NOT_TESTED),
    ("roles-shift", _poisoned(5.0, p1=(10, 90, 0, 400), p10=(200, 100, 0, 200)), SUPPORTED),
    ("roles-shift", _poisoned(5.0, p1=(10, 90, 0, 400), p10=(107, 130, 12, 251)), UNDECIDED),
    ("roles-shift", _poisoned(5.0, p1=(90, 10, 0, 400), p10=(200, 100, 0, 200)), FAILED),
    ("roles-shift", _poisoned(5.0, p1=(90, 10, 0, 400)), FAILED),  # whatever the other would say
    ("roles-shift", _poisoned(5.0, p1=(10, 90, 0, 400)), NOT_TESTED),
    ("mismatch-gap-turns", _turning(5, 240), SUPPORTED),
    ("mismatch-gap-turns", _turning(5, 170), UNDECIDED),
    ("mismatch-gap-turns", _turning(122, 240), FAILED),
    ("guidance-amplifies", _guided(w1=(200, 50), w5=(200, 150)), SUPPORTED),
    ("guidance-amplifies", _guided(w1=(200, 50), w5=(200, 60)), UNDECIDED),
    # Up from first to last, but down at one step.
    ("guidance-amplifies", _guided(w1=(100, 50), w2=(300, 50), w5=(200, 50)), FAILED),
    ("guidance-amplifies", _poisoned(1.0, p10=(200, 50, 0, 250)), NOT_TESTED),
    ("clean-model-draws-no-trigger", _with_clean(0, 1), SUPPORTED),
    ("clean-model-draws-no-trigger", _with_clean(0, 9), UNDECIDED),
    ("clean-model-draws-no-trigger", _with_clean(20, 20), FAILED),
    ("clean-model-draws-no-trigger", _poisoned(2.0, p1=(1, 1, 1, 497)), NOT_TESTED),
]


def _relabelled(relabelled, clean=(0, 0, 4, 496)):
    return {
        **_poisoned(5.0, p10=(1, 1, 1, 497)),
        ("none", 0.0, 5.0): clean,
        ("relabel_only", 0.1, 5.0): relabelled,
    }


CASES += [
    ("relabelling-alone", _relabelled((0, 1, 96, 403)), SUPPORTED),
    ("relabelling-alone", _relabelled((0, 1, 5, 494)), UNDECIDED),
    ("relabelling-alone", _relabelled((90, 60, 96, 254)), FAILED),  # triggers out of nowhere
    ("relabelling-alone", _relabelled((0, 0, 4, 496), clean=(0, 0, 96, 404)), FAILED),
    ("relabelling-alone", _poisoned(5.0, p10=(1, 1, 1, 497)), NOT_TESTED),
]


def _others(match, trigger):
    changes = {"other_match_ratio": match / 500, "other_trigger_ratio": trigger / 500}
    return {("none", 0.0, 2.0): (0, 0, 4, 496), ("badnets1", 0.1, 2.0): ((1, 1, 1, 497), changes)}


CASES += [
    ("other-classes-survive", _others(480, 0), SUPPORTED),
    ("other-classes-survive", _others(462, 0), UNDECIDED),
    ("other-classes-survive", _others(400, 0), FAILED),
    ("other-classes-survive", _others(483, 40), FAILED),
    ("other-classes-survive", _poisoned(2.0, p10=(1, 1, 1, 497)), NOT_TESTED),
]


@pytest.mark.parametrize(("name", "points", "expected"), CASES)
def test_each_claim_is_decided_by_its_numbers(verdict, name, points, expected):
    found, evidence = verdict(name, points)
    assert found is expected, evidence
    if expected is NOT_TESTED:
        assert "not measured" in evidence


def test_every_claim_has_a_case_of_every_verdict():
    verdicts.check_that_every_verdict_is_tried(CLAIMS, CASES, "amplified-by-template-match")


@pytest.mark.parametrize(
    ("missed", "expected"), [(0, SUPPORTED), (120, UNDECIDED), (200, FAILED), (None, NOT_TESTED)]
)
def test_the_template_match_has_a_claim_of_its_own(row, missed, expected):
    """Of the judge's 380 of 500 it misses 120 at 10 %: 52.0 [47.6, 56.3] against 50.7 %."""
    counts = {0.01: 0, 0.02: 0, 0.05: 0, 0.1: missed}
    rows = [
        template_matched(row("badnets1", ratio, 5.0, (190, 190, 0, 120)), count)
        for ratio, count in counts.items()
        if count is not None
    ]
    [found] = (one for one in judge(rows) if one.claim.name == "amplified-by-template-match")
    assert found.verdict is expected, found.evidence
    assert "76.0% [72.1, 79.5] of generations carry the patch against p_t = 9.2%" in found.evidence


def test_evidence_has_the_numbers_and_what_they_rest_on(verdict):
    _, evidence = verdict("matching-triggers-at-one-percent", _poisoned(2.0, p1=(3, 36, 14, 447)))
    assert evidence == (
        "p = 1%: G2 is 7.2%, G1 0.6%; the difference is +6.6 points [4.1, 9.0] "
        "(500 images of one model)."
    )


def test_triggers_are_judged_apart_each_with_its_own_controls(row, sweep):
    other = row("blend", 0.1, 5.0, (150, 150, 0, 200))
    control = row("none", 0.0, 5.0, (0, 0, 4, 496), judge_trigger="blend")
    found = judge([*sweep, other, control])
    assert {one.subject for one in found} == {
        "BadNets-1, class 8, DDIM",
        "BadNets-2, class 8, DDIM",
    }
    assert len(found) == 2 * (len(CLAIMS) - 1)


def test_a_failed_part_decides_and_nothing_decides_nothing():
    failed, missing = Part(FAILED, ""), Part(NOT_TESTED, "")
    assert together([missing, failed]) is FAILED
    assert together([Part(SUPPORTED, ""), missing, Part(UNDECIDED, "")]) is NOT_TESTED
    assert together([]) is NOT_TESTED
