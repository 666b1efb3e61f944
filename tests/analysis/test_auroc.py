from math import exp, sqrt
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import settings as effort
from hypothesis import strategies as st
from sklearn import metrics

from analysis.auroc import (
    area,
    auroc,
    bootstrap,
    detection_rate,
    difference_of_labelings,
    generator,
    roc_curve,
    tpr_at,
)
from analysis.intervals import percentile_interval

# Few distinct numbers, so that most are tied, and as floats, as detectors give them.
suspicions = st.lists(st.integers(-6, 6), min_size=1, max_size=40).map(
    lambda numbers: np.array(numbers, dtype=np.float64)
)
NOBODY = np.empty(0)


def by_scikit_learn(positive, negative):
    labels = np.repeat([1, 0], [len(positive), len(negative)])
    return metrics.roc_auc_score(labels, np.concatenate([positive, negative]))


def drawn_alone(positive, negative, *, seed=0, resamples=500, statistic=area):
    groups = {"positive": positive, "negative": negative}
    asked = {"it": (statistic, "positive", "negative")}
    return bootstrap(groups, asked, seed=seed, resamples=resamples)["it"]


class TestNumbers:
    def test_ties_count_half(self):
        """3 beats 2 and 1; each 2 beats the 1 and ties with the 2: 2 + 2 * 1.5 of 6 pairs."""
        assert auroc(np.array([3.0, 2, 2]), np.array([2.0, 1])) == 5 / 6

    @given(suspicions, suspicions)
    def test_auroc_is_scikit_learns(self, positive, negative):
        expected = by_scikit_learn(positive, negative)
        assert auroc(positive, negative) == pytest.approx(expected, abs=1e-12)

    @given(suspicions, suspicions)
    def test_the_other_way_around_it_is_one_minus(self, positive, negative):
        expected = pytest.approx(1 - auroc(positive, negative), abs=1e-15)
        assert auroc(-positive, -negative) == expected
        assert auroc(negative, positive) == expected

    @given(suspicions, suspicions)
    def test_the_curve_is_scikit_learns_and_its_area_is_auroc(self, positive, negative):
        false, true = roc_curve(positive, negative)
        labels = np.repeat([1, 0], [len(positive), len(negative)])
        scores = np.concatenate([positive, negative])
        expected = metrics.roc_curve(labels, scores, drop_intermediate=False)
        np.testing.assert_allclose((false, true), expected[:2], atol=1e-15)
        assert (false[0], true[0], false[-1], true[-1]) == (0, 0, 1, 1)
        assert np.trapezoid(true, false) == pytest.approx(auroc(positive, negative), abs=1e-12)

    def test_on_a_curve_ties_move_together(self):
        false, true = roc_curve(np.array([2.0, 1, 1]), np.array([1.0, 0]))
        assert false.tolist() == [0, 0, 1 / 2, 1]
        assert true.tolist() == [0, 1 / 3, 1, 1]

    def test_a_rate_is_reached_by_a_threshold_or_not_at_all(self):
        """Negatives 9, 5, 5, 1: flagging from 9 costs 1/4, from 5 it costs 3/4.

        Positives 9, 7, 5, 5, 0: flagging from 9 finds one, from 7 two, from 5 four.
        """
        positive, negative = np.array([9.0, 7, 5, 5, 0]), np.array([9.0, 5, 5, 1])
        found = [tpr_at(fpr, positive, negative) for fpr in (0, 0.24, 0.25, 0.74, 0.75, 1)]
        assert found == [0, 0, 2 / 5, 2 / 5, 4 / 5, 1]

    @given(suspicions, suspicions, st.sampled_from([0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0]))
    def test_a_rate_is_the_best_of_all_thresholds(self, positive, negative, fpr):
        thresholds = [np.inf, *positive, *negative]
        allowed = [(positive >= t).mean() for t in thresholds if (negative >= t).mean() <= fpr]
        assert tpr_at(fpr, positive, negative) == pytest.approx(max(allowed), abs=1e-15)

    def test_a_rate_that_is_a_whole_number_of_images_is_allowed(self):
        """29 of 100 are 29 %, though 0.29 * 100 is 28.999999999999996."""
        negative = np.arange(100.0)
        assert tpr_at(0.29, np.array([71.0, 70.5, 70.0]), negative) == 2 / 3

    @given(suspicions, suspicions)
    def test_only_the_order_counts(self, positive, negative):
        curve = roc_curve(positive, negative)
        for transform in (lambda x: np.exp(x / 3), lambda x: x**3 - 7):
            moved = transform(positive), transform(negative)
            assert auroc(*moved) == auroc(positive, negative)
            assert tpr_at(0.05, *moved) == tpr_at(0.05, positive, negative)
            np.testing.assert_array_equal(roc_curve(*moved), curve)

    def test_without_one_kind_of_image_there_is_no_number(self):
        for kinds in ((NOBODY, np.ones(3)), (np.ones(3), NOBODY), (NOBODY, NOBODY)):
            assert auroc(*kinds) is None
            assert tpr_at(0.05, *kinds) is None
            with pytest.raises(ValueError, match="needs images of both kinds"):
                roc_curve(*kinds)

    def test_what_has_no_order_is_refused(self):
        for number in (auroc, roc_curve, drawn_alone):
            with pytest.raises(ValueError, match="got NaN"):
                number(np.array([1.0, np.nan]), np.zeros(2))
        assert auroc(np.array([np.inf]), np.array([-np.inf, np.inf])) == 0.75


