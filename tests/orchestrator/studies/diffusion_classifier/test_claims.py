"""Each claim of ``diffusion_classifier``, decided by counts that are chosen here."""

import pytest

from orchestrator.studies.diffusion_classifier.claims import CLAIMS
from tests.made_up_classification import RIGHT, classification_study, make_rows
from tests.orchestrator.studies import verdicts
from tests.orchestrator.studies.verdicts import FAILED, NOT_TESTED, SUPPORTED, UNDECIDED

judge, found = verdicts.judging(CLAIMS), verdicts.deciding(CLAIMS)


def attacked(*taken, trigger="badnets1", **changes):
    """Rows with so many of 320 taken at each filter ratio from 0 on."""
    return make_rows(trigger, counts=(RIGHT[: len(taken)], taken), **changes)


def right(*correct):
    return make_rows(counts=(correct, (300,) * len(correct)))


def clean(taken):
    return make_rows(ratio=0.0, counts=((358,), (taken,)))


def shared(own, target):
    return attacked(300, 200, shares=((None, None), (own, target)))


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
    decided = found(name, rows)
    assert decided.verdict is expected, decided.evidence
    assert ("not measured" in decided.evidence) == (expected is NOT_TESTED)


def test_every_claim_has_every_verdict_among_the_cases():
    verdicts.check_that_every_verdict_is_tried(CLAIMS, CASES)


def test_claims_about_patches_and_about_spread_triggers_keep_apart():
    names = {one.claim.name for one in judge(attacked(290, 288, trigger="blend"))}
    assert names == {"attack-is-present", "more-robust", "without-much-drop", "not-against-a-blend"}
    assert "not-against-a-blend" not in {one.claim.name for one in judge(attacked(300, 200))}
    assert judge(clean(4)) == []


def test_the_evidence_has_levels_changes_and_their_basis():
    evidence = found("more-robust", attacked(160)).evidence
    assert evidence.startswith("p = 5%: ASR 50.0% [44.6, 55.4], the small CNN's 98.8% [")
    assert "the difference is −48.8 points [" in evidence
    assert evidence.endswith("(1 seed).")
    evidence = found("filtering-lowers-the-attack", attacked(320, 160, 80)).evidence
    assert "ASR 100.0% [98.8, 100.0] without a filter; −50.0 points [" in evidence
    assert "] at 1%; −75.0 points [" in evidence


def test_a_clean_model_of_one_seed_serves_all_seeds():
    rows = [row for seed in range(3) for row in attacked(160 + seed, seed=seed)]
    evidence = found("attack-is-present", [*rows, *clean(4)]).evidence
    assert "(3 seeds), the clean model's" in evidence
    assert "(1 seed)" in evidence


def test_a_filter_covers_a_trigger_by_values_not_by_pixels():
    # Three channels: a filter drops 1 value of 192, and the smallest trigger has 3.
    rows = [{**row, "values": 192} for row in sized(30, 290)]
    assert (
        "a filter of 3 to 11 values: not measured" in found("must-cover-the-trigger", rows).evidence
    )


def test_triggers_sizes_and_noise_models_are_judged_apart():
    subjects = dict.fromkeys(one.subject for one in judge(classification_study()))
    assert list(subjects) == [
        "BadNets-1, 4 pixels, class 8, DDPM",
        "BadNets-1, 4 pixels, class 8, EDM",
        "BadNets-2, class 8, DDPM",
        "Rectangle, 1 pixel, class 8, DDPM",
        "Rectangle, 2 pixels, class 8, DDPM",
        "Rectangle, 4 pixels, class 8, DDPM",
        "Rectangle, class 8, DDPM",
    ]
