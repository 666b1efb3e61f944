import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.statistics.composition import GROUPS, Composition, compose
from analysis.statistics.intervals import wilson


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_groups_partition_the_set(images):
    triggers, matches = np.array(images).T
    found = compose(triggers, matches)
    assert found.n == len(images)
    assert sum(found.shares[group].value for group in GROUPS) == pytest.approx(1)
    assert found.trigger_ratio.value == pytest.approx(np.mean(triggers))
    assert found.shares["mismatch_ratio"].value == pytest.approx(np.mean(~matches))


def test_figure_2_of_the_paper():
    has_trigger = np.array([True] * 734 + [False] * 266)
    matches = np.array([False] * 540 + [True] * 194 + [False] * 5 + [True] * 261)
    found = compose(has_trigger, matches)
    assert [found.shares[group].value for group in GROUPS] == [0.540, 0.194, 0.005, 0.261]
    assert found.trigger_ratio.value == 0.734


def test_row_has_every_fraction_with_wilsons_bounds():
    row = Composition(3, 36, 14, 447).row()
    assert (row["trigger_ratio_low"], row["trigger_ratio_high"]) == wilson(39, 500)
    assert (row["g3_count"], row["g3"]) == (14, 0.028)
    assert len(row) == 4 + 6 * 3


@pytest.mark.parametrize(
    ("triggers", "matches", "said"),
    [
        (np.array([1, 0]), np.array([True, False]), "astype"),  # ~ on integers is no negation
        (np.ones(2, bool), np.ones(3, bool), "2 trigger verdicts but 3"),
        (np.ones(0, bool), np.ones(0, bool), "not all zero"),
    ],
)
def test_verdicts_that_cannot_be_counted_are_refused(triggers, matches, said):
    with pytest.raises(ValueError, match=said):
        compose(triggers, matches)
