"""What a training loop is given: batches to learn from, and a function to report to.

``Batch`` has three keys and no more, so no trainer can see which images are poisoned.
"""

import queue
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import starmap
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypedDict

import numpy as np
from numpy.typing import NDArray

from models.randomness import generator

if TYPE_CHECKING:
    import torch


class Batch(TypedDict):
    """One worker's rows of a global batch."""

    index: NDArray[np.int64]
    """(B,). Which image of the dataset."""
    image: NDArray[np.uint8]
    """(B, H, W, C). Already stamped."""
    label: NDArray[np.int64]
    """(B,). Already relabelled."""


@dataclass(frozen=True, kw_only=True)
class Batches(ABC):
    """An endless supply of batches, the same on every worker, each keeping its own rows.

    Raises ValueError if the workers cannot share a batch equally.
    """

    batch_size: int
    """Images in a global batch."""
    seed: int
    """Seeds the order of every epoch."""
    rank: int = 0
    """This worker among the data-parallel ones, 0..workers-1."""
    workers: int = 1
    """How many data-parallel workers there are."""

    def __post_init__(self) -> None:
        own_rows(self.batch_size, rank=self.rank, workers=self.workers)

    @property
    def own(self) -> slice:
        """The rows of a global batch that this worker keeps."""
        return own_rows(self.batch_size, rank=self.rank, workers=self.workers)

    @property
    @abstractmethod
    def per_epoch(self) -> int:
        """Global batches an epoch; the incomplete last one is dropped."""

    @abstractmethod
    def __call__(self, first: int, last: int) -> Iterator[Batch]:
        """This worker's rows of the global batches of steps ``first`` .. ``last - 1``."""

    def epochs(self, first: int, last: int) -> Iterator[tuple[int, range]]:
        """Each epoch of steps ``first`` .. ``last - 1``, with the numbers of its batches.

        Raises ValueError if an epoch has no whole batch.
        """
        if self.per_epoch < 1:
            raise ValueError(
                "expected at least one whole batch an epoch, got none; lower batch_size"
            )
        while first < last:
            epoch, begin = divmod(first, self.per_epoch)
            numbers = range(begin, min(self.per_epoch, begin + last - first))
            yield epoch, numbers
            first += len(numbers)


ReportProgress = Callable[[int, Mapping[str, float], Callable[[Path], None]], None]
"""Called by every worker every few steps and at the last one, with the steps done, metrics, and a
function that writes a checkpoint to a folder."""


def epoch_order(n: int, *, seed: int, epoch: int) -> NDArray[np.int64]:
    """A permutation of 0..n-1, int64, (n,), that depends on (seed, epoch) only."""
    return generator(seed, "order of images", epoch).permutation(n)


def windows(
    groups: Sequence[int], *, window: int, seed: int, epoch: int
) -> Iterator[NDArray[np.int64]]:
    """Yield the order of an epoch over a file, window by window: rows, int64, (n,), each once.

    Row groups of these sizes are permuted and divided into windows of as many whole ones as fit, at
    least one, and the rows of a window are permuted.  In a single window this is ``epoch_order``.
    """
    sizes = np.asarray(groups, dtype=np.int64)
    starts = np.cumsum(sizes) - sizes
    if sizes.sum() <= window:
        yield epoch_order(int(sizes.sum()), seed=seed, epoch=epoch)
        return
    order = generator(seed, "order of row groups", epoch).permutation(len(sizes))
    for number, chosen in enumerate(_cut(order, sizes, window)):
        rows = np.concatenate([starts[group] + np.arange(sizes[group]) for group in chosen])
        yield generator(seed, "order of a window", epoch, number).permutation(rows)


def _cut(
    order: NDArray[np.int64], sizes: NDArray[np.int64], window: int
) -> Iterator[list[np.int64]]:
    """Row groups in ``order``, as many at a time as have ``window`` rows; at least one."""
    chosen: list[np.int64] = []
    rows = 0
    for group in order:
        if chosen and rows + sizes[group] > window:
            yield chosen
            chosen, rows = [], 0
        chosen.append(group)
        rows += sizes[group]
    yield chosen


