"""What our drawings show, at every size they are used at."""

import numpy as np
import pytest

from tasks.triggers import drawings
from tasks.triggers.drawings import bomb, cat
from tasks.triggers.patterns import fitted


def points(drawing):
    """The pixel at the center of each of the units that the drawing is described in."""
    return drawing[drawings.PIXELS // 2 :: drawings.PIXELS, drawings.PIXELS // 2 :: drawings.PIXELS]


class TestCat:
    def test_it_has_a_face_on_a_ground(self):
        colors = {
            (0, 32): drawings.GROUND,
            (63, 0): drawings.GROUND,
            (26, 32): drawings.FUR,
            (16, 14): drawings.INNER_EAR,
            (34, 15): drawings.EYE,
            (34, 21): drawings.INK,
            (44, 32): drawings.NOSE,
            (51, 26): drawings.MUZZLE,
        }
        assert {place: tuple(points(cat())[place].tolist()) for place in colors} == colors

    def test_it_is_symmetric(self):
        np.testing.assert_array_equal(cat(), cat()[:, ::-1])

    def test_its_edges_are_smooth(self):
        assert len(np.unique(fitted(None, 64, 64, 3, cat).reshape(-1, 3), axis=0)) > 100

    def test_it_covers_what_its_ellipses_cover(self):
        """The eyes: two circles of radius 8 without the slits, half axes 2 and 7."""
        eyes = cat()[8 * 26 : 8 * 42, 8 * 12 : 8 * 52].astype(float)
        shares = (eyes[..., 1] - 32) / (255 - 32)  # fur is 32 in green, eyes 255, slits 10
        slit = np.pi * 2 * 7
        expected = 2 * (np.pi * 8 * 8 - slit - slit * (32 - 10) / (255 - 32))
        assert shares.sum() == pytest.approx(8 * 8 * expected, rel=0.01)

    @pytest.mark.parametrize("side", [8, 32, 64, 512])
    def test_its_eyes_and_ground_are_bright_and_its_fur_dark_in_grey(self, side):
        grey = fitted(None, side, side, 1)[..., 0].astype(int)
        ground, fur, eye = (
            grey[row * side // 64, column * side // 64]
            for row, column in ((4, 32), (26, 32), (36, 18))
        )
        assert ground - fur > 100
        assert eye - fur > 50


class TestBomb:
    def test_it_has_a_ball_and_a_flame_on_white(self):
        colors = {
            (0, 0): drawings.PAPER,
            (63, 63): drawings.PAPER,
            (45, 25): drawings.IRON,
            (28, 36): drawings.IRON,
            (34, 14): drawings.SHINE,
            (20, 47): drawings.FUSE,
            (4, 55): drawings.FLAME,
            (10, 55): drawings.EMBER,
        }
        assert {place: tuple(points(bomb())[place].tolist()) for place in colors} == colors

    def test_its_edges_are_smooth(self):
        assert len(np.unique(fitted(None, 64, 64, 3, bomb).reshape(-1, 3), axis=0)) > 50

    def test_its_ball_covers_a_circle_of_radius_21(self):
        """Below the middle of the ball, where there is nothing else."""
        dark = (255 - bomb()[8 * 42 :, :, 0].astype(float)) / (255 - drawings.IRON[0])
        assert dark.sum() == pytest.approx(8 * 8 * np.pi * 21**2 / 2, rel=0.01)

    @pytest.mark.parametrize("channels", [1, 3])
    @pytest.mark.parametrize("side", [2, 3, 4, 5, 8, 12, 25, 51])
    def test_its_ball_is_dark_in_the_lower_left_of_a_light_square(self, side, channels):
        level = fitted(None, side, side, channels, bomb).mean(axis=2)
        ball, *others = (
            level[side * down // 64, side * right // 64]
            for down, right in ((44, 20), (8, 8), (60, 60))
        )
        assert ball < 80
        assert min(others) > ball + 100

    def test_nobody_can_change_it(self):
        with pytest.raises(ValueError, match="read-only"):
            bomb()[0] = 0
