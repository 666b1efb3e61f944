from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.augmentation import ERASED, erase, flip, rectangles, shift

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


def numbered(count, side=8):
    """Images that are all different, uint8, (count, side, side, 1)."""
    pixels = np.arange(count * side * side, dtype=np.uint64) * 2654435761 >> 7
    return pixels.astype(np.uint8).reshape(count, side, side, 1)


def test_about_half_of_the_images_are_mirrored_and_the_others_stay():
    images = numbered(2000)
    flipped = flip(images, np.random.default_rng(0), whole=2000, own=EVERYTHING)
    same = (flipped == images).all(axis=(1, 2, 3))
    np.testing.assert_array_equal(flipped[~same], images[~same][:, :, ::-1])
    assert same.mean() == pytest.approx(0.5, abs=5 * np.sqrt(0.25 / 2000))


@given(st.integers(0, 7), st.integers(0, 2**32))
def test_a_moved_image_is_a_crop_of_the_padded_one(pixels, seed):
    images = numbered(3)
    moved = shift(images, np.random.default_rng(seed), pixels=pixels, whole=3, own=EVERYTHING)
    corners = np.random.default_rng(seed).integers(0, 2 * pixels + 1, (3, 2))
    for image, (top, left), found in zip(images, corners, moved, strict=True):
        canvas = np.zeros((8 + 2 * pixels, 8 + 2 * pixels, 1), dtype=np.uint8)
        canvas[pixels : pixels + 8, pixels : pixels + 8] = image
        np.testing.assert_array_equal(found, canvas[top : top + 8, left : left + 8])


@pytest.mark.parametrize(
    "change", [erase, flip, partial(shift, pixels=2)], ids=["erase", "flip", "shift"]
)
@given(workers=st.integers(1, 4), share=st.integers(1, 4))
def test_a_worker_changes_images_as_if_it_had_the_whole_batch(change, workers, share):
    whole = workers * share
    images = numbered(whole)
    before = images.copy()
    expected = change(images, np.random.default_rng(0), whole=whole, own=EVERYTHING)
    for rank in range(workers):
        own = slice(rank * share, (rank + 1) * share)
        part = change(images[own], np.random.default_rng(0), whole=whole, own=own)
        np.testing.assert_array_equal(part, expected[own])
    np.testing.assert_array_equal(images, before)
