"""The nearest finished step of a task."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.step import Step, difference
from orchestrator.store.siblings import Siblings
from orchestrator.studies.scales import TINY
from tasks.steps import poison
from tasks.triggers import BadNets1
from tasks.triggers.blend import Blend

DATASET = Step(TINY.dataset)
STEPS = st.builds(
    lambda trigger, target, ratio, seed: Step(
        poison.Settings(trigger=trigger, target_class=target, poison_ratio=ratio, seed=seed),
        {"dataset": DATASET},
    ),
    st.sampled_from([BadNets1(), Blend(), Blend(alpha=0.3)]),
    st.sampled_from(["3", "8"]),
    st.sampled_from([0.1, 0.2]),
    st.integers(0, 2),
)
ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=6,
)
"""Whatever a damaged or a hostile record may hold."""


def recorded(step):
    """Its identity as it comes back from a record."""
    return json.loads(json.dumps(step.identity))


def test_of_none_there_is_no_change():
    step = Step(TINY.dataset)
    assert Siblings([]).changes(step) == []
    assert Siblings([recorded(step)]).changes(step) == []


@settings(max_examples=100, deadline=None)
@given(step=STEPS, others=st.lists(STEPS, max_size=8))
def test_it_is_the_one_with_the_fewest_changes(step, others):
    identities = [recorded(other) for other in others]
    changes = [list(difference(identity, step.identity)) for identity in identities]
    # A trigger with other fields differs in each of them, in the lines as in the table.
    assert Siblings(identities).changes(step) == min(filter(None, changes), key=len, default=[])


@settings(max_examples=100, deadline=None)
@given(step=STEPS, others=st.lists(STEPS, max_size=3), odd=st.lists(ODD, max_size=5))
def test_an_identity_that_is_none_costs_nobody_a_reason(step, others, odd):
    identities = [*odd, *(recorded(other) for other in others)]
    lines = Siblings(identities).changes(step)
    known = [list(difference(identity, step.identity)) for identity in identities]
    assert lines in [*known, []]
    assert lines or not any(known)
