"""The geometry of each patch; what all patches share is in ``test_triggers``."""

import hashlib
import os
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from orchestrator.step import canonical
from tasks.triggers import drawings
from tasks.triggers.patches import POSITIONS, BadNets1, ImagePatch, Unicolor, square


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


def test_five_pixels_are_the_authors_other_cifar10_square():
    assert (square(5, 1)[..., 0] // 255).tolist() == [
        [0, 0, 0, 0, 1],
        [0, 0, 0, 1, 0],
        [0, 0, 1, 0, 0],
        [0, 1, 0, 0, 0],
        [1, 0, 0, 0, 0],
    ]


@pytest.mark.parametrize("side", [-1, 0, 1])
def test_a_square_without_a_pattern_is_refused(side):
    with pytest.raises(ValueError, match="at least 2"):
        BadNets1(side=side)


def test_a_square_larger_than_the_image_is_refused():
    with pytest.raises(ValueError, match="at least 9 pixels, got 8"):
        BadNets1(side=9).stamp(np.zeros((1, 8, 8, 1), dtype=np.uint8))


class TestUnicolor:
    @pytest.mark.parametrize("image_size", [8, 29, 30, 32, 512])
    def test_it_is_where_badnets1_is(self, image_size):
        ours, theirs = (
            trigger.patch(image_size, image_size, 3) for trigger in (Unicolor(), BadNets1())
        )
        assert (ours.place, ours.pixels.shape) == (theirs.place, theirs.pixels.shape)

    def test_it_has_its_color_and_in_grey_its_luminance(self):
        orange = Unicolor(color=(255, 128, 0))
        assert (orange.patch(8, 8, 3).pixels == (255, 128, 0)).all()
        assert (orange.patch(8, 8, 1).pixels == 151).all()  # 0.299 * 255 + 0.587 * 128

    @pytest.mark.parametrize(
        "color",
        [(0, 0), (0, 0, 256), (-1, 0, 0), (0.5, 0, 0), (True, 0, 0), [0, 0, 0], "red", None],
    )
    def test_what_is_no_color_is_refused(self, color):
        with pytest.raises(ValueError, match="expected a color"):
            Unicolor(color=color)

    def test_a_side_of_one_is_refused(self):
        with pytest.raises(ValueError, match="at least 2"):
            Unicolor(side=1)


@pytest.fixture
def four_colors(tmp_path):
    """A picture whose quarters are red, green, blue and white, from the upper left on."""
    pixels = np.zeros((60, 40, 3), dtype=np.uint8)
    pixels[:30, :20] = (255, 0, 0)
    pixels[:30, 20:] = (0, 255, 0)
    pixels[30:, :20] = (0, 0, 255)
    pixels[30:, 20:] = (255, 255, 255)
    Image.fromarray(pixels).save(tmp_path / "vier Farben.png")
    return tmp_path / "vier Farben.png"


