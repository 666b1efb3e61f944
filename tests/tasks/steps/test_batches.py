import threading
import tracemalloc
from dataclasses import replace
from itertools import chain, pairwise

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from models.randomness import generator
from tasks.steps.batches import Batch, Held, Restreamed, own_rows, windows


def held(n=20, batch_size=6, **placement):
    image = np.arange(n, dtype=np.uint8).reshape(n, 1, 1, 1)
    index = np.arange(n) + 100
    return Held(
        index=index, image=image, label=index % 7, batch_size=batch_size, seed=3, **placement
    )


def epoch(made, number, first=0):
    """The batches of an epoch, from batch ``first`` on."""
    n = made.per_epoch
    return made(number * n + first, (number + 1) * n)


def indices(batches):
    return [batch["index"].tolist() for batch in batches]


@given(st.integers(1, 6), st.integers(1, 8))
def test_workers_share_a_batch_without_gap_or_overlap(workers, share):
    batch = np.arange(workers * share)
    parts = [batch[own_rows(len(batch), rank=rank, workers=workers)] for rank in range(workers)]
    np.testing.assert_array_equal(np.concatenate(parts), batch)


def test_a_batch_that_cannot_be_shared_is_refused():
    with pytest.raises(ValueError, match="share equally, got 64; use 63"):
        own_rows(64, rank=0, workers=3)


def test_an_epoch_has_whole_batches_of_different_images():
    batches = indices(epoch(held(), 0))
    assert [len(batch) for batch in batches] == [6, 6, 6] == [6] * held().per_epoch
    assert len({index for batch in batches for index in batch}) == 18
    assert all(batch.keys() == {"index", "image", "label"} for batch in held()(0, 3))  # no poison


@given(st.integers(0, 10), st.integers(0, 10))
def test_steps_from_anywhere_are_the_same_steps(first, more):
    everything = indices(held()(0, 21))
    assert indices(held()(first, first + more)) == everything[first : first + more]


def test_a_dataset_smaller_than_a_batch_fills_it_with_images_again():
    few = held(5, batch_size=12)
    [drawn] = indices(epoch(few, 0))
    assert few.per_epoch == 1
    assert sorted(drawn[:5]) == sorted(drawn[5:10]) == [100, 101, 102, 103, 104]
    assert sorted(map(drawn.count, range(100, 105))) == [2, 2, 2, 3, 3]


def test_an_empty_dataset_is_refused():
    with pytest.raises(ValueError, match="lower batch_size"):
        next(held(0, batch_size=12)(0, 1))


GROUPS = st.lists(st.integers(1, 30), min_size=1, max_size=12)


def order(groups, window, seed=0, epoch=0):
    return [rows.tolist() for rows in windows(groups, window=window, seed=seed, epoch=epoch)]


class TestWindows:
    @given(GROUPS, st.integers(1, 100), st.integers(0, 9))
    def test_a_window_is_as_many_whole_row_groups_as_fit(self, groups, window, epoch):
        ends = np.cumsum(groups)
        sizes = []
        for rows in order(groups, window, epoch=epoch):
            found = np.unique(np.searchsorted(ends, rows, side="right"))
            assert len(rows) == sum(groups[group] for group in found)
            assert len(rows) <= window or len(found) == 1
            sizes.append((len(rows), found))
        if sum(groups) > window:  # the next window's first row group is found among its own
            for (size, _), (_, following) in pairwise(sizes):
                assert size + max(groups[group] for group in following) > window

    def test_an_order_worked_out_by_hand(self):
        """Row groups of rows 0-2, 3-4, 5-7, 8-10 and 11; a window holds five rows."""
        drawn = generator(2, "order of row groups", 1).permutation(5)
        assert drawn.tolist() == [3, 2, 0, 1, 4]
        alone = [[8, 9, 10], [5, 6, 7]]  # groups 3 and 2; together they would have six
        pair, last = [0, 1, 2, 3, 4], [11]  # groups 0 and 1; group 4, the sixth row
        assert order([3, 2, 3, 3, 1], 5, seed=2, epoch=1) == [
            generator(2, "order of a window", 1, number).permutation(rows).tolist()
            for number, rows in enumerate([*alone, pair, last])
        ]


