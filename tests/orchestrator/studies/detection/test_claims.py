import pytest

from analysis.old.verdicts import Verdict
from orchestrator.studies.claims import judge
from orchestrator.studies.detection.claims import CLAIMS
from orchestrator.studies.detection.rows import (
    Change,
    comparisons,
    detections,
    level_of,
    null_points,
    samplings,
)
from tests.made_up_detection import bounded, detection_pair, make_detection_row

SUPPORTED, FAILED = Verdict.SUPPORTED, Verdict.FAILED
UNDECIDED, NOT_TESTED = Verdict.UNDECIDED, Verdict.NOT_TESTED


def verdict(name, rows):
    (found,) = (one for one in judge(rows) if one.claim.name == name)
    return found.verdict


def pairs(*gains, **changes):
    """A training row and its generations a poison ratio; the gain of each from 0.8 on."""
    ratios = (0.01, 0.05, 0.1)[: len(gains)]
    return [
        row
        for ratio, gained in zip(ratios, gains, strict=True)
        for row in detection_pair(0.8, 0.8 + gained, ratio=ratio, **changes)
    ]


# Bounds lie 0.02 to either side of every difference.
@pytest.mark.parametrize(
    ("gains", "expected"),
    [
        ((0.04, 0.05, 0.1), SUPPORTED),
        ((0.04, 0.01, 0.1), UNDECIDED),
        ((0.04, -0.04, 0.1), FAILED),
        ((0.0, 0.0), UNDECIDED),
        ((-0.1,), FAILED),
        ((0.029,), UNDECIDED),
    ],
)
def test_easier_means_that_every_ratios_whole_interval_lies_above_what_matters(gains, expected):
    assert verdict("easier-on-generations", pairs(*gains)) == expected


@pytest.mark.parametrize(
    ("gained", "half", "change", "expected"),
    [
        (0.02, 0.009, Change.BETTER, SUPPORTED),
        (0.02, 0.011, Change.UNDECIDED, UNDECIDED),
        (0.005, 0.004, Change.NO_DIFFERENCE, FAILED),
        (0.0, 0.009, Change.NO_DIFFERENCE, FAILED),
        (0.0, 0.011, Change.UNDECIDED, UNDECIDED),
        (-0.005, 0.001, Change.NO_DIFFERENCE, FAILED),
        (-0.02, 0.009, Change.WORSE, FAILED),
    ],
)
def test_a_hundredth_is_the_smallest_difference_that_matters(gained, half, change, expected):
    """An interval wholly within it shows that nothing rose: as good as a fall against the claim."""
    rows = detection_pair(0.8, 0.8 + gained, half, ratio=0.1)
    (one,) = comparisons(rows)
    assert one.change() is change
    assert verdict("easier-on-generations", rows) == expected
    (found,) = (one for one in judge(rows) if one.claim.name == "easier-on-generations")
    assert ("(no difference: within ±0.01)" in found.evidence) == (change is Change.NO_DIFFERENCE)


def test_what_is_undefined_or_not_measured_is_not_tested():
    training, generation = detection_pair(0.8, None, ratio=0.1)
    assert verdict("easier-on-generations", [training, generation]) == NOT_TESTED
    (found,) = (one for one in judge([training]) if one.claim.name == "easier-on-generations")
    assert found.verdict == NOT_TESTED
    assert "the generations were not measured" in found.evidence
    assert verdict("easier-on-generations", [*pairs(-0.1), training]) == FAILED


def test_the_reason_for_an_undefined_difference_is_named():
    rows = detection_pair(0.8, None, ratio=0.1)
    (found,) = (one for one in judge(rows) if one.claim.name == "easier-on-generations")
    assert "undefined: the generations held no positives, or nothing else" in found.evidence


@pytest.mark.parametrize(("by_template_match", "expected"), [(0.04, SUPPORTED), (0.02, UNDECIDED)])
def test_the_template_match_has_a_claim_of_its_own(by_template_match, expected):
    rows = pairs(0.1, template_match=by_template_match)
    assert verdict("easier-by-template-match", rows) == expected
    assert verdict("easier-on-generations", rows) == SUPPORTED


def test_a_trigger_without_a_template_match_has_no_such_claim():
    assert "easier-by-template-match" not in {one.claim.name for one in judge(pairs(0.1))}


@pytest.mark.parametrize(
    ("gained", "equal", "expected"),
    [(0.1, 0.05, SUPPORTED), (0.1, 0.01, UNDECIDED), (0.1, -0.05, FAILED)],
)
def test_prevalence_is_asked_about_where_a_gain_was_found(gained, equal, expected):
    assert verdict("not-by-prevalence", pairs(gained, equal=equal)) == expected


def test_without_a_gain_there_is_nothing_that_prevalence_could_explain():
    names = {one.claim.name for one in judge(pairs(0.01, -0.1, equal=0.3))}
    assert "not-by-prevalence" not in names


@pytest.mark.parametrize(
    ("shift", "expected"), [(0.6, SUPPORTED), (0.51, UNDECIDED), (0.4, FAILED)]
)
def test_the_signature_is_enhanced_if_generated_poison_is_more_suspicious(shift, expected):
    rows = pairs(0.0, **bounded("poisoned_shift", shift))
    assert verdict("signature-enhanced", rows) == expected


def nulls(*intervals, planned=None):
    level = 1 - 0.05 / (planned or len(intervals))
    return [
        make_detection_row(
            "none",
            0.0,
            detector,
            image_set,
            auroc=(low + high) / 2,
            pretend_ratio=0.1,
            null_level=level,
            null_low=low,
            null_high=high,
        )
        for (low, high), (detector, image_set) in zip(
            intervals,
            [(name, images) for name in ("cd", "fct") for images in ("training", "generation")][
                : len(intervals)
            ],
            strict=True,
        )
    ]