class TestBootstrap:
    def test_a_resample_is_what_scikit_learn_says_of_its_images(self):
        """2500 resamples of 600 distinct suspicions are more than are held at once."""
        rng = np.random.default_rng(0)
        positive, negative = rng.normal(1, 1, 100), rng.normal(0, 1, 500)
        positive[:20] = negative[:20]
        found = drawn_alone(positive, negative, seed=3, resamples=2500)
        at_five = drawn_alone(
            positive, negative, seed=3, resamples=2500, statistic=detection_rate(0.05)
        )
        of_positive = generator(3, "positive").integers(100, size=(2500, 100))
        of_negative = generator(3, "negative").integers(500, size=(2500, 500))
        for i in (0, 1, 1746, 1747, 1748, 2499):
            drawn = positive[of_positive[i]], negative[of_negative[i]]
            assert found.replicates[i] == pytest.approx(by_scikit_learn(*drawn), abs=1e-12)
            assert at_five.replicates[i] == tpr_at(0.05, *drawn)
        assert found.value == auroc(positive, negative)

    @given(suspicions, suspicions)
    @effort(max_examples=20)
    def test_only_the_order_counts(self, positive, negative):
        found = drawn_alone(positive, negative, resamples=20)
        moved = drawn_alone(np.exp(positive), np.exp(negative), resamples=20)
        np.testing.assert_array_equal(found.replicates, moved.replicates)

    def test_it_covers_the_truth_of_two_gaussians_about_as_often_as_it_says(self):
        """Of unit variance and d apart: P(positive > negative) = Phi(d / sqrt 2)."""
        truth = NormalDist().cdf(1 / sqrt(2))
        rng = np.random.default_rng(0)
        covered = []
        for seed in range(300):
            found = drawn_alone(rng.normal(1, 1, 50), rng.normal(0, 1, 80), seed=seed)
            estimate = found.estimate()
            covered.append(estimate.low <= truth <= estimate.high)
        assert 0.91 <= np.mean(covered) <= 0.98

    def test_it_spreads_as_far_as_the_number_does_from_sample_to_sample(self):
        rng = np.random.default_rng(0)
        samples = [(rng.normal(1, 1, 200), rng.normal(0, 1, 400)) for _ in range(500)]
        spread = np.std([auroc(*sample) for sample in samples])
        found = drawn_alone(*samples[0], resamples=1000)
        assert np.std(found.replicates) == pytest.approx(spread, rel=0.15)

    def test_what_is_wholly_separated_stays_so(self):
        estimate = drawn_alone(np.array([3.0, 4]), np.array([1.0, 2])).estimate()
        assert (estimate.value, estimate.low, estimate.high) == (1, 1, 1)
        estimate = drawn_alone(np.array([1.0, 2]), np.array([3.0, 4])).estimate()
        assert (estimate.value, estimate.low, estimate.high) == (0, 0, 0)

    def test_a_group_draws_the_same_in_whatever_company(self):
        rng = np.random.default_rng(0)
        groups = {name: rng.normal(0, 1, 60) for name in ("positive", "negative", "a", "z")}
        asked = {"it": (area, "positive", "negative"), "other": (area, "a", "z")}
        together = bootstrap(groups, asked, seed=1, resamples=50)["it"]
        alone = drawn_alone(groups["positive"], groups["negative"], seed=1, resamples=50)
        np.testing.assert_array_equal(together.replicates, alone.replicates)

    def test_groups_do_not_share_their_draws(self):
        """The same images under two names: resamples differ, so their AUROC is not always 1/2."""
        scores = np.arange(50.0)
        found = drawn_alone(scores, scores)
        assert found.value == 0.5
        assert np.std(found.replicates) == pytest.approx(sqrt(101 / (12 * 2500)), rel=0.15)

    def test_fewer_images_can_be_drawn(self):
        """One of each: AUROC is 0, 1/2 or 1, and 1 as often as a pair is in order."""
        groups = {"positive": np.array([1.0, 3, 3]), "negative": np.array([0.0, 2])}
        found = bootstrap(
            groups,
            {"it": (area, "positive", "negative")},
            seed=0,
            resamples=6000,
            sizes={"positive": 1, "negative": 1},
        )["it"]
        assert set(found.replicates) == {0, 1}
        assert found.replicates.mean() == pytest.approx(5 / 6, abs=0.02)

    def test_without_a_group_there_is_no_number(self):
        asked = {"one": (area, "a", "b"), "none": (area, "a", "nobody")}
        groups = {"a": np.ones(2), "b": np.zeros(2), "nobody": NOBODY}
        found = bootstrap(groups, asked, seed=0, resamples=5)
        assert found["none"] is None
        assert found["one"].value == 1
        assert bootstrap(groups, {"none": asked["none"]}, seed=0, resamples=5) == {"none": None}

    def test_no_resamples_are_refused(self):
        with pytest.raises(ValueError, match="at least one resample, got 0"):
            drawn_alone(np.ones(2), np.zeros(2), resamples=0)

    def test_many_ties_among_many_images_are_not_held_at_once(self):
        """Two distinct suspicions: by these alone half a million resamples would fit."""
        scores = np.repeat([0.0, 1.0], 50_000)
        found = drawn_alone(scores, scores, resamples=30)
        assert found.replicates.shape == (30,)
        assert np.abs(found.replicates - 0.5).max() < 0.02


