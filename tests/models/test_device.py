from contextlib import suppress

import pytest
import torch

from models.device import Fitting, one_thread


@pytest.mark.parametrize("before", [1, 2])
def test_one_thread_inside_and_as_many_as_before_afterwards(before):
    torch.set_num_threads(before)
    with suppress(KeyError), one_thread():
        assert torch.get_num_threads() == 1
        raise KeyError
    assert torch.get_num_threads() == before


def room_for(most, asked):
    """Computes the numbers of the images, but not more than so many at once."""

    def compute(first, last):
        asked.append((first, last))
        if last - first > most:
            raise torch.OutOfMemoryError
        return torch.arange(first, last)

    return compute


def test_what_does_not_fit_at_once_is_computed_in_parts_that_did():
    asked = []
    fitting = Fitting()
    assert fitting(room_for(3, asked), 4, 14).tolist() == [*range(4, 14)]
    assert asked == [(4, 14), (4, 9), (4, 6), (6, 8), (8, 10), (10, 12), (12, 14)]
    asked.clear()
    assert fitting(room_for(3, asked), 0, 5).tolist() == [*range(5)]
    assert asked == [(0, 2), (2, 4), (4, 5)]  # it is not tried again
    asked.clear()
    assert Fitting()(room_for(10, asked), 4, 14).tolist() == [*range(4, 14)]
    assert asked == [(4, 14)]
    with pytest.raises(torch.OutOfMemoryError):
        Fitting()(room_for(0, []), 0, 4)