PLACES = {
    "bottom_right": lambda free: (free, free),
    "bottom_left": lambda free: (free, 0),
    "top_left": lambda _: (0, 0),
    "top_right": lambda free: (0, free),
    "center": lambda free: (free // 2, free // 2),
}


class TestImagePatch:
    @pytest.mark.parametrize(("image_size", "side"), [(8, 2), (32, 3), (512, 51)])
    @pytest.mark.parametrize("position", PLACES)
    def test_it_lands_where_it_says_and_nowhere_else(self, four_colors, image_size, side, position):
        trigger = ImagePatch.from_file(four_colors, position=position)
        images = np.full((2, image_size, image_size, 3), 99, dtype=np.uint8)
        stamped = trigger.stamp(images)
        top, left = PLACES[position](image_size - side)
        expected = np.asarray(Image.open(four_colors).resize((side, side), Image.BICUBIC))
        for image in stamped:
            np.testing.assert_array_equal(image[top : top + side, left : left + side], expected)
            image[top : top + side, left : left + side] = 99
        np.testing.assert_array_equal(stamped, images)
        quarters = expected[0, 0], expected[0, -1], expected[-1, 0]
        assert [color.argmax() for color in quarters] == [0, 1, 2]  # red, green, blue
        assert expected[-1, -1].min() > 200  # white

    def test_there_is_a_place_for_every_position(self):
        assert PLACES.keys() == POSITIONS.keys()

    def test_on_a_wide_image_it_keeps_to_its_corner(self, four_colors):
        wide = np.zeros((1, 40, 90, 1), dtype=np.uint8)
        for position, place in (("bottom_left", (36, 0)), ("center", (18, 43))):
            patch = ImagePatch.from_file(four_colors, position=position).patch(*wide.shape[1:])
            assert (patch.top, patch.left, patch.pixels.shape) == (*place, (4, 4, 1))

    def test_by_default_it_is_a_bomb(self):
        whole = ImagePatch(side=512).patch(512, 512, 3).pixels
        np.testing.assert_array_equal(whole, drawings.bomb())

    def test_a_picture_of_the_authors_bombs_size_is_reduced_once(self, tmp_path):
        """126 x 154 pixels to 51, as at 512 pixels; through 64 it is tens of levels off."""
        shape = (154, 126, 3)
        fine = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        Image.fromarray(fine).save(tmp_path / "fine.png")
        made = ImagePatch.from_file(tmp_path / "fine.png").patch(512, 512, 3).pixels
        once = Image.fromarray(fine).resize((51, 51), Image.Resampling.BICUBIC)
        np.testing.assert_array_equal(made, once)

    @pytest.mark.parametrize("image_size", [8, 29, 30, 32, 512])
    def test_it_is_as_large_as_badnets1(self, image_size):
        ours, theirs = (
            trigger.patch(image_size, image_size, 3) for trigger in (ImagePatch(), BadNets1())
        )
        assert (ours.place, ours.pixels.shape) == (theirs.place, theirs.pixels.shape)

    def test_the_file_may_go(self, four_colors):
        trigger = ImagePatch.from_file(str(four_colors), side=5)
        four_colors.unlink()
        assert trigger == ImagePatch(side=5, picture=trigger.picture)
        assert trigger != ImagePatch(side=5)
        assert trigger.stamp(np.zeros((1, 8, 8, 3), dtype=np.uint8))[0, 3:, 3:].any()
        assert len(repr(trigger)) < 150

    def test_a_picture_is_its_files_content_wherever_it_lay(self, four_colors, tmp_path):
        copy = shutil.copy(four_colors, tmp_path / "copy.png")
        os.utime(copy, ns=(1, 1))
        made = ImagePatch.from_file(four_colors)
        assert canonical(made) == canonical(ImagePatch.from_file(copy))
        digest = hashlib.sha256(four_colors.read_bytes()).hexdigest()
        assert canonical(made)["picture"] == {"type": "Picture", "sha256": digest}

    def test_a_file_that_is_no_image_is_named(self, tmp_path):
        (tmp_path / "bomb.txt").write_text("tick")
        with pytest.raises(ValueError, match=r"bomb\.txt'?: no image in a format"):
            ImagePatch.from_file(tmp_path / "bomb.txt")

    def test_a_picture_that_does_not_decode_is_refused(self):
        with pytest.raises(ValueError, match=r"or ImagePatch\.from_file"):
            ImagePatch(picture="bomb.png")

    def test_an_unknown_position_is_refused(self):
        with pytest.raises(ValueError, match=r"bottom_left, .* got 'middle'"):
            ImagePatch(position="middle")

    @pytest.mark.parametrize("side", [-1, 0, 1])
    def test_a_side_of_one_is_refused(self, side):
        with pytest.raises(ValueError, match="at least 2"):
            ImagePatch(side=side)

    def test_a_patch_larger_than_the_image_is_refused(self):
        with pytest.raises(ValueError, match="at least 9 pixels, got 8"):
            ImagePatch(side=9).stamp(np.zeros((1, 8, 8, 1), dtype=np.uint8))
