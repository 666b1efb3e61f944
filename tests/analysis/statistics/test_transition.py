from math import exp, inf, log, sqrt

import pytest

from analysis.statistics.intervals import Estimate, proportion
from analysis.statistics.transition import amplification_row, first_crossing, transition

RATIOS = (0.01, 0.02, 0.05, 0.1)


def test_amplification_of_the_papers_figure_2():
    row = amplification_row(Estimate(0.734, 0.706, 0.760), 0.496)
    assert row["amplification"].value == pytest.approx(1.48, abs=0.005)
    assert row["amplification"].low == pytest.approx(0.706 / 0.496)
    assert row["amplification_difference"].value == pytest.approx(0.238)


def test_amplification_is_empty_where_nothing_was_stamped():
    row = amplification_row(proportion(3, 500), 0.0)
    assert row["amplification"] is None
    assert row["amplification_difference"].value == 0.006
    with pytest.raises(ValueError, match="fraction"):
        amplification_row(proportion(3, 500), 49.6)


@pytest.mark.parametrize(
    ("curve", "expected"),
    [
        ([-1, -1, 1, 2], sqrt(0.02 * 0.05)),  # halfway in log p
        ([-3, -1, 3, 2], exp(log(0.02) + 0.25 * log(0.05 / 0.02))),
        ([-1, 0, 1, 1], 0.02),
        ([0, -1, -1, -1], 0.01),
        ([5, -1, 1, 1], 0.01),
        ([-1, -1, -1, -0.1], inf),
        ([-1, 1, -1, 1], sqrt(0.01 * 0.02)),  # the first of two
    ],
)
def test_first_crossing_is_linear_in_log_p(curve, expected):
    assert first_crossing(RATIOS, curve) == pytest.approx(expected)


def _curve(row, g1_by_ratio, g2=100, seeds=(0,)):
    return [
        row("badnets1", ratio, 2.0, (g1, g2, 0, 500 - g1 - g2), p_t=0.2, seed=seed)
        for seed in seeds
        for ratio, g1 in g1_by_ratio.items()
    ]


def test_both_transitions_are_located(row):
    found = transition(_curve(row, {0.01: 50, 0.1: 150}, g2=125))
    assert found.gap.value == pytest.approx(sqrt(0.001))
    assert found.dominance.value == pytest.approx(0.01 * 10**0.75)


@pytest.mark.parametrize("seeds", [(0,), (0, 1)])
def test_fewer_than_three_seeds_leave_no_interval(row, seeds):
    found = transition(_curve(row, {0.01: 50, 0.1: 150}, g2=125, seeds=seeds))
    assert found.seeds == len(seeds)
    assert found.gap.interval is None
    assert found.dominance.interval is None


def test_the_interval_is_where_students_bounds_cross(row):
    """Three seeds count 40, 50, 60 of 500 at 1 % and 140, 150, 160 at 10 %, against p_t = 20 %.

    Means are -10 and +10 points, sd 2: t = 4.3027, so give or take 4.968 points; the bounds cross
    at (10 - 4.968) / 20 and (10 + 4.968) / 20 of the way in log p.
    """
    rows = [
        one
        for seed, more in enumerate((-10, 0, 10))
        for one in _curve(row, {0.01: 50 + more, 0.1: 150 + more}, seeds=(seed,))
    ]
    found = transition(rows)
    half = 4.302652729911275 * 0.02 / sqrt(3)
    places = [(0.1 - half) / 0.2, (0.1 + half) / 0.2]
    assert found.seeds == 3
    assert found.gap.interval == pytest.approx([0.01 * 10**place for place in places])


def test_a_seed_that_lacks_a_ratio_does_not_count_as_one(row):
    rows = _curve(row, {0.01: 50, 0.1: 150}, seeds=(0, 1, 2))[:-1]
    assert transition(rows).seeds == 2
    assert transition(rows).gap.interval is None


def test_no_crossing_is_infinite_and_may_lie_above_all_ratios(row):
    found = transition(_curve(row, {0.01: 1, 0.1: 3}, g2=200, seeds=(0, 1, 2))).gap
    assert found.value == inf
    assert found.interval == (inf, inf)


def test_a_curve_above_zero_from_the_start_says_so(row):
    found = transition(_curve(row, {0.01: 300, 0.1: 20}, g2=0)).gap
    assert (found.value, found.at_first, found.falls_back) == (0.01, True, True)


def test_one_ratio_or_only_controls_have_no_transition(row):
    assert transition(_curve(row, {0.01: 50})) is None
    assert transition([row("none", 0.0, 2.0)]) is None
