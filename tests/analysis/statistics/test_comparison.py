"""Points of several seeds: what a comparison makes of them."""

from math import exp, log, sqrt

import pytest

from analysis.statistics.comparison import (
    above_false_positives,
    between_models,
    ratio_of_points,
)
from analysis.statistics.intervals import difference_of_proportions

T_2 = 4.302652729911275
"""97.5 % point of Student's t with two degrees of freedom."""


def judged(row, *triggers, seeds=None):
    return [
        row("none", 0.0, 5.0, (count, 0, 0, 500 - count), seed=seed)
        for seed, count in zip(seeds or range(len(triggers)), triggers, strict=True)
    ]


def test_false_positives_of_two_seeds_are_pooled(row):
    rows = judged(row, 5, 15)
    errors = round(rows[0]["trigger_false_positive_rate"] * rows[0]["trigger_n_clean"])
    found = above_false_positives(rows, "trigger_ratio")
    expected = difference_of_proportions(20, 1000, errors, rows[0]["trigger_n_clean"])
    assert found.estimate == expected
    assert found.basis == "1000 images of 2 models, pooled"


def test_three_seeds_that_differ_have_students_interval_above_false_positives(row):
    """5, 15 and 100 of 500: pooled 120 of 1500 would seem known to 3 points; sd is 10.4 points."""
    rows = judged(row, 5, 15, 100)
    found = above_false_positives(rows, "trigger_ratio")
    rate = rows[0]["trigger_false_positive_rate"]
    shares = (0.01, 0.03, 0.2)
    spread = sqrt(sum((share - 0.08) ** 2 for share in shares) / 2)
    assert found.basis == "3 seeds"
    assert found.estimate.value == pytest.approx(0.08 - rate)
    assert found.estimate.high - found.estimate.value == pytest.approx(T_2 * spread / sqrt(3))


def test_a_ratio_over_three_seeds_is_students_of_the_logarithms(row):
    many, few = judged(row, 100, 200, 50), judged(row, 10, 0, 4)
    found = ratio_of_points(many, few, "g1")
    logs = [
        log((a + 0.5) / 500.5) - log((b + 0.5) / 500.5) for a, b in ((100, 10), (200, 0), (50, 4))
    ]
    middle = sum(logs) / 3
    half = T_2 * sqrt(sum((one - middle) ** 2 for one in logs) / 2) / sqrt(3)
    assert found.basis == "3 seeds"
    assert found.estimate.value == pytest.approx(exp(middle))
    assert (found.estimate.low, found.estimate.high) == pytest.approx(
        (exp(middle - half), exp(middle + half))
    )


def test_models_that_no_row_pairs_are_subtracted_seed_by_seed():
    def of(*counts):
        return [{"seed": seed, "count": one, "n": 320} for seed, one in enumerate(counts)]

    one = between_models(of(48), of(32), "count", "n")
    assert one.estimate.value == pytest.approx(0.05)
    assert one.basis == "1 seed"
    # 10, 20 and 30 points: mean 20, sd 10, Student's t of 4.303 at 2 degrees.
    three = between_models(of(32, 64, 96), of(0, 0, 0), "count", "n")
    assert three.estimate.value == pytest.approx(0.2)
    assert three.estimate.high - 0.2 == pytest.approx(0.2484, abs=1e-4)
    assert three.basis == "3 seeds"
    assert between_models(of(48, 9), of(None, 9), "count", "n").basis == "1 seed"
    assert between_models(of(48), of(None), "count", "n") is None
