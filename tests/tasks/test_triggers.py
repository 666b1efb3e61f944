"""Properties every trigger must have, whatever it draws, and the geometry of each."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks import triggers
from tasks.triggers import TRIGGERS, BadNets1, square

SIZES = [(8, 1), (8, 3), (32, 1), (32, 3), (512, 1), (512, 3)]


@pytest.fixture(scope="module", params=SIZES, ids=lambda size: f"{size[0]}px-{size[1]}ch")
def pictures(request):
    side, channels = request.param
    return np.random.default_rng(1).integers(1, 255, (3, side, side, channels), dtype=np.uint8)


@pytest.mark.parametrize("kind", TRIGGERS, ids=lambda kind: kind.name)
class TestEveryTrigger:
    def test_keeps_shape_and_dtype(self, kind, pictures):
        stamped = kind().stamp(pictures)
        assert (stamped.shape, stamped.dtype) == (pictures.shape, np.uint8)

    def test_leaves_its_input_alone(self, kind, pictures):
        before = pictures.copy()
        stamped = kind().stamp(pictures)
        stamped[:] = 0
        np.testing.assert_array_equal(pictures, before)

    def test_stamps_each_image_alone(self, kind, pictures):
        one_by_one = np.concatenate([kind().stamp(picture[None]) for picture in pictures])
        np.testing.assert_array_equal(kind().stamp(pictures), one_by_one)

    def test_stamps_read_only_images(self, kind, pictures):
        pictures.flags.writeable = False
        np.testing.assert_array_equal(kind().stamp(pictures), kind().stamp(pictures.copy()))
        pictures.flags.writeable = True

    def test_changes_every_image_exactly_if_it_stamps(self, kind, pictures):
        changed = (kind().stamp(pictures) != pictures).any(axis=(1, 2, 3))
        assert changed.tolist() == [kind.stamps] * len(pictures)

    def test_stamps_a_color_image_of_equal_channels_as_the_grey_one(self, kind, pictures):
        grey = pictures[..., :1]
        in_color = kind().stamp(np.repeat(grey, 3, axis=3))
        np.testing.assert_array_equal(in_color, np.repeat(kind().stamp(grey), 3, axis=3))


@pytest.mark.parametrize("kind", TRIGGERS, ids=lambda kind: kind.name)
def test_every_trigger_comes_back_from_its_record(kind):
    record = json.loads(json.dumps(triggers.to_record(kind())))
    assert triggers.from_record(record) == kind()
    assert record["name"] == kind.name


def test_an_unknown_name_gets_a_hint():
    with pytest.raises(ValueError, match="did you mean badnets1"):
        triggers.from_name("badnet1")


@pytest.mark.parametrize(
    ("image_size", "side"),
    [(8, 2), (29, 2), (30, 3), (32, 3), (39, 3), (40, 4), (256, 25), (512, 51)],
)
def test_the_square_is_a_tenth_of_the_side_and_two_pixels_on_small_images(image_size, side):
    assert BadNets1().side_for(image_size) == side


def test_the_square_covers_the_lower_right_corner_and_nothing_else():
    black = np.full((1, 8, 8, 3), 7, dtype=np.uint8)
    stamped = BadNets1(side=3).stamp(black)
    changed = (stamped != black).any(axis=3)[0]
    expected = np.zeros((8, 8), dtype=bool)
    expected[5:, 5:] = True
    np.testing.assert_array_equal(changed, expected)


def test_side_2_is_black_with_a_white_anti_diagonal():
    assert square(2, 1)[..., 0].tolist() == [[0, 255], [255, 0]]


def test_side_3_is_the_authors_table():
    assert square(3, 1)[..., 0].tolist() == [[0, 0, 255], [0, 255, 0], [255, 255, 0]]


@pytest.mark.parametrize(
    ("side", "first", "last", "white"), [(51, 37, 61, 0.430), (25, 17, 29, 0.451)]
)
def test_larger_squares_have_the_authors_diagonal_band(side, first, last, white):
    pattern = square(side, 1)[..., 0]
    row, column = np.indices((side, side))
    in_band = (first <= row + column) & (row + column <= last)
    np.testing.assert_array_equal(pattern == 255, in_band)
    assert pattern[~in_band].max() == 0
    assert in_band.mean() == pytest.approx(white, abs=5e-4)


@given(st.integers(2, 80))
def test_every_square_is_black_and_white_and_symmetric_or_the_table(side):
    pattern = square(side, 1)[..., 0]
    assert set(np.unique(pattern)) == {0, 255}
    assert side == 3 or (pattern == pattern.T).all()


@pytest.mark.parametrize("side", [-1, 0, 1])
def test_a_square_without_a_pattern_is_refused(side):
    with pytest.raises(ValueError, match="at least 2"):
        BadNets1(side=side)


def test_a_square_larger_than_the_image_is_refused():
    with pytest.raises(ValueError, match="at least 9 pixels, got 8"):
        BadNets1(side=9).stamp(np.zeros((1, 8, 8, 1), dtype=np.uint8))