def own_rows(batch_size: int, *, rank: int, workers: int) -> slice:
    """This worker's rows of a global batch; raises ValueError if it cannot be shared equally."""
    if batch_size % workers:
        raise ValueError(
            f"expected a batch size that {workers} workers share equally, got {batch_size}; "
            f"use {batch_size - batch_size % workers or workers}, or other --training-workers"
        )
    share = batch_size // workers
    return slice(rank * share, (rank + 1) * share)


@dataclass(frozen=True, kw_only=True)
class Held(Batches):
    """Batches of a dataset that fits in memory.

    If it has fewer images than a batch, as after leaving out broken files, some are repeated.
    """

    index: NDArray[np.int64]
    """(N,)."""
    image: Any
    """(N, H, W, C), uint8: an array, or a tensor on a GPU."""
    label: NDArray[np.int64]
    """(N,)."""

    def on_gpu(self, device: "torch.device") -> Self:
        """The same batches with their images on a GPU, if they take a quarter of it or less."""
        import torch

        if device.type != "cuda":
            return self
        free, _ = torch.cuda.mem_get_info(device)
        if self.image.nbytes > free // 4:
            return self
        return replace(self, image=torch.from_numpy(self.image).to(device))

    @property
    def per_epoch(self) -> int:
        """Global batches an epoch."""
        return max(len(self.index) // self.batch_size, min(1, len(self.index)))

    def __call__(self, first: int, last: int) -> Iterator[Batch]:
        """This worker's rows of the global batches of steps ``first`` .. ``last - 1``."""
        for epoch, numbers in self.epochs(first, last):
            order = epoch_order(len(self.index), seed=self.seed, epoch=epoch)
            order = np.resize(order, max(len(order), self.batch_size))  # from its start again
            for number in numbers:
                rows = order[number * self.batch_size : (number + 1) * self.batch_size][self.own]
                yield Batch(index=self.index[rows], image=self.image[rows], label=self.label[rows])


Wanted = tuple[int, NDArray[np.int64]]
"""A row group, and the rows that are wanted of it, numbered within it."""

ReadRows = Callable[[Iterator[list[Wanted]]], Iterator[Batch]]
"""Reads what each epoch wants, in this order, stamped, in parts of one row group each."""


@dataclass(frozen=True, kw_only=True)
class Restreamed(Batches):
    """Batches of a dataset larger than memory, which is read again every epoch, window by window.

    In memory are the rows of a window that this worker keeps, and less than a batch left over from
    the window before.  A batch may be larger than a window.
    """

    read: ReadRows
    """Reads the dataset."""
    groups: tuple[int, ...]
    """Rows of each row group of the file."""
    window: int
    """Most rows of a window."""
    shape: tuple[int, int, int]
    """(H, W, C) of an image."""
    ahead: bool = False
    """Whether a window is put together, in a thread, while the one before is learned from."""

    @property
    def per_epoch(self) -> int:
        """Global batches an epoch."""
        return sum(self.groups) // self.batch_size

    def __call__(self, first: int, last: int) -> Iterator[Batch]:
        """This worker's rows of the global batches of steps ``first`` .. ``last - 1``."""
        share = self.batch_size // self.workers
        blocks = self._blocks(first, last, share)
        for block in _ahead(blocks) if self.ahead else blocks:
            for at in range(0, len(block["index"]), share):
                yield _copied(block, slice(at, at + share))
            del block  # before the next one is made

    def _blocks(self, first: int, last: int, share: int) -> Iterator[Batch]:
        """The rows of each window in order, behind those left over, cut to whole batches."""
        left = empty(0, self.shape)
        parts = self.read(starmap(self._wanted, self.epochs(first, last)))
        for epoch, numbers in self.epochs(first, last):
            for rows in self._own(epoch, numbers):
                block = self._block(left, rows, parts)
                whole = len(block["index"]) // share * share
                left = _copied(block, slice(whole, None))
                block = part(block, slice(whole))
                yield block
                del block

    def _own(self, epoch: int, numbers: range) -> Iterator[NDArray[np.int64]]:
        """This worker's rows of each window that has any of the batches with these numbers."""
        own, seen = self.own, 0
        for rows in windows(self.groups, window=self.window, seed=self.seed, epoch=epoch):
            batch, at = np.divmod(seen + np.arange(len(rows)), self.batch_size)
            wanted = (numbers.start <= batch) & (batch < numbers.stop)
            kept = rows[wanted & (own.start <= at) & (at < own.stop)]
            seen += len(rows)
            if len(kept):
                yield kept

    def _wanted(self, epoch: int, numbers: range) -> list[Wanted]:
        """What is read for the batches of an epoch with these numbers."""
        return [
            (group, rows[at] - self._starts[group])
            for rows in self._own(epoch, numbers)
            for group, at in self._by_group(rows)
        ]

    @property
    def _starts(self) -> NDArray[np.int64]:
        """The first row of each row group."""
        sizes = np.asarray(self.groups, dtype=np.int64)
        return np.cumsum(sizes) - sizes

    def _by_group(self, rows: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.int64]]]:
        """Each row group of some of the rows, ascending, and where those stand in ``rows``."""
        ascending = np.argsort(rows)
        of_row = np.searchsorted(self._starts, rows[ascending], side="right") - 1
        groups, firsts = np.unique(of_row, return_index=True)
        yield from zip(groups.tolist(), np.split(ascending, firsts[1:]), strict=True)

    def _block(self, left: Batch, rows: NDArray[np.int64], parts: Iterator[Batch]) -> Batch:
        """``left``, followed by ``rows`` of the file, in this order, from the next ``parts``."""
        before = len(left["index"])
        block = empty(before + len(rows), self.shape)
        place(block, slice(before), left)
        for _, at in self._by_group(rows):
            at = before + at
            while len(at):
                part = next(parts)
                place(block, at[: len(part["index"])], part)
                at = at[len(part["index"]) :]
        return block


