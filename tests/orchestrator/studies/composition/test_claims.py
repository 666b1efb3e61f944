import pytest

from orchestrator.studies.composition.claims import CLAIMS
from tests.made_up import template_matched
from tests.orchestrator.studies import verdicts
from tests.orchestrator.studies.verdicts import FAILED, NOT_TESTED, SUPPORTED, UNDECIDED

judge = verdicts.judging(CLAIMS)


@pytest.fixture(scope="session")
def judgments(row):
    """Judgments on one trigger from {(trigger, ratio, sampler): counts}, p = 0 for the control."""

    def decide(points, about="badnets1", weight=5.0):
        rows = []
        for (judged, ratio, sampler), counts in points.items():
            at = {"study": "composition", "judge_trigger": judged, "sampler": sampler}
            rows.append(row(judged if ratio else "none", ratio, weight, counts, **at))
        return {one.claim.name: one for one in judge(rows) if one.at["judge_trigger"] == about}

    return decide


def _ten(trigger="badnets1", **counts):
    return {(trigger, 0.1, sampler): value for sampler, value in counts.items()}


def _g1(count):
    return count, 100, 0, 400 - count


# p_t is 143 / 282 = 50.7 % at p = 10 %; n is 500, so half a Wilson interval is 4.4 points there,
# and half of Newcombe's for a difference of two such shares about 6.1 points.
CASES = [
    ("sde-lowers-g1-of-ddpm", _ten(ddpm=_g1(260), sde=_g1(185)), SUPPORTED),  # +15.0
    ("sde-lowers-g1-of-ddpm", _ten(ddpm=_g1(210), sde=_g1(185)), UNDECIDED),  # +5.0
    ("sde-lowers-g1-of-ddpm", _ten(ddpm=_g1(185), sde=_g1(260)), FAILED),
    ("sde-lowers-g1-of-ddpm", _ten(ddpm=_g1(260)), NOT_TESTED),
    ("sde-lowers-g1-of-ddpm", _ten(ddim=_g1(260), sde=_g1(185)), NOT_TESTED),
    ("sde-lowers-g1-of-ddim", _ten(ddim=_g1(260), sde=_g1(185)), SUPPORTED),
    ("sde-lowers-g1-of-ddim", _ten(ddim=_g1(210), sde=_g1(185)), UNDECIDED),
    ("sde-lowers-g1-of-ddim", _ten(ddim=_g1(185), sde=_g1(260)), FAILED),
    ("sde-lowers-g1-of-ddim", _ten(ddpm=_g1(260), sde=_g1(185)), NOT_TESTED),
    ("threat-persists-under-sde", _ten(sde=(180, 100, 0, 220)), SUPPORTED),  # 56.0 - 50.7
    ("threat-persists-under-sde", _ten(sde=(170, 100, 0, 230)), UNDECIDED),  # 54.0 - 50.7
    ("threat-persists-under-sde", _ten(sde=(120, 100, 0, 280)), FAILED),
    ("threat-persists-under-sde", _ten(ddim=(180, 100, 0, 220)), NOT_TESTED),
    ("amplified-under-ddim", _ten(ddim=(180, 100, 0, 220)), SUPPORTED),
    ("amplified-under-ddim", _ten(ddim=(170, 100, 0, 230)), UNDECIDED),
    ("amplified-under-ddim", _ten(ddim=(120, 100, 0, 280)), FAILED),
    ("amplified-under-ddim", _ten(sde=(180, 100, 0, 220)), NOT_TESTED),
    ("mismatches-dominate", _ten(ddim=(180, 100, 0, 220), sde=(170, 90, 0, 240)), SUPPORTED),
    ("mismatches-dominate", _ten(ddim=(180, 100, 0, 220), sde=(110, 100, 0, 290)), UNDECIDED),
    ("mismatches-dominate", _ten(ddim=(180, 100, 0, 220), sde=(90, 170, 0, 240)), FAILED),
    ("mismatches-dominate", {("badnets1", 0.01, "ddim"): _g1(9)}, NOT_TESTED),
]


def _ratios(low, high, sampler="ddim"):
    return {("badnets1", 0.01, sampler): _g1(low), ("badnets1", 0.2, sampler): _g1(high)}


CASES += [
    ("mismatches-grow", _ratios(20, 240) | _ratios(30, 200, "sde"), SUPPORTED),
    ("mismatches-grow", _ratios(20, 240) | _ratios(200, 210, "sde"), UNDECIDED),
    ("mismatches-grow", _ratios(20, 240) | _ratios(200, 100, "sde"), FAILED),
    ("mismatches-grow", _ten(ddim=_g1(260)), NOT_TESTED),
]


def _with_clean(mismatches, clean, trigger="badnets1", sampler="ddim"):
    return {
        (trigger, 0.1, sampler): (mismatches - 5, 100, 5, 400 - mismatches),
        (trigger, 0.0, sampler): (0, 0, clean, 500 - clean),
    }


