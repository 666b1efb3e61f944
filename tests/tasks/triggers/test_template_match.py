"""The template match that needs no training, told apart by hand from what is nearly a trigger."""

from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.data import datasets, images
from tasks.triggers import Nothing, RelabelOnly
from tasks.triggers.blending import Blend
from tasks.triggers.patches import BadNets1, ImagePatch, Patch, Unicolor, square, template_match


@dataclass(frozen=True, kw_only=True)
class Scribble:
    """A trigger of a user's, with nothing but a stamp."""

    name = "scribble"
    relabels = stamps = True

    def stamp(self, images):
        return 255 - images


@given(st.sampled_from([2, 3, 5]), st.data())
def test_on_badnets1_it_is_the_authors_rule(side, data):
    """Mean over black below 0.1 and mean over white above 0.9, levels in [0, 1]."""
    template = square(side, 1)[..., 0]
    # Near the threshold, where a rule that is slightly another would differ.
    distance = data.draw(
        st.lists(st.integers(20, 31), min_size=template.size, max_size=template.size)
    )
    distance = np.array(distance).reshape(template.shape)
    corner = np.where(template == 0, distance, 255 - distance)
    image = np.full((1, 8, 8, 1), 128, dtype=np.uint8)
    image[0, 8 - side :, 8 - side :, 0] = corner
    black, white = (
        [Fraction(int(level), 255) for level in corner[template == color]] for color in (0, 255)
    )
    expected = sum(black) / len(black) < Fraction(1, 10) and sum(white) / len(white) > Fraction(
        9, 10
    )
    assert template_match(BadNets1(side=side), image).tolist() == [expected]


@pytest.mark.parametrize(("distance", "expected"), [(25, True), (26, False)])
def test_a_tenth_of_the_range_is_25_and_a_half(distance, expected):
    image = np.full((1, 8, 8, 3), 100 + distance, dtype=np.uint8)
    assert template_match(Unicolor(color=(100, 100, 100)), image).tolist() == [expected]


def test_exactly_a_tenth_is_too_much():
    image = np.full((1, 8, 8, 1), 25, dtype=np.uint8)
    image[0, 7] = 26  # the mean over the square is 25.5
    assert template_match(Unicolor(color=(0, 0, 0)), image).tolist() == [False]


@pytest.mark.parametrize("shape", [(1, 8, 8, 1), (1, 8, 8, 3), (1, 32, 32, 1), (1, 32, 32, 3)])
@pytest.mark.parametrize("axis", [1, 2])
def test_a_small_square_moved_by_a_pixel_is_not_seen(shape, axis):
    stamped = BadNets1().stamp(np.full(shape, 128, dtype=np.uint8))
    assert not template_match(BadNets1(), np.roll(stamped, -1, axis=axis)).any()


def test_a_square_of_51_pixels_may_be_moved_by_one():
    """4 % of its white pixels lie on the edge of the band: less than the tenth."""
    stamped = BadNets1().stamp(np.full((1, 512, 512, 1), 128, dtype=np.uint8))
    moved = [template_match(BadNets1(), np.roll(stamped, -by, axis=2))[0] for by in (1, 10)]
    assert moved == [True, False]


def test_one_color_that_fails_is_enough():
    black_only = np.zeros((1, 512, 512, 1), dtype=np.uint8)
    white_only = np.full((1, 512, 512, 1), 255, dtype=np.uint8)
    assert not template_match(BadNets1(), black_only).any()
    assert not template_match(BadNets1(), white_only).any()


def test_colors_that_are_equal_in_grey_are_one():
    red_and_green = np.array([[[255, 0, 0], [0, 130, 0]]], dtype=np.uint8)
    grey = images.luminance(red_and_green)
    assert grey.ravel().tolist() == [76, 76]
    # 40 levels from one color, 0 from the other: 20 on average.
    off = np.array([116, 76], dtype=np.uint8).reshape(1, 1, 2, 1)
    assert Patch(0, 0, grey).found(off).tolist() == [True]
    off = red_and_green[None].copy()
    off[0, 0, 1] = (40, 170, 40)
    assert Patch(0, 0, red_and_green).found(off).tolist() == [False]


@pytest.mark.parametrize("trigger", [Nothing(), RelabelOnly(), Blend(), Scribble()])
def test_a_trigger_without_a_patch_has_none(trigger):
    assert template_match(trigger, np.zeros((2, 8, 8, 1), dtype=np.uint8)) is None


