from math import sqrt
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics

from analysis.statistics.auroc import auroc, difference_of_labelings, roc_curve, tpr_at
from analysis.statistics.intervals import difference, wilson

# Few distinct numbers, so that most are tied, and as floats, as detectors give them.
suspicions = st.lists(st.integers(-6, 6), min_size=1, max_size=40).map(
    lambda numbers: np.array(numbers, dtype=np.float64)
)
NOBODY = np.empty(0)


class TestNumbers:
    def test_ties_count_half(self):
        """3 beats 2 and 1; each 2 beats the 1 and ties with the 2: 2 + 2 * 1.5 of 6 pairs."""
        assert auroc(np.array([3.0, 2, 2]), np.array([2.0, 1])).value == 5 / 6

    @given(suspicions, suspicions)
    def test_the_curve_is_scikit_learns_and_its_area_is_auroc(self, positive, negative):
        false, true = roc_curve(positive, negative)
        labels = np.repeat([1, 0], [len(positive), len(negative)])
        scores = np.concatenate([positive, negative])
        expected = metrics.roc_curve(labels, scores, drop_intermediate=False)
        np.testing.assert_allclose((false, true), expected[:2], atol=1e-15)
        assert (false[0], true[0], false[-1], true[-1]) == (0, 0, 1, 1)
        assert np.trapezoid(true, false) == pytest.approx(
            auroc(positive, negative).value, abs=1e-12
        )

    def test_a_rate_is_reached_by_a_threshold_or_not_at_all(self):
        """Negatives 9, 5, 5, 1: flagging from 9 costs 1/4, from 5 it costs 3/4.

        Positives 9, 7, 5, 5, 0: flagging from 9 finds one, from 7 two, from 5 four.
        """
        positive, negative = np.array([9.0, 7, 5, 5, 0]), np.array([9.0, 5, 5, 1])
        found = [tpr_at(fpr, positive, negative).value for fpr in (0, 0.24, 0.25, 0.74, 0.75, 1)]
        assert found == [0, 0, 2 / 5, 2 / 5, 4 / 5, 1]

    @given(suspicions, suspicions, st.sampled_from([0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 1.0]))
    def test_a_rate_is_the_best_of_all_thresholds(self, positive, negative, fpr):
        thresholds = [np.inf, *positive, *negative]
        allowed = [(positive >= t).mean() for t in thresholds if (negative >= t).mean() <= fpr]
        assert tpr_at(fpr, positive, negative).value == pytest.approx(max(allowed), abs=1e-15)

    def test_a_rate_that_is_a_whole_number_of_images_is_allowed(self):
        """29 of 100 are 29 %, though 0.29 * 100 is 28.999999999999996."""
        negative = np.arange(100.0)
        assert tpr_at(0.29, np.array([71.0, 70.5, 70.0]), negative).value == 2 / 3

    def test_without_one_kind_of_image_there_is_no_number(self):
        for kinds in ((NOBODY, np.ones(3)), (np.ones(3), NOBODY), (NOBODY, NOBODY)):
            assert auroc(*kinds) is None
            assert tpr_at(0.05, *kinds) is None
            with pytest.raises(ValueError, match="needs images of both kinds"):
                roc_curve(*kinds)

    def test_what_has_no_order_is_refused(self):
        for number in (auroc, roc_curve, lambda *kinds: tpr_at(0.1, *kinds)):
            with pytest.raises(ValueError, match="got NaN"):
                number(np.array([1.0, np.nan]), np.zeros(2))
        assert auroc(np.array([np.inf]), np.array([-np.inf, np.inf])).value == 0.75


def binormal(rng, positives, negatives, area):
    distance = sqrt(2) * NormalDist().inv_cdf(area)
    return rng.normal(distance, 1, positives), rng.normal(0, 1, negatives)


def delong(positive, negative):
    """DeLong's variance (1988), from the matrix of all pairs."""
    pairs = np.subtract.outer(positive, negative)
    wins = (pairs > 0) + (pairs == 0) / 2
    return sum(wins.mean(axis=axis).var(ddof=1) / len(wins.mean(axis=axis)) for axis in (0, 1))


