import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.statistics.composition import GROUPS
from analysis.statistics.correction import confusion, content_errors, correct, solve
from analysis.statistics.intervals import wilson

PERFECT = [(0, 50), (0, 450), (0, 50), (0, 450), (0, 500), (0, 500)]
REAL = [(1, 40), (8, 400), (4, 40), (20, 400), (4, 400), (8, 400)]
RATES = np.array([wrong / n for wrong, n in REAL])


def corrected(counts, errors):
    return correct(counts, errors, np.random.default_rng(0))


def values(found):
    return [found[group].value for group in GROUPS]


error_rates = st.lists(st.floats(0, 1), min_size=6, max_size=6).map(np.array)


def test_perfect_judges_change_nothing():
    found = corrected((12, 234, 3, 251), PERFECT)
    assert values(found) == pytest.approx([0.024, 0.468, 0.006, 0.502], abs=1e-9)
    assert found["trigger_ratio"].value == pytest.approx(0.492, abs=1e-9)


def test_perfect_judges_of_many_images_leave_about_wilsons_interval():
    found = corrected((100, 150, 50, 200), [(0, 10**7)] * 6)["g2"]
    assert (found.low, found.high) == pytest.approx(wilson(150, 500), abs=0.006)


@given(
    rates=st.lists(st.floats(0, 0.3), min_size=6, max_size=6).map(np.array),
    parts=st.lists(st.floats(0, 1), min_size=4, max_size=4).filter(lambda p: sum(p) > 0.1),
)
@settings(max_examples=60, deadline=None)
def test_exact_expected_fractions_give_back_the_truth(rates, parts):
    truth = np.array(parts) / sum(parts)
    matrix = confusion(rates)
    np.testing.assert_allclose(solve(matrix @ truth, matrix), truth, atol=1e-8)


def test_expected_counts_of_real_judges_give_back_the_truth():
    truth = np.array([0.25, 0.35, 0.05, 0.35])
    counts = np.rint(confusion(RATES) @ truth * 10**7).astype(int)
    found = corrected(counts.tolist(), REAL)
    assert values(found) == pytest.approx(truth, abs=1e-6)
    for group, true in zip(GROUPS, truth, strict=True):
        assert found[group].low < true < found[group].high


def test_columns_of_the_confusion_are_distributions_and_mean_what_they_say():
    matrix = confusion(RATES)
    np.testing.assert_allclose(matrix.sum(axis=0), 1)
    # A stamped target image is seen as G1 when the trigger is found and the content is missed.
    assert matrix[0, 1] == pytest.approx((1 - 8 / 400) * (4 / 40))
    # A clean image of another class is seen as G2 on two false alarms.
    assert matrix[1, 2] == pytest.approx((4 / 400) * (8 / 400))


@given(rates=error_rates, parts=st.lists(st.floats(0.01, 1), min_size=4, max_size=4))
@settings(max_examples=60, deadline=None)
def test_solutions_stay_on_the_simplex_whatever_the_judges(rates, parts):
    fractions = solve(np.array(parts) / sum(parts), confusion(rates))
    assert (fractions >= 0).all()
    assert fractions.sum() == pytest.approx(1)


@pytest.mark.parametrize(
    ("counts", "errors"), [((0, 150, 0, 350), PERFECT), ((5, 150, 3, 342), REAL)]
)
def test_a_share_of_zero_reaches_up_to_what_so_many_images_cannot_tell_from_zero(counts, errors):
    """With the real judges 5 of 500 seen as G1 are fewer than they make of 30 % G2."""
    found = corrected(counts, errors)["g1"]
    assert (found.value, found.low) == pytest.approx((0, 0), abs=1e-9)
    assert found.high >= wilson(0, 500)[1]


def test_confusions_reduce_to_target_against_rest():
    clean = np.diag([9, 8, 7])
    clean[1, 0], clean[1, 2], clean[2, 1] = 1, 1, 3
    stamped = np.diag([5, 5, 5])
    found = content_errors(clean, stamped.tolist(), target=1)
    assert found == [(2, 10), (3, 19), (0, 5), (0, 10)]


@pytest.mark.parametrize(("matrix", "target"), [(np.ones((2, 3)), 0), (np.eye(3), 3)])
def test_a_matrix_that_is_not_square_or_lacks_the_target_is_refused(matrix, target):
    with pytest.raises(ValueError, match="square"):
        content_errors(matrix, matrix, target)


def test_impossible_errors_and_counts_are_refused():
    for impossible in ((5, 4), (0, 0), (-1, 4)):
        with pytest.raises(ValueError, match="at least one test image"):
            corrected((1, 2, 3, 4), [*PERFECT[:5], impossible])
    with pytest.raises(ValueError, match="four counts"):
        corrected((1, 2, 3), PERFECT)
