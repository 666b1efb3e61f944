import pytest

from analysis.statistics.comparison import bounded as level_of
from orchestrator.studies.detection.claims import BETTER, CLAIMS, EQUAL, UNDECIDED, WORSE, outcome
from tests.made_up_detection import bounded, detection_pair, make_detection_row
from tests.orchestrator.studies import verdicts
from tests.orchestrator.studies.verdicts import FAILED, NOT_TESTED, SUPPORTED

judged, UNCLEAR = verdicts.deciding(CLAIMS), verdicts.UNDECIDED


def pairs(*gains, **changes):
    """A training row and its generations per poison ratio; the gain of each from 0.8 on."""
    return [
        row
        for ratio, gained in zip((0.01, 0.05, 0.1), gains, strict=False)
        for row in detection_pair(0.8, 0.8 + gained, ratio=ratio, **changes)
    ]


def nulls(*intervals, planned=None):
    sets = [(detector, one) for detector in ("cd", "fct") for one in ("training", "generation")]
    level = 1 - 0.05 / (planned or len(intervals))
    return [
        make_detection_row(
            "none", 0.0, *place, auroc=(low + high) / 2, null_level=level, null_low=low,
            null_high=high,
        )
        for (low, high), place in zip(intervals, sets, strict=False)
    ]  # fmt: skip


# Bounds lie 0.02 to either side of every number.
CASES = [
    ("easier-on-generations", pairs(0.04, 0.05, 0.1), SUPPORTED),
    ("easier-on-generations", pairs(0.04, 0.01, 0.1), UNCLEAR),
    ("easier-on-generations", pairs(0.04, -0.04, 0.1), FAILED),
    ("easier-on-generations", pairs(0.029), UNCLEAR),
    ("easier-on-generations", detection_pair(0.8, None), NOT_TESTED),
    ("easier-on-generations", pairs(0.1)[:1], NOT_TESTED),
    ("easier-on-generations", [*pairs(-0.1), make_detection_row()], FAILED),
    ("easier-by-template-match", pairs(0.1, **bounded("template_auroc_gain", 0.04)), SUPPORTED),
    ("easier-by-template-match", pairs(0.1, **bounded("template_auroc_gain", 0.02)), UNCLEAR),
    ("easier-by-template-match", pairs(0.1, **bounded("template_auroc_gain", -0.04)), FAILED),
    ("easier-by-template-match", pairs(0.1), None),  # a trigger that is no patch
    ("not-by-prevalence", pairs(0.1, **bounded("equal_prevalence_gain", 0.05)), SUPPORTED),
    ("not-by-prevalence", pairs(0.1, **bounded("equal_prevalence_gain", 0.01)), UNCLEAR),
    ("not-by-prevalence", pairs(0.1, **bounded("equal_prevalence_gain", -0.05)), FAILED),
    ("not-by-prevalence", pairs(0.01, -0.1, **bounded("equal_prevalence_gain", 0.3)), None),
    ("signature-enhanced", pairs(0.0, **bounded("poisoned_shift", 0.6)), SUPPORTED),
    ("signature-enhanced", pairs(0.0, **bounded("poisoned_shift", 0.51)), UNCLEAR),
    ("signature-enhanced", pairs(0.0, **bounded("poisoned_shift", 0.4)), FAILED),
    ("nothing-in-clean-data", nulls((0.4, 0.6), (0.45, 0.5)), SUPPORTED),
    ("nothing-in-clean-data", nulls((0.4, 0.6), (0.39, 0.55)), UNCLEAR),
    ("nothing-in-clean-data", nulls((0.45, 0.61)), UNCLEAR),
    ("nothing-in-clean-data", nulls((0.39, 0.61), (0.51, 0.6)), FAILED),
    ("nothing-in-clean-data", nulls((0.4, 0.6), (0.3, 0.49)), FAILED),
    ("nothing-in-clean-data", nulls((0.4, 0.6), planned=4), NOT_TESTED),
    ("nothing-in-clean-data", nulls((0.3, 0.4), planned=4), FAILED),
    ("nothing-in-clean-data", pairs(0.1), NOT_TESTED),
]


@pytest.mark.parametrize(("name", "rows", "expected"), CASES)
def test_each_claim_is_decided_by_its_numbers(name, rows, expected):
    found = judged(name, rows)
    assert (found and found.verdict) == expected


