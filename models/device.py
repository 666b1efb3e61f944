"""Which device computes, and with how many threads."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


def choose() -> torch.device:
    """The first GPU that this process sees, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


class Fitting:
    """Computes ranges in parts as large as the device has room for.

    How large those are is found out once: whenever a GPU is too small, halves are tried from then
    on.
    """

    def __init__(self) -> None:
        self.most: int | None = None
        """Images of a part; None as long as everything fitted."""

    def __call__(self, compute: Callable[[int, int], Tensor], first: int, last: int) -> Tensor:
        """What ``compute(first, last)`` returns, perhaps joined from parts.

        Raises torch.OutOfMemoryError if one image does not fit.
        """
        parts: list[Tensor] = []
        while first < last:
            after = min(last, first + (self.most or last - first))
            try:
                parts.append(compute(first, after))
            except torch.OutOfMemoryError:
                if after - first < 2:
                    raise
                self.most = (after - first) // 2
            else:
                first = after
                continue
            torch.cuda.empty_cache()  # here, where the error no longer holds what it computed
        return torch.cat(parts)


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