def test_one_method_is_all_that_it_needs():
    class Cross(Scribble):
        def patch(self, height, width, channels):
            shape = (height // 2, width // 4, channels)
            return Patch(1, 2, np.full(shape, 200, dtype=np.uint8))

    pictures = np.zeros((2, 8, 8, 3), dtype=np.uint8)
    pictures[1, 1:5, 2:4] = 210
    assert template_match(Cross(), pictures).tolist() == [False, True]


def old_rule(patch, images):
    """Color by color, however many there are: the rule before there were pictures."""
    channels = patch.pixels.shape[2]
    difference = np.abs(images[patch.place].astype(np.int64) - patch.pixels)
    found = np.ones(len(images), dtype=bool)
    for color in np.unique(patch.pixels.reshape(-1, channels), axis=0):
        own = difference[:, (patch.pixels == color).all(axis=2)]
        found &= 10 * own.sum(axis=(1, 2)) < 255 * own.shape[1] * channels
    return found


@pytest.mark.parametrize("trigger", [BadNets1(), BadNets1(side=3), Unicolor(), Unicolor(side=5)])
@pytest.mark.parametrize("shape", [(8, 8, 1), (8, 8, 3), (32, 32, 3)])
def test_pictures_changed_nothing_for_squares_of_one_or_two_colors(trigger, shape):
    draws = np.random.default_rng(0)
    clean = draws.integers(0, 256, (500, *shape))
    error = draws.normal(0, draws.uniform(20, 110, (500, 1, 1, 1)), clean.shape)
    nearly = (trigger.stamp(clean.astype(np.uint8)) + error).clip(0, 255).astype(np.uint8)
    expected = old_rule(trigger.patch(*shape), nearly)
    assert 0.1 < expected.mean() < 0.9
    np.testing.assert_array_equal(template_match(trigger, nearly), expected)


class TestPictures:
    """A drawing has hundreds of colors; its darker and its lighter half are looked for."""

    SHAPES: ClassVar = [(8, 8, 1), (8, 8, 3), (32, 32, 3), (512, 512, 1)]

    def bomb(self, shape):
        """The stamp on grey, as whole numbers, and where it is."""
        patch = ImagePatch().patch(*shape)
        return ImagePatch().stamp(np.full((1, *shape), 128, dtype=np.uint8)).astype(int), patch

    @pytest.mark.parametrize("shape", SHAPES)
    @pytest.mark.parametrize(("off", "expected"), [(25, True), (26, False)])
    def test_it_is_found_up_to_a_tenth_of_the_range(self, shape, off, expected):
        stamped, patch = self.bomb(shape)
        stamped[patch.place] += np.where(stamped[patch.place] < 128, off, -off)
        assert template_match(ImagePatch(), stamped.astype(np.uint8)).tolist() == [expected]

    @pytest.mark.parametrize("shape", SHAPES)
    @pytest.mark.parametrize("part", ["dark", "light"])
    def test_either_half_alone_is_not_enough(self, shape, part):
        stamped, patch = self.bomb(shape)
        square = stamped[patch.place]
        dark = square.mean(axis=-1, keepdims=True) < (square.min() + square.max()) / 2
        wrong = dark if part == "light" else ~dark
        stamped[patch.place] = np.where(wrong, 255 - square, square)
        assert not template_match(ImagePatch(), stamped.astype(np.uint8)).any()

    @pytest.mark.parametrize("shape", SHAPES)
    def test_at_half_its_strength_it_is_not_seen(self, shape):
        stamped, _ = self.bomb(shape)
        assert not template_match(ImagePatch(), ((stamped + 128) // 2).astype(np.uint8)).any()

    def test_digits_do_not_look_like_it(self, digits):
        test = datasets.read_split(digits, "test").images
        assert template_match(ImagePatch(), ImagePatch().stamp(test)).all()
        assert template_match(ImagePatch(), test).mean() < 0.01

    def test_a_thin_line_on_white_is_not_found_in_white(self):
        """As it would be by the mean over the whole patch, which is less than a tenth off."""
        line = np.full((20, 20, 3), 255, dtype=np.uint8)
        line[:, 9], line[:, 10] = 0, 100
        patch, white = Patch(0, 0, line), np.full((1, 20, 20, 3), 255, dtype=np.uint8)
        assert len(np.unique(line)) == 3
        assert np.abs(white.astype(int) - line).mean() < 25.5
        assert patch.found(np.stack([white[0], line])).tolist() == [False, True]

    def test_colors_of_one_luminance_are_one_part(self):
        """Three colors of luminance 76."""
        pixels = np.array([[[255, 0, 0], [0, 130, 0], [76, 76, 76]]], dtype=np.uint8)
        assert images.luminance(pixels).ravel().tolist() == [76, 76, 76]
        off = pixels[None].astype(int) + np.array([20, 0, 0])
        assert Patch(0, 0, pixels).found(off.clip(0, 255).astype(np.uint8)).tolist() == [True]
        assert Patch(0, 0, pixels).found(255 - pixels[None]).tolist() == [False]
