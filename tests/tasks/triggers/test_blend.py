"""The blend, by hand and exactly."""

from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from tasks.triggers.blend import Blend
from tests.pictures import picture


def blended(x, k, **settings):
    """One level of an image after a pattern of one level was blended in."""
    pattern = picture(np.full((2, 2, 3), k, dtype=np.uint8))
    stamped = Blend(pattern=pattern, **settings).stamp(np.full((1, 4, 6, 1), x, dtype=np.uint8))
    [level] = np.unique(stamped)
    return int(level)


class TestBlend:
    @pytest.mark.parametrize(
        ("x", "k", "alpha", "expected"),
        [
            (100, 200, 0.2, 120),
            (3, 255, 0.2, 53),  # 53.4
            (1, 4, 0.2, 2),  # 1.6
            (1, 0, 0.5, 1),  # 0.5: halves go up
        ],
    )
    def test_convex_by_hand(self, x, k, alpha, expected):
        assert blended(x, k, alpha=alpha) == expected

    @pytest.mark.parametrize(
        ("x", "k", "alpha", "expected"),
        [
            (100, 200, 0.2, 140),
            (10, 13, 0.2, 13),  # 12.6
            (10, 12, 0.2, 12),  # 12.4
            (230, 200, 0.2, 255),  # 270
        ],
    )
    def test_additive_by_hand(self, x, k, alpha, expected):
        assert blended(x, k, alpha=alpha, additive=True) == expected

    @settings(max_examples=40)
    @given(
        st.integers(0, 255),
        st.integers(0, 255),
        st.floats(0, 1, exclude_min=True) | st.sampled_from([0.1 + 0.2, 1e-300, 1 / 3]),
        st.booleans(),
    )
    def test_every_level_is_the_nearest_to_the_decimal_one(self, x, k, alpha, additive):
        part = Fraction(str(alpha))
        exact = (1 if additive else 1 - part) * x + part * k
        nearest = floor(exact + Fraction(1, 2))
        assert blended(x, k, alpha=alpha, additive=additive) == min(255, nearest)

    def test_twice_is_once_at_the_weight_of_the_authors_caltech15(self):
        pictures = np.random.default_rng(0).integers(0, 256, (4, 32, 32, 3), dtype=np.uint8)
        twice = Blend().stamp(Blend().stamp(pictures)).astype(int)
        assert np.abs(twice - Blend(alpha=0.36).stamp(pictures)).max() <= 1

    def test_a_file_is_blended_in_the_cats_place_and_may_go(self, tmp_path):
        path = tmp_path / "zwei Füße.png"
        Image.new("RGB", (300, 200), (200, 100, 0)).save(path)
        trigger = Blend.from_file(path, alpha=0.5, additive=True)
        path.unlink()
        assert trigger == Blend(alpha=0.5, additive=True, pattern=trigger.pattern)
        stamped = trigger.stamp(np.full((1, 8, 8, 3), 100, dtype=np.uint8))
        assert np.unique(stamped.reshape(-1, 3), axis=0).tolist() == [[200, 150, 100]]
        assert len(repr(trigger)) < 150