def empty(n: int, shape: tuple[int, int, int]) -> Batch:
    """Room for ``n`` rows with images of ``shape``."""
    index, label = np.empty(n, dtype=np.int64), np.empty(n, dtype=np.int64)
    return Batch(index=index, image=np.empty((n, *shape), dtype=np.uint8), label=label)


def place(room: Batch, at: slice | NDArray[np.int64], rows: Batch) -> None:
    """Put ``rows`` into ``room`` at these places."""
    room["index"][at] = rows["index"]
    room["image"][at] = rows["image"]
    room["label"][at] = rows["label"]


def part(rows: Batch, which: slice) -> Batch:
    """Some of the rows, as views."""
    index, image, label = rows["index"][which], rows["image"][which], rows["label"][which]
    return Batch(index=index, image=image, label=label)


def _copied(rows: Batch, which: slice) -> Batch:
    """Some of the rows, which keep nothing of the others in memory."""
    some = part(rows, which)
    return Batch(index=some["index"].copy(), image=some["image"].copy(), label=some["label"].copy())


def _ahead(blocks: Iterator[Batch]) -> Iterator[Batch]:
    """The same blocks, each made in a thread while the one before is used: two at most."""
    ready: queue.Queue[Batch | BaseException | None] = queue.Queue()
    stopped = threading.Event()

    def make() -> None:
        try:
            for block in blocks:
                ready.put(block)
                del block
                ready.join()  # until it is taken
                if stopped.is_set():
                    return
            ready.put(None)
        except BaseException as error:  # the training's thread raises it
            ready.put(error)

    thread = threading.Thread(target=make, name="windows ahead", daemon=True)
    thread.start()
    try:
        while (block := ready.get()) is not None:
            ready.task_done()
            if isinstance(block, BaseException):
                raise block
            yield block
            del block
    finally:
        stopped.set()
        while thread.is_alive():
            with suppress(queue.Empty):
                ready.get(timeout=0.1)
                ready.task_done()
