import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.statistics.composition import Composition, compose
from analysis.statistics.intervals import wilson


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_groups_partition_the_set(images):
    triggers, matches = np.array(images).T
    found = compose(triggers, matches)
    assert found.n == len(images)
    assert sum(one.value for one in (found.g1, found.g2, found.g3, found.g4)) == pytest.approx(1)
    assert found.trigger_ratio.value == pytest.approx(np.mean(triggers))
    assert found.mismatch_ratio.value == pytest.approx(np.mean(~matches))


def test_figure_2_of_the_paper():
    has_trigger = np.array([True] * 734 + [False] * 266)
    matches = np.array([False] * 540 + [True] * 194 + [False] * 5 + [True] * 261)
    found = compose(has_trigger, matches)
    groups = (found.g1, found.g2, found.g3, found.g4)
    assert [group.value for group in groups] == [0.540, 0.194, 0.005, 0.261]
    assert found.trigger_ratio.value == 0.734


def test_row_has_every_fraction_with_wilsons_bounds():
    row = Composition(3, 36, 14, 447).row()
    assert (row["trigger_ratio_low"], row["trigger_ratio_high"]) == wilson(39, 500)
    assert (row["g3_count"], row["g3"]) == (14, 0.028)
    assert len(row) == 4 + 6 * 3


def test_integers_are_refused_because_their_negation_is_not_logical():
    with pytest.raises(ValueError, match="astype"):
        compose(np.array([1, 0]), np.array([True, False]))


def test_sets_of_different_length_are_refused():
    with pytest.raises(ValueError, match="2 trigger verdicts but 3"):
        compose(np.ones(2, bool), np.ones(3, bool))


def test_no_images_are_refused():
    with pytest.raises(ValueError, match="not all zero"):
        compose(np.ones(0, bool), np.ones(0, bool))
