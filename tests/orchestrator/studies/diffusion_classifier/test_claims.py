import pytest

from analysis.old.verdicts import Verdict
from analysis.statistics.intervals import difference_of_proportions, proportion
from orchestrator.studies.claims import judge
from orchestrator.studies.diffusion_classifier.claims import AREA_CLAIMS, CLAIMS
from orchestrator.studies.diffusion_classifier.rows import (
    areas,
    calls,
    classified,
    difference,
    own_above_target,
)
from tests.made_up_classification import SHARES, classification_study, make_rows

SUPPORTED, FAILED = Verdict.SUPPORTED, Verdict.FAILED
UNDECIDED, NOT_TESTED = Verdict.UNDECIDED, Verdict.NOT_TESTED
RIGHT = (357, 356, 355, 352, 350)


def found(name, rows):
    return next((one for one in judge(rows) if one.claim.name == name), None)


def attacked(*taken, trigger="badnets1", **changes):
    """Rows with so many of 320 taken at each filter ratio from 0 on."""
    return make_rows(trigger, counts=(RIGHT[: len(taken)], taken), **changes)


def right(*correct):
    return make_rows(counts=(correct, (300,) * len(correct)))


def clean(taken):
    return make_rows(ratio=0.0, counts=((358,), (taken,)))


def shared(own, target):
    return attacked(300, 200, shares={0.01: (own, target)})


def sized(*changes, small=1, large=4):
    """Two rectangles at filter ratio 1 % (1 value of 64) from 300 of 320 each."""
    return [
        row
        for pixels, after in zip((small, large), changes, strict=True)
        for row in attacked(300, after, trigger="rectangle", pixels=pixels)
    ]


CASES = [
    ("attack-is-present", [*attacked(160), *clean(4)], SUPPORTED),
    ("attack-is-present", [*attacked(10), *clean(4)], UNDECIDED),  # +1.9 points
    ("attack-is-present", [*attacked(4), *clean(40)], FAILED),
    ("attack-is-present", attacked(160), SUPPORTED),  # no clean model: from 44.5 %
    ("attack-is-present", attacked(40), UNDECIDED),  # 12.5 %, from 9.3 %
    ("attack-is-present", attacked(4), FAILED),
    ("attack-is-present", attacked(160, 100)[1:], NOT_TESTED),
    ("more-robust", attacked(160), SUPPORTED),  # the CNN's is 316
    ("more-robust", attacked(313), UNDECIDED),
    ("more-robust", attacked(300, ordinary=(350, 173)), FAILED),
    ("more-robust", attacked(160, 100)[1:], NOT_TESTED),
    ("filtering-lowers-the-attack", attacked(300, 260, 120, 80, 50), SUPPORTED),
    ("filtering-lowers-the-attack", attacked(300, 298, 120, 80, 50), UNDECIDED),
    ("filtering-lowers-the-attack", attacked(200, 260, 120, 80, 50), FAILED),
    ("filtering-lowers-the-attack", attacked(300), NOT_TESTED),
    ("without-much-drop", right(357, 357, 356, 355, 300), SUPPORTED),  # 20 % is not asked
    ("without-much-drop", right(357, 357, 356, 345), UNDECIDED),  # -3.3 points
    ("without-much-drop", right(357, 357, 356, 320), FAILED),  # -10.3 points
    ("without-much-drop", right(357), NOT_TESTED),
    ("losses-on-the-trigger", shared(0.9, 0.2), SUPPORTED),
    ("losses-on-the-trigger", shared(0.07, 0.01), UNDECIDED),  # the area is 6.25 %
    ("losses-on-the-trigger", shared(0.2, 0.9), FAILED),
    ("losses-on-the-trigger", shared(0.02, 0.01), FAILED),
    ("losses-on-the-trigger", attacked(300), NOT_TESTED),
    ("not-against-a-blend", attacked(290, 288, 285, 284, 280, trigger="blend"), SUPPORTED),
    ("not-against-a-blend", attacked(290, 288, 264, 284, 280, trigger="blend"), UNDECIDED),
    ("not-against-a-blend", attacked(290, 200, trigger="blend"), FAILED),
    ("not-against-a-blend", attacked(290, trigger="blend"), NOT_TESTED),
    ("must-cover-the-trigger", sized(30, 290), SUPPORTED),
    ("must-cover-the-trigger", sized(288, 290), UNDECIDED),
    ("must-cover-the-trigger", sized(290, 30), FAILED),
    ("must-cover-the-trigger", sized(30, 290, small=2), NOT_TESTED),  # 1 value is fewer than 2
]


@pytest.mark.parametrize(("name", "rows", "expected"), CASES)
def test_a_claim_is_decided_by_its_intervals(name, rows, expected):
    assert found(name, rows).verdict is expected


