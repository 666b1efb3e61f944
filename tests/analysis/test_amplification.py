from math import exp, log, sqrt

import numpy as np
import pytest

from analysis.amplification import amplification_row, first_crossing, transition
from analysis.intervals import Estimate, proportion
from analysis.paper import DASHED_LINES, PUBLISHED, guidance_sweep

RATIOS = np.array([0.01, 0.02, 0.05, 0.1])


def test_amplification_of_the_papers_figure_2():
    row = amplification_row(Estimate(0.734, 0.706, 0.760), 0.496)
    assert row["amplification"] == pytest.approx(1.48, abs=0.005)
    assert row["amplification_difference"] == pytest.approx(0.238)
    assert row["amplification_low"] == pytest.approx(0.706 / 0.496)


def test_amplification_is_empty_where_nothing_was_stamped():
    row = amplification_row(proportion(3, 500), 0.0)
    assert row["amplification"] is row["amplification_low"] is row["amplification_high"] is None
    assert row["amplification_difference"] == 0.006


def test_p_t_in_percent_is_refused():
    with pytest.raises(ValueError, match="fraction"):
        amplification_row(proportion(3, 500), 49.6)


def test_dashed_lines_are_the_quotient_over_all_training_images():
    sizes = {"ImageNette": (9469, 961), "Caltech15": (3000, 200), "CIFAR10": (50000, 5000)}
    for dataset, (n, target) in sizes.items():
        for ratio, drawn in DASHED_LINES[dataset].items():
            assert ratio * n / (ratio * n + target) == pytest.approx(drawn, abs=0.0005)


def test_published_groups_add_up():
    whole = [one for one in PUBLISHED if None not in (one.g1, one.g2, one.g3, one.g4)]
    assert len(whole) == 9
    for one in whole:
        assert one.g1 + one.g2 + one.g3 + one.g4 == pytest.approx(1)
    totals = [round(one.trigger_ratio, 3) for one in guidance_sweep("badnets1", 0.1)]
    assert totals == [0.546, 0.654, 0.734, 0.777]


@pytest.mark.parametrize(
    ("curve", "expected"),
    [
        ([-1, -1, 1, 2], sqrt(0.02 * 0.05)),  # halfway in log p
        ([-3, -1, 3, 2], exp(log(0.02) + 0.25 * log(0.05 / 0.02))),
        ([-1, 0, 1, 1], 0.02),
        ([0, -1, -1, -1], 0.01),
        ([5, -1, 1, 1], 0.01),
        ([-1, -1, -1, -0.1], np.inf),
        ([-1, 1, -1, 1], sqrt(0.01 * 0.02)),  # the first of two
    ],
)
def test_first_crossing_is_linear_in_log_p(curve, expected):
    assert first_crossing(RATIOS, np.array([curve], float))[0] == pytest.approx(expected)


def _curve(row, g1_by_ratio, g2=100, seeds=(0,)):
    return [
        row("badnets1", ratio, 2.0, (g1, g2, 0, 500 - g1 - g2), p_t=0.2, seed=seed)
        for seed in seeds
        for ratio, g1 in g1_by_ratio.items()
    ]


def test_both_transitions_are_located_and_bootstrapped_over_images(row):
    found = transition(_curve(row, {0.01: 50, 0.1: 150}, g2=125))
    assert found.gap.value == pytest.approx(sqrt(0.001))
    assert found.dominance.value == pytest.approx(0.01 * 10**0.75)
    assert found.gap.low < found.gap.value < found.gap.high
    assert (found.resampled, found.gap.draws_without) == ("images", 0)
    assert found.gap_1 == pytest.approx((-0.1, 0.1))
    assert found.gap_2 == pytest.approx((0.05, 0.05))


def test_three_seeds_are_resampled_whole(row):
    rows = _curve(row, {0.01: 50, 0.1: 150}, seeds=(0, 1, 2))
    found = transition(rows)
    assert (found.resampled, found.seeds) == ("seeds", 3)
    # Equal seeds leave nothing to vary: images are not drawn again.
    assert found.gap.low == found.gap.high == pytest.approx(found.gap.value)


def test_a_seed_that_lacks_a_ratio_does_not_count_as_one(row):
    rows = _curve(row, {0.01: 50, 0.1: 150}, seeds=(0, 1, 2))[:-1]
    assert transition(rows).resampled == "images"


def test_no_crossing_is_none_and_its_draws_are_counted(row):
    found = transition(_curve(row, {0.01: 1, 0.1: 3}, g2=200)).gap
    assert found.value is found.low is found.high is None
    assert found.draws_without == found.draws


def test_a_curve_above_zero_from_the_start_says_so(row):
    found = transition(_curve(row, {0.01: 300, 0.1: 20}, g2=0)).gap
    assert (found.value, found.at_first, found.falls_back) == (0.01, True, True)


def test_one_ratio_or_only_controls_have_no_transition(row):
    assert transition(_curve(row, {0.01: 50})) is None
    assert transition([row("none", 0.0, 2.0)]) is None


def test_equal_rows_give_equal_intervals_in_any_order(row):
    rows = _curve(row, {0.01: 50, 0.05: 90, 0.1: 150})
    assert transition(rows) == transition(rows[::-1])
