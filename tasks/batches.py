"""What a training loop is given: batches to learn from, and somewhere to report to.

``Batch`` has three keys and no more, so no trainer can see which images are poisoned.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypedDict

import numpy as np
from numpy.typing import NDArray


class Batch(TypedDict):
    """One worker's rows of a global batch."""

    index: NDArray[np.int64]
    """(B,). Which image of the dataset."""
    image: NDArray[np.uint8]
    """(B, H, W, C). Already stamped."""
    label: NDArray[np.int64]
    """(B,). Already relabelled."""


class Batches(Protocol):
    """An endless supply of batches, the same on every worker, each keeping its own rows."""

    @property
    def rank(self) -> int:
        """This worker among the data-parallel ones, 0..workers-1."""
        ...

    @property
    def workers(self) -> int:
        """How many data-parallel workers there are."""
        ...

    @property
    def per_epoch(self) -> int:
        """Global batches an epoch; the incomplete last one is dropped."""
        ...

    def __call__(self, epoch: int, first: int = 0) -> Iterator[Batch]:
        """This worker's rows of each global batch of ``epoch``, from batch ``first`` on."""
        ...


class Report(Protocol):
    """Called by every worker every few steps and at the last one."""

    def __call__(
        self, step: int, metrics: Mapping[str, float], save: Callable[[Path], None]
    ) -> None:
        """Take note of ``metrics`` after ``step`` steps; ``save(folder)`` writes a checkpoint."""
        ...


def epoch_order(n: int, *, seed: int, epoch: int) -> NDArray[np.int64]:
    """A permutation of 0..n-1, int64, (n,), that depends on (seed, epoch) and nothing else."""
    return np.random.default_rng((seed, epoch)).permutation(n)


def own_rows(batch_size: int, *, rank: int, workers: int) -> slice:
    """The rows of a global batch that worker ``rank`` of ``workers`` keeps.

    Raises:
        ValueError: The batch cannot be shared equally.
    """
    if batch_size % workers:
        raise ValueError(
            f"expected a batch size that {workers} workers share equally, got {batch_size}; "
            f"use {batch_size - batch_size % workers or workers}, or other --training-workers"
        )
    share = batch_size // workers
    return slice(rank * share, (rank + 1) * share)


def steps(batches: Batches, first: int, last: int) -> Iterator[Batch]:
    """The batches of steps ``first`` .. ``last - 1``, across epochs.

    Raises:
        ValueError: The dataset is smaller than one batch.
    """
    if batches.per_epoch < 1:
        raise ValueError("expected at least one whole batch an epoch, got none; lower batch_size")
    step = first
    while step < last:
        epoch, skip = divmod(step, batches.per_epoch)
        for batch in batches(epoch, skip):
            yield batch
            step += 1
            if step == last:
                return


@dataclass(frozen=True, kw_only=True)
class Held:
    """Batches of a dataset that fits in memory, uint8.

    Raises:
        ValueError: ``batch_size`` cannot be shared by ``workers``.
    """

    index: NDArray[np.int64]
    """(N,)."""
    image: NDArray[np.uint8]
    """(N, H, W, C)."""
    label: NDArray[np.int64]
    """(N,)."""
    batch_size: int
    """Images in a global batch."""
    seed: int
    """Permutes every epoch."""
    rank: int = 0
    """This worker, 0..workers-1."""
    workers: int = 1
    """Data-parallel workers."""

    def __post_init__(self) -> None:
        """Refuse a batch that cannot be shared."""
        own_rows(self.batch_size, rank=self.rank, workers=self.workers)

    @property
    def per_epoch(self) -> int:
        """Global batches an epoch."""
        return len(self.index) // self.batch_size

    def __call__(self, epoch: int, first: int = 0) -> Iterator[Batch]:
        """This worker's rows of each global batch of ``epoch``, from batch ``first`` on."""
        order = epoch_order(len(self.index), seed=self.seed, epoch=epoch)
        own = own_rows(self.batch_size, rank=self.rank, workers=self.workers)
        for number in range(first, self.per_epoch):
            rows = order[number * self.batch_size : (number + 1) * self.batch_size][own]
            yield Batch(index=self.index[rows], image=self.image[rows], label=self.label[rows])