class TestInterval:
    def test_of_many_images_it_is_delongs(self):
        positive, negative = binormal(np.random.default_rng(0), 600, 900, 0.8)
        found = auroc(positive, negative)
        half = NormalDist().inv_cdf(0.975) * sqrt(delong(positive, negative))
        assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.01)

    def test_of_chance_it_is_as_wide_as_the_rank_sum_varies(self):
        """Of U / (P N), where only chance is: variance (P + N + 1) / (12 P N)."""
        scores = np.random.default_rng(1).normal(size=1000)
        spread = sqrt(1001 / (12 * 200 * 800))
        for level in (0.9, 0.95, 0.997):
            found = auroc(scores[:200], scores[200:], level)
            expected = 2 * NormalDist().inv_cdf((1 + level) / 2) * spread
            assert found.high - found.low == pytest.approx(expected, rel=0.05)

    @pytest.mark.parametrize("positives", [1, 14, 140])
    def test_a_perfect_order_is_bounded_like_as_many_images_without_an_error(self, positives):
        found = auroc(np.arange(positives) + 2000.0, np.arange(1400.0))
        assert (found.value, found.high) == (1, 1)
        # Wilson's of n successes in n is n / (n + z^2); the negatives count for a little.
        z = NormalDist().inv_cdf(0.975)
        alone = positives / (positives + z**2)
        assert 0.99 * alone < found.low < alone

    def test_one_image_out_of_order_is_no_certainty(self):
        """A loss of 0.001 at 14 positives was "worse" while a perfect order had no width."""
        negative = np.arange(1400.0)
        before = auroc(np.full(14, 1400.0), negative)
        after = auroc(np.append(np.full(13, 1400.0), 1380.5), negative)
        loss = difference(after, before)
        assert loss.value == pytest.approx(-19 / (14 * 1400))
        assert loss.low < -0.1
        assert loss.high > 0

    def test_fewer_positives_are_bounded_as_so_many(self):
        positive, negative = binormal(np.random.default_rng(2), 400, 4000, 0.8)
        whole, few = auroc(positive, negative), auroc(positive, negative, positives=25)
        assert few.value == whole.value
        assert few.high - few.low == pytest.approx(4 * (whole.high - whole.low), rel=0.1)


class TestRateInterval:
    def test_it_reaches_from_wilsons_at_fewer_to_wilsons_at_more_false_positives(self):
        """Of 400 negatives 5 % are 20, give or take 1.96 sqrt(400 * 0.05 * 0.95) = 8.5."""
        negative, positive = np.arange(400.0), np.arange(361.5, 400, 2)
        found = tpr_at(0.05, positive, negative)
        # At most 11, 20 and 28 negatives: from 389.5, 379.5 and 371.5 on, to 399.5, every other.
        assert found.value == 11 / 20
        assert found.low == pytest.approx(wilson(6, 20)[0])
        assert found.high == pytest.approx(wilson(15, 20)[1])


class TestLabelings:
    def test_who_agrees_throughout_differs_by_nothing_but_not_for_certain(self):
        scores = np.random.default_rng(0).normal(size=600)
        flags = scores + np.random.default_rng(1).normal(size=600) > 0
        found = difference_of_labelings(scores, flags, flags)
        own = auroc(scores[flags], scores[~flags])
        assert found.value == 0
        assert found.low < 0 < found.high
        assert found.high - found.low < 0.35 * (own.high - own.low)

    def test_without_one_kind_of_image_there_is_none(self):
        scores, nobody = np.arange(4.0), np.zeros(4, bool)
        assert difference_of_labelings(scores, nobody, scores > 2) is None
        assert difference_of_labelings(scores, scores > 2, ~nobody) is None
        empty = np.zeros(0, bool)
        assert difference_of_labelings(NOBODY, empty, empty) is None
