import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from models.randomness import generator, torch_seeded

SEEDS = st.integers(0, 2**40)


def draw(*stream):
    return tuple(generator(*stream).integers(0, 2**63, 4))


@given(SEEDS, st.integers(0, 10**9))
def test_a_stream_repeats(seed, position):
    assert draw(seed, "noise", position) == draw(seed, "noise", position)


def test_streams_of_other_seeds_purposes_and_positions_differ():
    streams = {
        draw(seed, purpose, *position)
        for seed in range(5)
        for purpose in ("noise", "time step")
        for position in ((), (0,), (1,), (0, 1), (1, 0), (10,))
    }
    assert len(streams) == 5 * 2 * 6


def test_fifty_thousand_images_have_fifty_thousand_noises():
    # With torch's 32-bit seeds one pair in three such sets would be equal.
    first = {int(generator(0, "initial noise", index).integers(2**63)) for index in range(50_000)}
    assert len(first) == 50_000


def test_torch_draws_repeat_and_leave_the_global_state_alone():
    torch.manual_seed(1)
    untouched = torch.randn(3)
    torch.manual_seed(1)
    with torch_seeded(0, "initialization"):
        first = torch.randn(3)
    np.testing.assert_array_equal(torch.randn(3), untouched)
    with torch_seeded(0, "initialization"):
        np.testing.assert_array_equal(torch.randn(3), first)
    with torch_seeded(1, "initialization"):
        assert (torch.randn(3) != first).all()
