"""Why a step runs: what sets it apart from the nearest finished step of its task."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.step import difference
from orchestrator.store.reasons import Reasons, Siblings
from orchestrator.store.store import NOT_BUILT, RECORD, Store
from tasks.triggers import BadNets1
from tasks.triggers.blend import Blend
from tests.orchestrator.conducted import manifest

STEPS = st.builds(
    manifest,
    trigger=st.sampled_from([BadNets1(), Blend(), Blend(alpha=0.3)]),
    target_class=st.sampled_from(["3", "8"]),
    poison_ratio=st.sampled_from([0.1, 0.2]),
    seed=st.integers(0, 2),
)
ODD = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=6,
)
"""Whatever a damaged or a hostile record may hold."""


@settings(max_examples=100, deadline=None)
@given(step=STEPS, others=st.lists(STEPS, max_size=8), odd=st.lists(ODD, max_size=5))
def test_it_is_the_one_with_the_fewest_changes_and_odd_ones_do_no_harm(step, others, odd):
    identities = [json.loads(json.dumps(other.identity)) for other in others]
    changes = [list(difference(identity, step.identity)) for identity in identities]
    # A trigger with other fields differs in each of them, in the lines as in the table.
    assert Siblings(identities).changes(step) == min(filter(None, changes), key=len, default=[])
    lines = Siblings([*odd, *identities]).changes(step)
    known = [list(difference(identity, step.identity)) for identity in [*odd, *identities]]
    assert lines in [*known, []]
    assert lines or not any(known)


def test_damage_comes_first_then_the_nearest_readable_sibling(tmp_path):
    step = manifest()
    assert Reasons(Store(tmp_path)).why(step, "x is missing") == ["x is missing"]
    assert Reasons(Store(tmp_path)).why(step, NOT_BUILT) == ["the first of its task"]
    store = Store(tmp_path)
    for other in (manifest(poison_ratio=0.2, seed=1), manifest(poison_ratio=0.2)):
        with store.publish(other):
            pass
    assert Reasons(store).why(step, NOT_BUILT) == ["settings.poison_ratio: 0.2 -> 0.1"]
    for text in ("", "[]", "{}"):
        (store.folder(other) / RECORD).write_text(text)
        assert len(Reasons(store).why(step, NOT_BUILT)) == 2
