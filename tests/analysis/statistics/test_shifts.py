"""Two image sets whose suspicions are made up, so that what moved is known."""

from math import sqrt

import numpy as np
import pytest

from analysis.statistics.shifts import (
    Scores,
    against_training,
    at_equal_prevalence,
    by_template_match,
    detection,
)


def width(estimate):
    return estimate.high - estimate.low


def gaussian(seed, positives, negatives, distance):
    rng = np.random.default_rng(seed)
    return Scores(rng.normal(distance, 1, positives), rng.normal(0, 1, negatives))


@pytest.fixture
def training():
    return gaussian(1, 60, 300, 0.5)


@pytest.fixture
def generation():
    return gaussian(2, 120, 240, 1.0)


class TestAgainstTraining:
    def test_by_hand(self):
        """Of the poisoned one of two rises above all, of the clean one of two falls below all."""
        found = against_training(
            Scores(np.array([9.0, 3]), np.array([2.0, 0])),
            Scores(np.array([3.0, 4]), np.array([2.0, 5])),
        )
        values = {name: estimate.value for name, estimate in found.items()}
        assert values == {
            "training_auroc": 2 / 4,
            "auroc_gain": 4 / 4 - 2 / 4,
            "poisoned_shift": 2.5 / 4,
            "clean_shift": 0.5 / 4,
            "auroc_poisoned_moved": 3 / 4,
            "auroc_clean_moved": 4 / 4,
        }

    def test_without_poison_only_what_needs_none_is_there(self, training):
        clean = Scores(np.empty(0), training.negative)
        found = against_training(clean, training)
        there = {name for name, estimate in found.items() if estimate is not None}
        assert there == {"training_auroc", "clean_shift", "auroc_clean_moved"}
        assert set(against_training(Scores.none(), Scores.none()).values()) == {None}


class TestEqualPrevalence:
    def test_fewer_positives_widen_the_interval_and_move_nothing(self, generation):
        """From 120 of 360 to 6 of 246: 2.44 %, the prevalence of 3 beside 120."""
        share, found = at_equal_prevalence(generation, gaussian(3, 3, 120, 0))
        assert share == 3 / 123
        whole = detection(generation)["auroc"]
        few = found["equal_prevalence_auroc"]
        assert few.value == whole.value
        assert width(few) == pytest.approx(width(whole) * sqrt(120 / 6), rel=0.35)

    def test_without_one_kind_of_image_there_is_none(self, training):
        clean = Scores(np.empty(0), training.negative)
        for sets in ((clean, training), (training, clean), (Scores.none(), Scores.none())):
            share, found = at_equal_prevalence(*sets)
            assert share is None
            assert set(found.values()) == {None}


class TestTemplateMatch:
    def test_who_agrees_with_the_judge_changes_nothing(self, training, generation):
        scores = np.concatenate([generation.positive, generation.negative])
        judged = np.arange(360) < 120
        found = by_template_match(scores, judged, judged, training)
        assert found["template_auroc"] == generation.area
        difference = found["judge_minus_template_auroc"]
        assert difference.low < difference.value == 0 < difference.high

    def test_by_hand(self):
        """Template matching misses the judge's image that the detector suspects least."""
        scores = np.array([0.0, 1, 2, 3])
        judged, template_matched = np.array([0, 1, 0, 1], bool), np.array([0, 0, 0, 1], bool)
        training = Scores(np.array([1.0]), np.array([0.0, 2]))
        found = by_template_match(scores, judged, template_matched, training)
        values = {name: estimate.value for name, estimate in found.items()}
        assert values == {
            "template_auroc": 1,
            "template_auroc_gain": 1 / 2,
            "judge_minus_template_auroc": 3 / 4 - 1,
        }

    def test_who_sees_nothing_leaves_no_numbers(self, training):
        flags = np.zeros(9, bool)
        found = by_template_match(np.arange(9.0), np.arange(9) > 4, flags, training)
        assert set(found.values()) == {None}


def test_rates_at_few_false_alarms_are_counted_by_hand():
    """Of 100 negatives 0..99 one may be flagged at 1 %: from 99 on; at 5 % from 95 on."""
    scores = Scores(np.array([99.5, 98.5, 95.5, 94.5]), np.arange(100.0))
    found = detection(scores)
    values = {name: estimate.value for name, estimate in found.items()}
    assert values == {
        "auroc": pytest.approx((100 + 99 + 96 + 95) / 400),
        "tpr_at_1pct_fpr": 2 / 4,
        "tpr_at_5pct_fpr": 4 / 4,
    }
    assert set(detection(Scores.none()).values()) == {None}


def test_scores_are_split_by_their_flags():
    scores = Scores.split(np.array([1.0, 2, 3, 4]), np.array([False, True, False, False]))
    assert (scores.positive.tolist(), scores.negative.tolist()) == ([2], [1, 3, 4])
    assert scores.prevalence == 1 / 4
    assert Scores.none().prevalence is None
