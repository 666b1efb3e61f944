import pytest
import torch

from models.device import one_thread


@pytest.mark.parametrize("before", [1, 2, 3])
def test_one_thread_inside_and_as_many_as_before_afterwards(before):
    torch.set_num_threads(before)
    with one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


def test_threads_come_back_after_an_error():
    torch.set_num_threads(2)
    with pytest.raises(KeyError), one_thread():
        raise KeyError
    assert torch.get_num_threads() == 2