@pytest.mark.parametrize(
    ("intervals", "planned", "expected"),
    [
        ([(0.4, 0.6), (0.45, 0.5)], None, SUPPORTED),
        ([(0.4, 0.6), (0.51, 0.6)], None, FAILED),
        ([(0.4, 0.6), (0.3, 0.49)], None, FAILED),
        ([(0.4, 0.6), (0.39, 0.55)], None, UNDECIDED),
        ([(0.45, 0.61)], None, UNDECIDED),
        ([(0.0, 1.0)], None, UNDECIDED),
        ([(0.39, 0.61), (0.51, 0.6)], None, FAILED),
        ([(0.4, 0.6)], 4, NOT_TESTED),
        ([(0.3, 0.4)], 4, FAILED),
    ],
)
def test_a_null_point_is_close_around_a_half_undecided_or_off(intervals, planned, expected):
    assert verdict("nothing-in-clean-data", nulls(*intervals, planned=planned)) == expected


def test_without_null_points_the_null_test_is_not_tested():
    assert verdict("nothing-in-clean-data", pairs(0.1)) == NOT_TESTED


def test_null_points_are_told_apart_in_as_few_words_as_it_takes():
    (found,) = judge(nulls((0.4, 0.6), (0.45, 0.55)))
    assert [part.evidence.partition(":")[0] for part in found.parts] == [
        "CD, training set",
        "CD, generations",
    ]


def test_few_positives_and_saturation_are_said():
    rows = pairs(0.1, n_positive=4)
    (found,) = (one for one in judge(rows) if one.claim.name == "easier-on-generations")
    assert "only 4 positives among the training images and only 4 positives among" in found.evidence
    rows = detection_pair(0.995, 0.999, ratio=0.1)
    (found,) = (one for one in judge(rows) if one.claim.name == "easier-on-generations")
    assert "leaves nothing to gain" in found.evidence


def test_claims_are_about_a_trigger_and_a_detector():
    rows = [*pairs(0.1), *pairs(-0.1, detector="fct"), *pairs(0.1, trigger="blend")]
    found = {
        (one.subject.trigger, one.subject.detector): one.verdict
        for one in judge(rows)
        if one.claim.name == "easier-on-generations"
    }
    assert found == {
        ("badnets1", "cd"): SUPPORTED,
        ("badnets1", "fct"): FAILED,
        ("blend", "cd"): SUPPORTED,
    }
    assert len({claim.name for claim in CLAIMS}) == len(CLAIMS)


def test_every_way_of_generating_is_a_part_and_named_where_there_are_several():
    rows = [*detection_pair(0.8, 0.9, ratio=0.1)]
    rows.append(detection_pair(0.8, 0.7, ratio=0.1, guidance_weight=2.0, sampler="ddpm")[1])
    (found,) = (one for one in judge(rows) if one.claim.name == "easier-on-generations")
    assert [part.verdict for part in found.parts] == [SUPPORTED, FAILED]
    assert found.parts[0].evidence.startswith("p = 10%, w = 5, DDIM: ")
    assert found.parts[1].evidence.startswith("p = 10%, w = 2, DDPM: ")
    # The paper's guidance comes first, whatever the order of the rows.
    assert [one.guidance_weight for one in samplings(rows[::-1])] == [5.0, 2.0]


def test_two_seeds_join_their_intervals_and_three_spread_over_seeds():
    # Half widths of 0.02 each: sqrt(0.02^2 + 0.02^2) / 2 = 0.0141.
    rows = [
        make_detection_row(auroc=value, seed=seed) for seed, value in enumerate((0.8, 0.9, 0.7))
    ]
    two, three = level_of(rows[:2], "auroc"), level_of(rows, "auroc")
    assert two.estimate.value == pytest.approx(0.85)
    assert two.estimate.low == pytest.approx(0.85 - 0.02 / 2**0.5)
    assert two.basis == "2 seeds"
    # Student's t of 2 degrees, 4.303, times a standard deviation of 0.1 over sqrt(3); no AUROC is
    # above 1.
    assert three.estimate.low == pytest.approx(0.8 - 4.3027 * 0.1 / 3**0.5, abs=1e-4)
    assert three.estimate.high == 1
    one = level_of(rows[:1], "auroc")
    assert (one.estimate.low, one.basis) == (pytest.approx(0.78), "1 seed")


def test_a_seed_without_positives_is_left_out_and_said():
    rows = [make_detection_row(auroc=0.8), make_detection_row(auroc=None, seed=1)]
    assert level_of(rows, "auroc").basis == "1 of 2 seeds"
    assert level_of(rows[1:], "auroc") is None


def test_null_points_and_clean_rows_are_no_comparisons():
    rows = [*nulls((0.4, 0.6)), make_detection_row("none", 0.0, auroc=None), *pairs(0.1)]
    assert [subject.trigger for subject in detections(rows)] == ["badnets1"]
    assert len(comparisons(rows)) == 1
    assert len(null_points(rows).rows) == 1


def test_detectors_come_in_the_papers_order_and_unknown_ones_after_them():
    rows = [row for name in ("mine", "fct", "cd", "strip") for row in pairs(0.1, detector=name)]
    assert [one.detector for one in detections(rows)] == ["cd", "strip", "fct", "mine"]


def test_the_reported_generations_are_those_of_the_scales_own_paper_guidance():
    # The authors' "5" on CIFAR10 is 6 in our convention; 11 would be the highest weight.
    rows = [
        make_detection_row(image_set="generation", guidance_weight=weight, paper_guidance=6.0)
        for weight in (2.0, 6.0, 11.0)
    ]
    assert [one.guidance_weight for one in samplings(rows)] == [6.0, 11.0, 2.0]
