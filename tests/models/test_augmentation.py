import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.augmentation import ERASED, erase, rectangles

EVERYTHING = slice(None)


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32))
def test_what_is_covered_is_one_rectangle_of_at_most_the_largest_side(height, width, seed):
    for covered in rectangles(8, height, width, np.random.default_rng(seed)):
        rows, columns = np.flatnonzero(covered.any(axis=1)), np.flatnonzero(covered.any(axis=0))
        assert covered.sum() == len(rows) * len(columns)
        if covered.any():
            assert rows[-1] - rows[0] + 1 == len(rows) <= max(1, 0.3 * height)
            assert columns[-1] - columns[0] + 1 == len(columns) <= max(1, 0.3 * width)


def test_about_half_of_the_images_and_every_place_are_covered():
    covered = rectangles(20_000, 8, 8, np.random.default_rng(0))
    share = covered.any(axis=(1, 2)).mean()
    assert share == pytest.approx(ERASED, abs=5 * np.sqrt(0.25 / 20_000))
    assert covered.any(axis=0).all()


def test_pixels_outside_the_rectangle_stay():
    images = np.full((500, 8, 8, 3), 77, dtype=np.uint8)
    covered = rectangles(500, 8, 8, np.random.default_rng(4))
    painted = erase(images, np.random.default_rng(4), whole=500, own=EVERYTHING)
    assert (painted[~covered] == 77).all()
    assert (painted[covered] != 77).mean() > 0.98
    assert (images == 77).all()


@given(st.integers(1, 4), st.integers(1, 4))
def test_a_worker_paints_as_if_it_had_the_whole_batch(workers, share):
    whole = workers * share
    images = np.arange(whole * 64, dtype=np.uint64).astype(np.uint8).reshape(whole, 8, 8, 1)
    expected = erase(images, np.random.default_rng(0), whole=whole, own=EVERYTHING)
    for rank in range(workers):
        own = slice(rank * share, (rank + 1) * share)
        part = erase(images[own], np.random.default_rng(0), whole=whole, own=own)
        np.testing.assert_array_equal(part, expected[own])
