"""Which device computes, and with how many threads."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


def choose() -> torch.device:
    """The first GPU that this process sees, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def whole_or_halved(compute: Callable[[int, int], Tensor], first: int, last: int) -> Tensor:
    """What ``compute(first, last)`` returns; in halves, and those in halves, if a GPU is too small.

    Raises torch.OutOfMemoryError if one image does not fit.
    """
    try:
        return compute(first, last)
    except torch.OutOfMemoryError:
        if last - first < 2:
            raise
    torch.cuda.empty_cache()
    middle = (first + last) // 2
    halves = [(first, middle), (middle, last)]
    return torch.cat([whole_or_halved(compute, *half) for half in halves])


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one CPU thread inside, and with as many as before afterwards.

    Sums over several threads are added in another order, so the thread count would be part of every
    result; and networks this small gain nothing from a second one.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