class FromMemory:
    """A file's rows: row r is image r + 100, its pixels r % 251; a part holds at most four."""

    def __init__(self, groups, shape=(1, 1, 1)):
        self.starts = np.cumsum(groups) - groups
        self.shape = shape
        self.read = []

    def __call__(self, epochs):
        for group, rows in chain.from_iterable(epochs):
            self.read += (self.starts[group] + rows).tolist()
            for first in range(0, len(rows), 4):
                row = self.starts[group] + rows[first : first + 4]
                image = np.empty((len(row), *self.shape), np.uint8)
                image[:] = (row % 251)[:, None, None, None]
                yield Batch(index=row + 100, image=image, label=row % 7)


def restreamed(groups=(8, 5, 8, 8, 3), window=16, batch_size=6, shape=(1, 1, 1), **placement):
    like = Batch(
        index=np.empty(0, int), image=np.empty((0, *shape), np.uint8), label=np.empty(0, int)
    )
    file = {"read": FromMemory(groups, shape), "groups": groups, "like": like}
    return Restreamed(**file, window=window, batch_size=batch_size, seed=3, **placement)


class TestRestreaming:
    @given(GROUPS, st.integers(1, 60), st.integers(1, 40), st.integers(0, 3))
    def test_batches_are_the_epoch_s_order_cut_evenly(self, groups, window, size, number):
        made = restreamed(tuple(groups), window, size)
        assume(made.per_epoch)
        rows = np.concatenate(list(windows(groups, window=window, seed=3, epoch=number)))
        whole = rows[: made.per_epoch * size].reshape(-1, size)
        found = list(epoch(made, number))
        assert [(batch["index"] - 100).tolist() for batch in found] == whole.tolist()
        for batch in found:
            row = batch["index"] - 100
            np.testing.assert_array_equal(batch["image"].ravel(), row % 251)
            np.testing.assert_array_equal(batch["label"], row % 7)

    @given(st.integers(0, 12), st.integers(0, 12))
    def test_steps_from_anywhere_are_the_same_steps(self, first, more):
        everything = indices(restreamed()(0, 24))
        assert indices(restreamed()(first, first + more)) == everything[first : first + more]

    @given(st.integers(1, 40), st.integers(1, 4), st.integers(1, 4), st.integers(0, 3))
    def test_workers_have_the_batches_of_one_between_them(self, window, share, workers, first):
        size = share * workers
        placed = [
            restreamed(window=window, batch_size=size, rank=rank, workers=workers)
            for rank in range(workers)
        ]
        parts = [indices(epoch(made, 1, first)) for made in placed]
        together = [list(chain(*batch)) for batch in zip(*parts, strict=True)]
        assert together == indices(epoch(restreamed(window=window, batch_size=size), 1, first))
        read = [row for made in placed for row in made.read.read]
        assert len(read) == len(set(read)) == sum(map(len, together))

    def test_four_times_the_dataset_takes_no_more_memory(self):
        small, large = (
            peak(restreamed((32,) * groups, 256, 32, (32, 32, 3))) for groups in (40, 160)
        )
        assert large < 1.05 * small

    def test_a_window_made_ahead_is_the_same_and_takes_room_for_one_more(self):
        many = (32,) * 40, 256, 32, (32, 32, 3)
        found = zip(
            epoch(restreamed(*many, ahead=True), 0), epoch(restreamed(*many), 0), strict=True
        )
        for one, other in found:
            for name in one:
                np.testing.assert_array_equal(one[name], other[name])
        alone, ahead = (peak(restreamed(*many, ahead=ahead)) for ahead in (False, True))
        assert ahead < alone + 1.1 * 256 * 32 * 32 * 3

    def test_the_next_window_is_read_while_one_is_learned_from(self):
        second = threading.Event()

        class Noting(FromMemory):
            def __call__(self, epochs):
                for part in super().__call__(epochs):
                    if len(self.read) > 16:  # rows of the second window
                        second.set()
                    yield part

        made = replace(restreamed(ahead=True), read=Noting((8, 5, 8, 8, 3)))
        drawn = made(0, 5)
        next(drawn)
        assert second.wait(10)
        drawn.close()
        assert len(made.read.read) <= 32
        assert "windows ahead" not in {thread.name for thread in threading.enumerate()}

    def test_what_goes_wrong_ahead_is_the_training_s_error(self):
        class Broken(FromMemory):
            def __call__(self, epochs):
                yield next(super().__call__(epochs))
                raise ValueError("a part is broken")

        made = replace(restreamed(ahead=True), read=Broken((8, 5, 8, 8, 3)))
        with pytest.raises(ValueError, match="a part is broken"):
            list(made(0, 5))


def peak(made):
    """Most bytes that Python and numpy hold while an epoch is iterated."""
    tracemalloc.start()
    for _ in epoch(made, 0):
        made.read.read.clear()
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return most
