"""The template match that needs no training, told apart by hand from what is nearly a trigger."""

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks import images
from tasks.triggers import (
    BadNets1,
    Blend,
    Nothing,
    Patch,
    RelabelOnly,
    Unicolor,
    square,
    witness,
)


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
    assert witness(BadNets1(side=side), image).tolist() == [expected]


@pytest.mark.parametrize(("distance", "expected"), [(25, True), (26, False)])
def test_a_tenth_of_the_range_is_25_and_a_half(distance, expected):
    image = np.full((1, 8, 8, 3), 100 + distance, dtype=np.uint8)
    assert witness(Unicolor(color=(100, 100, 100)), image).tolist() == [expected]


def test_exactly_a_tenth_is_too_much():
    image = np.full((1, 8, 8, 1), 25, dtype=np.uint8)
    image[0, 7] = 26  # the mean over the square is 25.5
    assert witness(Unicolor(color=(0, 0, 0)), image).tolist() == [False]


@pytest.mark.parametrize("shape", [(1, 8, 8, 1), (1, 8, 8, 3), (1, 32, 32, 1), (1, 32, 32, 3)])
@pytest.mark.parametrize("axis", [1, 2])
def test_a_small_square_moved_by_a_pixel_is_not_seen(shape, axis):
    stamped = BadNets1().stamp(np.full(shape, 128, dtype=np.uint8))
    assert not witness(BadNets1(), np.roll(stamped, -1, axis=axis)).any()


def test_a_square_of_51_pixels_may_be_moved_by_one():
    """4 % of its white pixels lie on the edge of the band: less than the tenth."""
    stamped = BadNets1().stamp(np.full((1, 512, 512, 1), 128, dtype=np.uint8))
    moved = [witness(BadNets1(), np.roll(stamped, -by, axis=2))[0] for by in (1, 10)]
    assert moved == [True, False]


def test_one_color_that_fails_is_enough():
    black_only = np.zeros((1, 512, 512, 1), dtype=np.uint8)
    white_only = np.full((1, 512, 512, 1), 255, dtype=np.uint8)
    assert not witness(BadNets1(), black_only).any()
    assert not witness(BadNets1(), white_only).any()


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
    assert witness(trigger, np.zeros((2, 8, 8, 1), dtype=np.uint8)) is None


def test_one_method_is_all_that_it_needs():
    class Cross(Scribble):
        def patch(self, height, width, channels):
            shape = (height // 2, width // 4, channels)
            return Patch(1, 2, np.full(shape, 200, dtype=np.uint8))

    pictures = np.zeros((2, 8, 8, 3), dtype=np.uint8)
    pictures[1, 1:5, 2:4] = 210
    assert witness(Cross(), pictures).tolist() == [False, True]