class TestTwoLabelings:
    def test_a_resample_takes_both_labels_along(self):
        rng = np.random.default_rng(0)
        scores = rng.integers(0, 9, 40).astype(float)
        first, second = scores + rng.normal(0, 2, 40) > 5, scores + rng.normal(0, 4, 40) > 5
        found = difference_of_labelings(scores, first, second, seed=0, resamples=400)

        def compare(rows):
            kinds = [
                (scores[rows][flags[rows]], scores[rows][~flags[rows]]) for flags in (first, second)
            ]
            return auroc(*kinds[0]) - auroc(*kinds[1])

        drawn = generator(0, "labelings").integers(40, size=(400, 40))
        low, high = percentile_interval(np.array([compare(rows) for rows in drawn]))
        assert found.value == pytest.approx(compare(np.arange(40)), abs=1e-12)
        assert (found.low, found.high) == pytest.approx((low, high), abs=1e-12)

    def test_a_labeling_differs_from_itself_by_nothing(self):
        scores, flags = np.arange(20.0), np.arange(20) % 3 == 0
        found = difference_of_labelings(scores, flags, flags, seed=0, resamples=100)
        assert (found.value, found.low, found.high) == (0, 0, 0)

    def test_paired_they_are_closer_than_apart(self):
        """Labels that agree but for one image: most of the chance is common to both."""
        rng = np.random.default_rng(0)
        flags = np.arange(200) < 60
        scores = rng.normal(0, 1, 200) + flags
        other = flags.copy()
        other[59] = False
        paired = difference_of_labelings(scores, flags, other, seed=0, resamples=500)
        alone = drawn_alone(scores[flags], scores[~flags]).estimate()
        assert paired.high - paired.low < 0.5 * (alone.high - alone.low)
        assert paired.low <= paired.value <= paired.high

    def test_resamples_without_a_class_are_left_out(self):
        """One positive of four: (3/4)^4 of the resamples lack it; in the rest it is always on top.

        The second labeling has all but the lowest as positives.
        """
        scores = np.array([0.0, 1, 2, 3])
        first, second = scores == 3, scores > 0
        found = difference_of_labelings(scores, first, second, seed=0, resamples=300)
        assert (found.value, found.low, found.high) == (0, 0, 0)
        nobody = difference_of_labelings(scores, first, scores > 9, seed=0, resamples=300)
        assert nobody is None
        empty = np.zeros(0, dtype=bool)
        assert difference_of_labelings(NOBODY, empty, empty, seed=0, resamples=300) is None

    def test_if_every_resample_lacks_one_there_is_no_interval(self):
        two, flags = np.array([0.0, 1]), np.array([False, True])
        seed = next(
            seed
            for seed in range(100)
            if len(set(generator(seed, "labelings").integers(2, size=2).tolist())) == 1
        )
        assert difference_of_labelings(two, flags, flags, seed=seed, resamples=1) is None


@given(suspicions, suspicions, st.integers(0, 5))
@effort(max_examples=30)
def test_a_number_lies_in_its_interval(positive, negative, seed):
    assume(len(positive) > 1)
    for statistic in (area, detection_rate(0.05)):
        found = drawn_alone(positive, negative, seed=seed, resamples=30, statistic=statistic)
        estimate = found.estimate()
        assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1


def test_a_difference_is_taken_resample_by_resample():
    one, other = (
        drawn_alone(np.array([1.0, exp(1)]), np.array([0.0, 2]), seed=seed) for seed in (0, 1)
    )
    np.testing.assert_array_equal(
        one.minus(other).replicates, np.subtract(one.replicates, other.replicates)
    )
    assert one.minus(one).estimate().high == 0