CASES += [
    ("mismatches-whatever-the-trigger", _with_clean(60, 5), SUPPORTED),
    ("mismatches-whatever-the-trigger", _with_clean(15, 10), UNDECIDED),
    ("mismatches-whatever-the-trigger", _with_clean(10, 60), FAILED),
    ("mismatches-whatever-the-trigger", _ten(ddim=_g1(260)), NOT_TESTED),
]


def _clean(count, sampler="ddim"):
    return _ten(**{sampler: _g1(260)}) | {("badnets1", 0.0, sampler): (count, 0, 5, 495 - count)}


CASES += [
    ("clean-models-draw-no-trigger", _clean(1) | _clean(0, "sde"), SUPPORTED),
    ("clean-models-draw-no-trigger", _clean(1) | _clean(9, "sde"), UNDECIDED),
    ("clean-models-draw-no-trigger", _clean(1) | _clean(40, "sde"), FAILED),
    ("clean-models-draw-no-trigger", _ten(ddim=_g1(260)), NOT_TESTED),
]


@pytest.mark.parametrize(("name", "points", "expected"), CASES)
def test_each_claim_is_decided_by_its_numbers(judgments, name, points, expected):
    found = judgments(points)[name]
    assert found.verdict is expected, found.evidence
    if expected is NOT_TESTED:
        assert "not measured" in found.evidence


@pytest.mark.parametrize(
    ("badnets", "blend", "expected"),
    [
        ((180, 180, 0, 140), (180, 100, 0, 220), SUPPORTED),  # 72 against 56 %
        ((180, 110, 0, 210), (180, 100, 0, 220), UNDECIDED),  # 58 against 56 %
        ((180, 100, 0, 220), (180, 180, 0, 140), FAILED),
        (None, (180, 180, 0, 140), NOT_TESTED),
    ],
)
def test_badnets_2_is_compared_with_badnets_1_and_only_there(judgments, badnets, blend, expected):
    points = _ten("blend", ddim=blend) | (_ten(ddim=badnets) if badnets else {})
    assert judgments(points, "blend")["blend-amplifies-less"].verdict is expected
    assert "blend-amplifies-less" not in judgments(points, "badnets1")


def test_every_claim_has_a_case_of_every_verdict():
    verdicts.check_that_every_verdict_is_tried(
        CLAIMS, CASES, "blend-amplifies-less", "amplified-by-template-match"
    )


def test_evidence_has_the_numbers_and_what_they_rest_on(judgments):
    found = judgments(_ten(ddpm=_g1(260), sde=_g1(185)))["sde-lowers-g1-of-ddpm"]
    # By hand: Wilson's bounds are 47.62 to 56.35 and 32.88 to 41.32, so Newcombe's are
    # 15 - sqrt(4.38^2 + 4.32^2) = 8.85 and 15 + sqrt(4.35^2 + 4.12^2) = 20.99.
    assert found.evidence == (
        "DDPM, p = 10%: G1 is 52.0%, under SDE 37.0%; the difference is +15.0 points [8.9, 21.0] "
        "(500 and 500 images)."
    )


def test_guidance_is_five_where_measured_and_else_the_highest(judgments, row):
    points = _ten(ddpm=_g1(260), sde=_g1(185))
    assert judgments(points, weight=6.0)["sde-lowers-g1-of-ddpm"].verdict is SUPPORTED
    rows = [
        row("badnets1", 0.1, weight, counts, study="composition", sampler=sampler)
        for sampler, at_five, at_ten in (("ddpm", 260, 100), ("sde", 185, 200))
        for weight, counts in ((5.0, _g1(at_five)), (10.0, _g1(at_ten)))
    ]
    found = {one.claim.name: one for one in judge(rows)}
    assert found["sde-lowers-g1-of-ddpm"].verdict is SUPPORTED  # at 10 it would have failed


@pytest.mark.parametrize(("missed", "expected"), [(0, SUPPORTED), (120, UNDECIDED), (200, FAILED)])
def test_the_template_match_must_see_it_under_every_sampler(row, missed, expected):
    shared = ("unicolor", 0.1, 5.0, (190, 190, 0, 120))
    rows = [
        template_matched(row(*shared, study="composition", sampler=sampler), count)
        for sampler, count in (("ddim", missed), ("sde", 0))
    ]
    [found] = (one for one in judge(rows) if one.claim.name == "amplified-by-template-match")
    assert found.verdict is expected, found.evidence
    assert "SDE, p = 10%: 76.0% [72.1, 79.5] of generations carry the patch" in found.evidence


def test_verdicts_are_on_one_trigger_each(composition_sweep):
    found = judge(composition_sweep)
    # BadNets-2 alone is compared with BadNets-1, and it alone has no template match.
    assert len(found) == 3 * (len(CLAIMS) - 2) + 1 + 2
    decided = {
        one.at["judge_trigger"]: one.verdict
        for one in found
        if one.claim.name == "sde-lowers-g1-of-ddpm"
    }
    assert decided == {"badnets1": SUPPORTED, "blend": UNDECIDED, "unicolor": FAILED}
