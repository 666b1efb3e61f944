from math import exp, inf, log, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom

from analysis.statistics.intervals import (
    Estimate,
    difference_of_proportions,
    difference_of_shares,
    mean_of_independent,
    mean_over_seeds,
    proportion,
    ratio_of_proportions,
    score,
    wilson,
)

Z = 1.959963984540054


@given(n=st.integers(1, 5000), share=st.floats(0, 1))
def test_wilsons_bounds_solve_the_score_equation(n, share):
    count = round(share * n)
    for bound in score(count / n, n):
        assert (count / n - bound) ** 2 == pytest.approx(Z**2 * bound * (1 - bound) / n, abs=1e-12)


def test_wilson_agrees_with_the_published_example():
    # Newcombe 1998, table I: 81 of 263, and 0 of 20.
    assert wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)


@pytest.mark.parametrize("n", [20, 140, 500])
def test_wilson_covers_every_share_however_rare(n):
    """Exactly, by the binomial: Wilson's own bounds hold a share of 0.18 / n in 84 %."""
    bounds = np.array([wilson(count, n) for count in range(n + 1)])
    for share in np.concatenate([np.linspace(0.02, 6, 300) / n, np.linspace(0.01, 0.99, 99)]):
        chances = binom.pmf(np.arange(n + 1), n, share)
        held = (bounds[:, 0] <= share) & (share <= bounds[:, 1])
        assert chances[held].sum() >= 0.917, share


def test_rare_counts_are_bounded_by_poissons_limits():
    """Half the 5 % points of chi-squared with 2, 4 and 6 degrees: 0.0513, 0.3554 and 0.8177."""
    lows = [wilson(count, 500)[0] * 500 for count in (1, 2, 3)]
    assert lows == pytest.approx([0.0513, 0.3554, 0.8177], abs=5e-5)
    assert wilson(498, 500)[1] == pytest.approx(1 - 0.3554 / 500, abs=1e-6)


@pytest.mark.parametrize(("count", "n"), [(0, 0), (-1, 5), (6, 5)])
def test_a_count_that_is_none_is_refused(count, n):
    with pytest.raises(ValueError, match=r"image|count"):
        wilson(count, n)


def test_a_coverage_of_ninety_five_is_refused_with_what_to_type():
    with pytest.raises(ValueError, match=r"try 0\.95"):
        wilson(1, 2, level=95)


def test_difference_agrees_with_newcombe():
    # Newcombe 1998 (two samples), table II, method 10: 56/70 - 48/80.
    found = difference_of_proportions(56, 70, 48, 80)
    assert (found.low, found.high) == pytest.approx((0.0524, 0.3339), abs=5e-5)


@given(st.integers(0, 300), st.integers(0, 300), st.integers(600, 900))
def test_difference_of_shares_is_antisymmetric_and_contains_its_value(first, second, n):
    there, back = difference_of_shares(first, second, n), difference_of_shares(second, first, n)
    assert there.low <= there.value <= there.high
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low))


def test_ratio_is_the_log_interval_with_half_a_count():
    found = ratio_of_proportions(134, 500, 3, 500)
    half = Z * sqrt(1 / 134.5 - 1 / 500.5 + 1 / 3.5 - 1 / 500.5)
    middle = log(134.5 / 3.5)
    assert found.value == pytest.approx(134 / 3)
    assert (found.low, found.high) == pytest.approx((exp(middle - half), exp(middle + half)))


def test_ratio_over_nothing_is_infinite_with_a_finite_lower_bound():
    found = ratio_of_proportions(50, 500, 0, 500)
    assert found.value == found.high == inf
    assert 5 < found.low < 50


def test_seeds_give_students_interval():
    found = mean_over_seeds([Estimate(value, value - 0.5, value + 0.5) for value in (1, 2, 3)])
    assert found.value == 2
    assert found.high - 2 == 2 - found.low == pytest.approx(4.302652729911275 / sqrt(3))
    with pytest.raises(ValueError, match="two values or seeds"):
        mean_over_seeds([proportion(1, 2)])


def test_seeds_that_agree_keep_the_width_of_their_own_intervals():
    found = mean_over_seeds([proportion(count, 100) for count in (100, 100, 100)])
    assert found == proportion(100, 100)
    uneven = mean_over_seeds([Estimate(0.5, 0.3, 0.6), Estimate(0.5, 0.4, 0.9)])
    assert (uneven.low, uneven.high) == pytest.approx((0.5 - 0.15, 0.5 + 0.25))


def test_the_mean_of_independent_estimates_joins_their_distances_as_standard_errors():
    # Two means of the same normal: bounds 3 and 4 below give 5 / 2, 1 and 1 above sqrt(2) / 2.
    found = mean_of_independent([Estimate(10.0, 7.0, 11.0), Estimate(20.0, 16.0, 21.0)])
    assert found.value == 15.0
    assert found.low == 12.5
    assert found.high == pytest.approx(15 + 2**0.5 / 2)
    alone = Estimate(0.9, 0.8, 0.95)
    joined = mean_of_independent([alone])
    assert (joined.value, joined.low, joined.high) == pytest.approx((0.9, 0.8, 0.95))
