"""Which device computes, and with how many threads."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


def choose() -> torch.device:
    """The first GPU that this process sees, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


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
