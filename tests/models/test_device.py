from contextlib import suppress

import pytest
import torch

from models.device import one_thread


@pytest.mark.parametrize("before", [1, 2])
def test_one_thread_inside_and_as_many_as_before_afterwards(before):
    torch.set_num_threads(before)
    with suppress(KeyError), one_thread():
        assert torch.get_num_threads() == 1
        raise KeyError
    assert torch.get_num_threads() == before