def test_every_claim_has_a_case_of_every_verdict():
    verdicts.check_that_every_verdict_is_tried(CLAIMS, CASES)


MATTER = [(0.02, 0.009, BETTER), (0.02, 0.011, UNDECIDED), (0.005, 0.004, EQUAL)]
MATTER += [(0.0, 0.011, UNDECIDED), (-0.005, 0.001, EQUAL), (-0.02, 0.009, WORSE)]


@pytest.mark.parametrize(("gained", "half", "expected"), MATTER)
def test_a_hundredth_is_the_smallest_difference_that_matters(gained, half, expected):
    """An interval wholly within it shows that nothing rose: as good as a fall against the claim."""
    rows = detection_pair(0.8, 0.8 + gained, half)
    assert outcome(level_of(rows[1:], "auroc_gain", -1).estimate) == expected
    found = judged("easier-on-generations", rows)
    known = {BETTER: SUPPORTED, UNDECIDED: UNCLEAR}
    assert found.verdict == known.get(expected, FAILED)
    assert ("(no difference: within ±0.01)" in found.evidence) == (expected == EQUAL)


def test_evidence_has_both_aurocs_and_what_to_beware_of():
    few = {"n_poisoned": 14, "n_positive": 4}
    found = judged("easier-on-generations", detection_pair(0.996, 0.4, ratio=0.01, **few))
    assert found.evidence == (
        "p = 1%: AUROC 0.996 [0.976, 1.016] on the training set, 0.400 [0.380, 0.420] on the "
        "generations; the difference is −0.596 [−0.616, −0.576] (saturated, below 0.5 and 4 "
        "generated positives)."
    )


def test_subjects_are_a_trigger_with_a_detector_in_the_papers_order():
    rows = [row for name in ("mine", "fct", "cd") for row in pairs(0.1, detector=name)]
    rows += [*pairs(-0.1, trigger="blend"), *nulls((0.4, 0.6), (0.45, 0.55))]
    every = verdicts.judging(CLAIMS)(rows)
    found = [one for one in every if one.claim.name != "signature-enhanced"]
    assert [(one.subject, one.verdict) for one in found if "prevalence" not in one.claim.name] == [
        ("BadNets-1, class 8, CD", SUPPORTED),
        ("BadNets-1, class 8, FCT", SUPPORTED),
        ("BadNets-1, class 8, mine", SUPPORTED),
        ("BadNets-2, class 8, CD", FAILED),
        ("Clean data with random flags", SUPPORTED),
    ]
    names = [part.evidence.partition(":")[0] for part in found[-1].parts]
    assert names == ["CD, training set", "CD, generations"]


def test_every_way_of_generating_is_a_part_and_the_scales_own_guidance_comes_first():
    # The authors' "5" on CIFAR10 is 6 in our convention; 11 is the highest weight.
    rows = detection_pair(0.8, 0.9)[:1]
    for weight, after in ((2.0, 0.9), (6.0, 0.7), (11.0, 0.81)):
        pair = detection_pair(0.8, after, guidance_weight=weight, paper_guidance=6.0)
        rows.append(pair[1])
    found = judged("easier-on-generations", rows[::-1])
    places = [part.evidence.partition(":")[0] for part in found.parts]
    assert places == [f"p = 10%, w = {weight}, DDIM" for weight in (6, 11, 2)]
    assert [part.verdict for part in found.parts] == [FAILED, UNCLEAR, SUPPORTED]


def test_seeds_are_joined_and_one_without_positives_is_left_out():
    # Half widths of 0.02 each: sqrt(0.02^2 + 0.02^2) / 2; from three on Student's over the seeds,
    # t of 2 degrees, 4.303, times a standard deviation of 0.1 over sqrt(3).
    rows = [make_detection_row(auroc=value, seed=n) for n, value in enumerate((0.8, 0.9, 0.7))]
    two, three = level_of(rows[:2], "auroc"), level_of(rows, "auroc")
    assert two.estimate.low == pytest.approx(0.85 - 0.02 / 2**0.5)
    assert three.estimate.low == pytest.approx(0.8 - 4.3027 * 0.1 / 3**0.5, abs=1e-4)
    assert (two.basis, three.estimate.high) == ("2 seeds", 1)
    lacking = [rows[0], make_detection_row(auroc=None, seed=1)]
    assert level_of(lacking, "auroc").basis == "1 of 2 seeds"