def test_every_claim_has_every_verdict_among_the_cases():
    for claim in (*CLAIMS, *AREA_CLAIMS):
        assert {verdict for name, _, verdict in CASES if name == claim.name} == set(Verdict)


def test_claims_about_patches_and_about_spread_triggers_keep_apart():
    names = {one.claim.name for one in judge(attacked(290, 288, trigger="blend"))}
    assert names == {
        *("attack-is-present", "more-robust", "without-much-drop", "not-against-a-blend"),
    }
    assert found("not-against-a-blend", attacked(300, 200)) is None
    assert judge(clean(4)) == ()


def test_the_evidence_has_levels_changes_and_their_basis():
    evidence = found("more-robust", attacked(160)).evidence
    assert evidence.startswith("p = 5%: ASR 50.0% [44.6, 55.4], the small CNN's 98.8% [")
    assert "the difference is −48.8 points [" in evidence
    assert evidence.endswith("(1 seed).")
    evidence = found("filtering-lowers-the-attack", attacked(320, 160, 80)).evidence
    assert "ASR 100.0% [98.8, 100.0] without a filter; −50.0 points [" in evidence
    assert "] at 1%; −75.0 points [" in evidence


def test_from_three_seeds_on_the_spread_between_them_decides():
    rows = [
        row
        for seed, taken in enumerate((284, 252, 220))
        for row in attacked(taken, seed=seed)  # the CNN's is 316
    ]
    evidence = found("more-robust", rows).evidence
    # Differences of -10, -20 and -30 points: sd 10, Student's t of 4.303 at 2 degrees.
    assert "the difference is −20.0 points [−44.8, 4.8] (3 seeds)" in evidence
    assert found("more-robust", rows).verdict is UNDECIDED


def test_a_clean_model_of_one_seed_serves_all_seeds():
    rows = [row for seed in range(3) for row in attacked(160 + seed, seed=seed)]
    evidence = found("attack-is-present", [*rows, *clean(4)]).evidence
    assert "(3 seeds)" in evidence
    assert "(1 seed)" in evidence


def test_the_difference_of_two_wilson_intervals_is_newcombes():
    ours = difference(proportion(48, 320), proportion(5, 300))
    theirs = difference_of_proportions(48, 320, 5, 300)
    assert (ours.value, ours.low, ours.high) == pytest.approx(
        (theirs.value, theirs.low, theirs.high)
    )


def test_shares_on_the_trigger_are_paired_where_the_rows_say_so():
    (subject,) = classified(attacked(300, 200, shares=SHARES))
    point = subject.points[0]
    apart = own_above_target(point, 0.01).estimate
    assert apart.value == pytest.approx(0.7)
    assert apart.high - apart.value == pytest.approx(0.02 * 2**0.5)
    paired = {f"on_trigger_difference{end}": 0.7 + by for end, by in _ENDS}
    (subject,) = classified(attacked(300, 200, shares=SHARES, **paired))
    assert own_above_target(subject.points[0], 0.01).estimate.high == pytest.approx(0.71)
    three = [row for seed in range(3) for row in attacked(300, 200, shares=SHARES, seed=seed)]
    (subject,) = classified(three)
    assert own_above_target(subject.points[0], 0.01).basis == "3 seeds"


_ENDS = (("", 0.0), ("_low", -0.01), ("_high", 0.01))


def test_triggers_sizes_and_noise_models_are_told_apart_and_what_was_swept_comes_first():
    subjects = classified(classification_study())
    assert [(one.trigger, one.trigger_pixels, one.noise_model) for one in subjects] == [
        ("badnets1", 4, "ddpm"),
        ("badnets1", 4, "edm"),
        ("blend", None, "ddpm"),
        ("rectangle", 1, "ddpm"),
        ("rectangle", 2, "ddpm"),
        ("rectangle", 4, "ddpm"),
    ]
    first = subjects[0]
    assert [point.poison_ratio for point in first.measured] == [0.0, 0.01, 0.05]
    assert [len(point.rows) for point in first.measured] == [5, 15, 15]
    (sizes,) = areas(classification_study())
    assert [one.trigger_pixels for one in sizes.sizes] == [1, 2, 4]
    assert sizes.poison_ratios == [0.05]


def test_area_values_and_calls_of_a_point():
    point = classified(classification_study((0, 1)))[0].points[0]
    assert (point.area, point.trigger_values, point.dropped(0.2)) == (4 / 64, 4, 13)
    # One pass a seed, whatever the filter ratios.
    assert calls(point) == (2 * (360 * 200 + 320 * 250), 2 * 680 * 500)
    color = classified(attacked(300, 200, values=192))[0].points[0]
    assert color.trigger_values == 12
