import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.batches import Held, epoch_order, own_rows, steps


def held(n=20, batch_size=6, **placement):
    image = np.arange(n, dtype=np.uint8).reshape(n, 1, 1, 1)
    index = np.arange(n) + 100
    return Held(
        index=index, image=image, label=index % 7, batch_size=batch_size, seed=3, **placement
    )


def indices(batches):
    return [batch["index"].tolist() for batch in batches]


@given(st.integers(1, 200), st.integers(0, 9), st.integers(0, 9))
def test_an_epoch_is_a_permutation(n, seed, epoch):
    assert sorted(epoch_order(n, seed=seed, epoch=epoch)) == list(range(n))


def test_the_order_depends_on_seed_and_epoch_alone():
    orders = {
        (seed, epoch): tuple(epoch_order(50, seed=seed, epoch=epoch))
        for seed in range(3)
        for epoch in range(3)
    }
    assert len(set(orders.values())) == 9
    assert tuple(epoch_order(50, seed=1, epoch=2)) == orders[1, 2]


@given(st.integers(1, 6), st.integers(1, 8))
def test_workers_share_a_batch_without_gap_or_overlap(workers, share):
    batch = np.arange(workers * share)
    parts = [batch[own_rows(len(batch), rank=rank, workers=workers)] for rank in range(workers)]
    np.testing.assert_array_equal(np.concatenate(parts), batch)


def test_a_batch_that_cannot_be_shared_is_refused():
    with pytest.raises(ValueError, match="share equally, got 64; use 63"):
        own_rows(64, rank=0, workers=3)


def test_an_epoch_has_whole_batches_of_different_images():
    batches = indices(held()(0))
    assert [len(batch) for batch in batches] == [6, 6, 6] == [6] * held().per_epoch
    assert len({index for batch in batches for index in batch}) == 18


def test_rows_of_a_batch_belong_together():
    for batch in held()(2):
        np.testing.assert_array_equal(batch["image"].ravel() + 100, batch["index"])
        np.testing.assert_array_equal(batch["index"] % 7, batch["label"])


def test_the_parts_of_two_workers_make_the_whole_batch():
    first, second = (indices(held(rank=rank, workers=2)(1)) for rank in (0, 1))
    assert [a + b for a, b in zip(first, second, strict=True)] == indices(held()(1))


@given(st.integers(0, 10), st.integers(0, 10))
def test_steps_from_anywhere_are_the_same_steps(first, more):
    everything = indices(steps(held(), 0, 21))
    assert indices(steps(held(), first, first + more)) == everything[first : first + more]


def test_a_dataset_smaller_than_a_batch_is_refused():
    with pytest.raises(ValueError, match="lower batch_size"):
        next(steps(held(n=5), 0, 1))


def test_a_batch_says_nothing_about_poison():
    assert all(batch.keys() == {"index", "image", "label"} for batch in held()(0))
