import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.statistics.composition import GROUPS, compose, shares
from analysis.statistics.intervals import wilson


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_groups_partition_the_set(images):
    triggers, matches = np.array(images).T
    counts = compose(triggers, matches)
    assert sum(counts.values()) == len(images)
    found = shares([*counts.values()])
    assert found["trigger_ratio"].value == pytest.approx(np.mean(triggers))
    assert found["mismatch_ratio"].value == pytest.approx(np.mean(~matches))


def test_figure_2_of_the_paper():
    has_trigger = np.array([True] * 734 + [False] * 266)
    matches = np.array([False] * 540 + [True] * 194 + [False] * 5 + [True] * 261)
    found = shares([*compose(has_trigger, matches).values()])
    assert [found[group].value for group in GROUPS] == [0.540, 0.194, 0.005, 0.261]
    ratio = found["trigger_ratio"]
    assert (ratio.value, ratio.low, ratio.high) == (0.734, *wilson(734, 1000))


@pytest.mark.parametrize(
    ("triggers", "matches", "said"),
    [
        (np.array([1, 0]), np.array([True, False]), "astype"),  # ~ on integers is no negation
        (np.ones(2, bool), np.ones(3, bool), "2 trigger verdicts but 3"),
    ],
)
def test_verdicts_that_cannot_be_counted_are_refused(triggers, matches, said):
    with pytest.raises(ValueError, match=said):
        compose(triggers, matches)
