import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.statistics.intervals import difference_of_proportions, wilson
from analysis.statistics.paired import correlation, counted, difference

ROOM = 1e-12
"""For rounding, where two ways of computing a bound are compared."""


def bounds(*counts):
    found = difference(*counts)
    return found.value, found.low, found.high


some = st.integers(0, 400)
tables = st.tuples(some, some, some, some).filter(any)


def test_it_agrees_with_a_published_example():
    # Cavo et al. 2012 as in Fagerland, Lydersen and Laake, Statistical Analysis of Contingency
    # Tables, chapter 8: complete response before and after consolidation, square-and-add.
    found = bounds(59, 6, 16, 80)
    assert found == pytest.approx((-0.0621, -0.1186, -0.0046), abs=5e-5)


@pytest.mark.parametrize(
    ("counts", "phi", "expected"),
    [
        ((12, 9, 2, 27), 0.507204, (0.14, 0.009188, 0.263822)),
        ((36, 12, 2, 0), -0.114708, (0.2, 0.056930, 0.340428)),
        ((20, 12, 2, 16), 0.454954, (0.2, 0.056156, 0.329207)),
        ((18, 14, 0, 18), 0.519097, (0.28, 0.144083, 0.396325)),
        ((1, 1, 7, 12), 0.0, (-0.285714, -0.506920, -0.025559)),
    ],
)
def test_it_agrees_with_the_formulas_worked_by_hand(counts, phi, expected):
    """Newcombe's own formulas in 40 decimal digits: phi above 0, below it, and brought to 0."""
    assert correlation(*counts) == pytest.approx(phi, abs=1e-6)
    assert bounds(*counts) == pytest.approx(expected, abs=1e-6)


def test_who_agrees_everywhere_still_has_a_width():
    for agreed in [(50, 0, 0, 0), (0, 0, 0, 50), (40, 0, 0, 10), (359, 0, 0, 1)]:
        value, low, high = bounds(*agreed)
        assert value == 0
        assert low < 0 < high
        assert low == pytest.approx(-high)

    # Who is never wrong has no correlation that can be seen; the bound is of 50 of 50.
    assert bounds(50, 0, 0, 0)[2] == pytest.approx(1 - wilson(50, 50)[0])


def test_who_always_disagrees_is_bounded_by_the_most_that_there_is():
    assert bounds(0, 50, 0, 0)[0] == bounds(0, 50, 0, 0)[2] == 1
    assert bounds(0, 0, 50, 0)[:2] == (-1, -1)
    # One yes for each no: the correlation is -1, and the distances to the bounds add up.
    low, high = wilson(30, 50)[0] - wilson(20, 50)[1], wilson(30, 50)[1] - wilson(20, 50)[0]
    assert bounds(0, 30, 20, 0) == pytest.approx((0.2, low, high))


@given(tables)
def test_the_value_lies_inside_and_the_bounds_within_what_there_is(counts):
    value, low, high = bounds(*counts)
    assert -1 - ROOM <= low <= value <= high <= 1 + ROOM
    assert high - low > 0


def test_without_correlation_it_is_the_interval_of_independent_samples():
    independent = difference_of_proportions(50, 100, 80, 100)
    assert bounds(40, 10, 40, 10) == pytest.approx(
        (independent.value, independent.low, independent.high)
    )


def test_answers_are_counted_image_by_image():
    first = np.array([True, True, True, False, False, False])
    second = np.array([True, False, False, True, False, False])
    assert counted(first, second) == (1, 2, 1, 2)


def test_what_cannot_be_is_refused():
    for counts in ((0, 0, 0, 0), (5, -1, 0, 0)):
        with pytest.raises(ValueError, match="at least one pair, none negative"):
            difference(*counts)
    with pytest.raises(ValueError, match="about the same images, got 3 and 2"):
        counted(np.ones(3, dtype=bool), np.ones(2, dtype=bool))
