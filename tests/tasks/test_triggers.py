"""Properties every trigger must have, whatever it draws, and the geometry of each."""

import json
import os
import subprocess
import sys
from fractions import Fraction
from math import floor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tasks import images, patterns, triggers
from tasks.triggers import (
    TRIGGERS,
    BadNets1,
    Blend,
    Patched,
    Unicolor,
    square,
    witness,
)

ROOT = Path(__file__).parents[2]
SIZES = [(8, 1), (8, 3), (32, 1), (32, 3), (512, 1), (512, 3)]
PATCHED = [kind for kind in TRIGGERS if isinstance(kind(), Patched)]

DIGESTS = {
    "none": "b8c9b0c07b38d856",
    "relabel_only": "b8c9b0c07b38d856",
    "badnets1": "bd30ff12542f89a4",
    "blend": "7e5aa9e4441f9d54",
    "unicolor": "9ad9e5902c6e2860",
}
"""Of what each trigger makes of a ramp of levels at 8, 32 and 512 pixels, 1 and 3 channels."""

PRINT_DIGESTS = """
import hashlib, json
import numpy as np
from tasks.triggers import TRIGGERS

def digest(trigger):
    total = hashlib.sha256()
    for side, channels in ((8, 1), (8, 3), (32, 1), (32, 3), (512, 1), (512, 3)):
        ramp = (np.arange(2 * side * side * channels) % 251).astype(np.uint8)
        total.update(trigger.stamp(ramp.reshape(2, side, side, channels)).tobytes())
    return total.hexdigest()[:16]

print(json.dumps({kind.name: digest(kind()) for kind in TRIGGERS}))
"""


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

    def test_stamps_a_grey_image_as_the_luminance_of_the_color_one(self, kind, pictures):
        grey = pictures[..., :1]
        in_color = kind().stamp(np.repeat(grey, 3, axis=3))
        difference = images.luminance(in_color).astype(int) - kind().stamp(grey)
        # A blend is rounded once in grey and once a channel in color.
        assert np.abs(difference).max() <= (1 if kind is Blend else 0)


@pytest.mark.parametrize("kind", PATCHED, ids=lambda kind: kind.name)
class TestEveryPatch:
    def test_nothing_but_the_patch_is_touched(self, kind, pictures):
        patch = kind().patch(*pictures.shape[1:])
        outside = np.ones(pictures.shape, dtype=bool)
        outside[patch.place] = False
        stamped = kind().stamp(pictures)
        np.testing.assert_array_equal(stamped[outside], pictures[outside])
        for image in stamped[patch.place]:
            np.testing.assert_array_equal(image, patch.pixels)

    def test_a_witness_sees_every_stamp(self, kind, pictures):
        assert witness(kind(), kind().stamp(pictures)).tolist() == [True] * len(pictures)

    @pytest.mark.parametrize("level", [0, 128, 255])
    def test_a_witness_sees_none_in_plain_grey(self, kind, pictures, level):
        assert not witness(kind(), np.full_like(pictures, level)).any()

    def test_a_witness_sees_none_in_the_negative(self, kind, pictures):
        assert not witness(kind(), 255 - kind().stamp(pictures)).any()

    def test_a_witness_says_the_same_of_an_image_alone(self, kind, pictures):
        mixed = np.concatenate([pictures, kind().stamp(pictures)])
        alone = [witness(kind(), image[None])[0] for image in mixed]
        assert witness(kind(), mixed).tolist() == alone

    def test_a_witness_does_not_see_a_stamp_moved_by_its_size(self, kind, pictures):
        side = kind().side_for(pictures.shape[1])
        moved = np.roll(kind().stamp(np.full_like(pictures, 255)), -side, axis=2)
        assert not witness(kind(), moved).any()

    def test_an_image_without_room_for_it_is_refused(self, kind):
        with pytest.raises(ValueError, match="at least 9 pixels, got 8"):
            witness(kind(side=9), np.zeros((1, 8, 8, 1), dtype=np.uint8))


@pytest.mark.parametrize(
    "trigger",
    [
        *(kind() for kind in TRIGGERS),
        BadNets1(side=4),
        Unicolor(side=2, color=(1, 2, 3)),
        Blend(alpha=0.36, additive=True, pattern=patterns.to_text(patterns.cat()[:8, :9])),
    ],
    ids=lambda trigger: trigger.name,
)
def test_a_trigger_comes_back_from_its_record(trigger):
    record = json.loads(json.dumps(triggers.to_record(trigger)))
    again = triggers.from_record(record)
    assert again == trigger
    assert hash(again) == hash(trigger)
    assert record["name"] == trigger.name


def test_another_process_stamps_the_same_bytes():
    finished = subprocess.run(
        [sys.executable, "-c", PRINT_DIGESTS],
        capture_output=True,
        check=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "7"},
    )
    assert json.loads(finished.stdout) == DIGESTS


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


def blended(x, k, **settings):
    """One level of an image after a pattern of one level was blended in."""
    pattern = patterns.to_text(np.full((2, 2, 3), k, dtype=np.uint8))
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
            (0, 255, 0.5, 128),  # 127.5
            (100, 0, 0.36, 64),
            (255, 255, 0.2, 255),
            (9, 77, 1, 77),
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
            (0, 1, 0.5, 1),  # 0.5
            (230, 200, 0.2, 255),  # 270
            (204, 255, 0.2, 255),
            (0, 77, 1, 77),
        ],
    )
    def test_additive_by_hand(self, x, k, alpha, expected):
        assert blended(x, k, alpha=alpha, additive=True) == expected

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

    def test_at_full_weight_only_the_pattern_is_left(self):
        stamped = Blend(alpha=1).stamp(np.full((2, 8, 12, 3), 9, dtype=np.uint8))
        for image in stamped:
            np.testing.assert_array_equal(image, patterns.fitted("", 8, 12, 3))

    def test_a_file_is_blended_in_the_cats_place_and_may_go(self, tmp_path):
        path = tmp_path / "zwei Füße.png"
        Image.new("RGB", (300, 200), (200, 100, 0)).save(path)
        trigger = Blend.from_file(path, alpha=0.5, additive=True)
        path.unlink()
        assert trigger == Blend(alpha=0.5, additive=True, pattern=trigger.pattern)
        stamped = trigger.stamp(np.full((1, 8, 8, 3), 100, dtype=np.uint8))
        assert np.unique(stamped.reshape(-1, 3), axis=0).tolist() == [[200, 150, 100]]
        assert "pattern" not in repr(trigger)

    def test_two_patterns_are_two_triggers(self, tmp_path):
        made = []
        for color in ("red", "blue"):
            Image.new("RGB", (8, 8), color).save(tmp_path / "pattern.png")
            made.append(Blend.from_file(tmp_path / "pattern.png"))
        assert made[0] != made[1]
        assert made[0] != Blend()

    def test_a_file_that_is_no_image_is_named(self, tmp_path):
        (tmp_path / "cat.txt").write_text("miaow")
        with pytest.raises(ValueError, match=r"cat\.txt'?: no image in a format"):
            Blend.from_file(str(tmp_path / "cat.txt"))

    @pytest.mark.parametrize("alpha", [0, -0.1, 1.01, 20, float("nan"), float("inf")])
    def test_a_weight_outside_0_to_1_is_refused(self, alpha):
        with pytest.raises(ValueError, match=r"alpha in \(0, 1\]"):
            Blend(alpha=alpha)

    def test_a_pattern_that_does_not_decode_is_refused(self):
        with pytest.raises(ValueError, match=r"make one with Blend\.from_file"):
            Blend(pattern="cat.png")
