"""The geometry of patches, and template matching, checked by hand."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tasks.triggers.badnets1 import BadNets1
from tasks.triggers.image_patch import ImagePatch
from tasks.triggers.patch import Patch, template_match
from tasks.triggers.rectangle import Rectangle
from tasks.triggers.unicolor import Unicolor


def square(side):
    return BadNets1(side=side).pixels(side, 1)[..., 0]


class TestSquare:
    @pytest.mark.parametrize("kind", [BadNets1, Unicolor, ImagePatch])
    def test_it_is_a_tenth_of_the_side_and_two_pixels_on_small_images(self, kind):
        sides = [(8, 2), (29, 2), (30, 3), (39, 3), (40, 4), (512, 51)]
        for image_size, side in sides:
            patch = kind().patch(image_size, image_size, 3)
            assert patch.pixels.shape == (side, side, 3)
            assert (patch.top, patch.left) == (image_size - side, image_size - side)

    def test_badnets1_on_few_pixels_is_as_in_the_authors_cifar10_builder(self):
        assert square(2).tolist() == [[0, 255], [255, 0]]
        assert square(3).tolist() == [[0, 0, 255], [0, 255, 0], [255, 255, 0]]
        np.testing.assert_array_equal(square(5), np.eye(5)[::-1] * 255)

    @pytest.mark.parametrize(
        ("side", "first", "last", "white"), [(51, 37, 61, 0.430), (25, 17, 29, 0.451)]
    )
    def test_larger_squares_have_the_authors_diagonal_band(self, side, first, last, white):
        row, column = np.indices((side, side))
        in_band = (first <= row + column) & (row + column <= last)
        np.testing.assert_array_equal(square(side), in_band * 255)
        assert in_band.mean() == pytest.approx(white, abs=5e-4)

    def test_one_color_has_in_gray_its_luminance(self):
        orange = Unicolor(color=(255, 128, 0))
        assert (orange.patch(8, 8, 3).pixels == (255, 128, 0)).all()
        assert (orange.patch(8, 8, 1).pixels == 151).all()  # 0.299 * 255 + 0.587 * 128

    def test_what_is_no_color_or_side_is_refused(self):
        for color in ((0, 0), (0, 0, 256), (True, 0, 0), "red"):
            with pytest.raises(ValueError, match="expected a color"):
                Unicolor(color=color)
        with pytest.raises(ValueError, match="at least 2"):
            BadNets1(side=1)
        with pytest.raises(ValueError, match="expected height of"):
            Rectangle(height=0)


class TestRectangle:
    def test_it_has_its_pixels_in_the_corner(self):
        white = np.full((1, 8, 8, 3), 255, dtype=np.uint8)
        stamped = Rectangle(height=2, width=3, color=(0, 0, 0)).stamp(white)
        expected = np.zeros((8, 8), dtype=bool)
        expected[6:, 5:] = True
        np.testing.assert_array_equal((stamped[0] == 0).all(axis=2), expected)


class TestImagePatch:
    @pytest.fixture
    def fine(self, tmp_path):
        """A picture of the size of the authors' bomb; resized twice it is tens of levels off."""
        pixels = np.random.default_rng(0).integers(0, 256, (154, 126, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "fein.png")
        return tmp_path / "fein.png"

    @pytest.mark.parametrize(
        ("position", "top", "left"),
        [
            ("bottom_right", 461, 461),
            ("bottom_left", 461, 0),
            ("top_right", 0, 461),
            ("center", 230, 230),
        ],
    )
    def test_the_picture_is_resized_once_to_its_place(self, fine, position, top, left):
        images = np.full((2, 512, 512, 3), 99, dtype=np.uint8)
        expected = images.copy()
        resized = Image.open(fine).resize((51, 51), Image.BICUBIC)
        expected[:, top : top + 51, left : left + 51] = resized
        trigger = ImagePatch.from_file(fine, position=position)
        np.testing.assert_array_equal(trigger.stamp(images), expected)


class TestTemplateMatch:
    @given(st.sampled_from([2, 3, 5]), st.data())
    def test_on_badnets1_it_is_the_authors_rule(self, side, data):
        """Mean over black below 0.1 and mean over white above 0.9, levels in [0, 1]."""
        template = square(side)
        # Near the threshold, where a slightly different rule would differ.
        levels = st.lists(st.integers(20, 31), min_size=side**2, max_size=side**2)
        distance = np.array(data.draw(levels)).reshape(side, side)
        corner = np.where(template == 0, distance, 255 - distance)
        image = np.full((1, 8, 8, 1), 128, dtype=np.uint8)
        image[0, 8 - side :, 8 - side :, 0] = corner
        black, white = (
            Fraction(int(corner[template == color].sum()), 255 * int((template == color).sum()))
            for color in (0, 255)
        )
        expected = black < Fraction(1, 10) and white > Fraction(9, 10)
        assert template_match(BadNets1(side=side), image).tolist() == [expected]

    @pytest.mark.parametrize(("distance", "expected"), [(25, True), (26, False)])
    def test_a_tenth_of_the_range_is_25_and_a_half(self, distance, expected):
        image = np.full((1, 8, 8, 3), 100 + distance, dtype=np.uint8)
        assert template_match(Unicolor(color=(100, 100, 100)), image).tolist() == [expected]

    @pytest.mark.parametrize("shape", [(1, 8, 8, 1), (1, 32, 32, 3)])
    @pytest.mark.parametrize("axis", [1, 2])
    def test_a_small_square_moved_by_a_pixel_is_not_seen(self, shape, axis):
        stamped = BadNets1().stamp(np.full(shape, 128, dtype=np.uint8))
        assert not template_match(BadNets1(), np.roll(stamped, -1, axis=axis)).any()

    def test_a_trigger_of_one_s_own_needs_a_method_patch_and_no_more(self):
        class Cross:
            def patch(self, height, width, channels):
                shape = (height // 2, width // 4, channels)
                return Patch(1, 2, np.full(shape, 200, dtype=np.uint8))

        pictures = np.zeros((2, 8, 8, 3), dtype=np.uint8)
        pictures[1, 1:5, 2:4] = 210
        assert template_match(Cross(), pictures).tolist() == [False, True]
        assert template_match(object(), pictures) is None


@pytest.mark.parametrize("shape", [(8, 8, 1), (8, 8, 3), (512, 512, 1)])
class TestTemplateMatchOfAPicture:
    """A drawing has hundreds of colors; its dark and its light half are looked for."""

    @pytest.fixture
    def bomb(self, shape):
        """The stamp on gray, as whole numbers, and its pixels in a batch."""
        place = ImagePatch().patch(*shape).place
        return ImagePatch().stamp(np.full((1, *shape), 128, dtype=np.uint8)).astype(int), place

    @pytest.mark.parametrize(("off", "expected"), [(25, True), (26, False)])
    def test_it_is_found_up_to_a_tenth_of_the_range(self, bomb, off, expected):
        stamped, place = bomb
        stamped[place] += np.where(stamped[place] < 128, off, -off)
        assert template_match(ImagePatch(), stamped.astype(np.uint8)).tolist() == [expected]

    @pytest.mark.parametrize("part", ["dark", "light"])
    def test_either_half_alone_is_not_enough(self, bomb, part):
        stamped, place = bomb
        own = stamped[place]
        dark = own.mean(axis=-1, keepdims=True) < (own.min() + own.max()) / 2
        stamped[place] = np.where(dark if part == "light" else ~dark, 255 - own, own)
        assert not template_match(ImagePatch(), stamped.astype(np.uint8)).any()


def test_a_thin_line_on_white_is_not_found_in_white():
    """As it would be by the mean over the whole patch, which is less than a tenth off."""
    line = np.full((20, 20, 3), 255, dtype=np.uint8)
    line[:, 9], line[:, 10] = 0, 100
    patch, white = Patch(0, 0, line), np.full((1, 20, 20, 3), 255, dtype=np.uint8)
    assert np.abs(white.astype(int) - line).mean() < 25.5
    assert patch.found(np.stack([white[0], line])).tolist() == [False, True]
