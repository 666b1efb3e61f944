"""Files that take the place of a drawing, and how either is fitted to an image."""

import hashlib
import os

import numpy as np
import pytest
from PIL import Image

from tasks.data import images
from tasks.triggers.picture import BOMB, CAT, MOST_BYTES, Picture, fitted
from tests.pictures import picture


class TestFitting:
    def test_a_picture_is_resized_once_and_stretched(self):
        fine = np.random.default_rng(0).integers(0, 256, (300, 200, 3), dtype=np.uint8)
        once = Image.fromarray(fine).resize((51, 32), Image.Resampling.BICUBIC)
        np.testing.assert_array_equal(fitted(picture(fine), 32, 51, 3, CAT), once)

    @pytest.mark.parametrize("drawing", [CAT, BOMB])
    def test_a_gray_image_gets_the_luminance(self, drawing):
        gray, color = (fitted(None, 32, 32, channels, drawing) for channels in (1, 3))
        np.testing.assert_array_equal(gray, images.luminance(color))
        assert not gray.flags.writeable

    @pytest.mark.parametrize("side", [2, 5, 51])
    def test_the_bomb_is_a_dark_ball_in_the_lower_left_of_a_light_square(self, side):
        level = fitted(None, side, side, 1, BOMB)[..., 0]
        places = ((44, 20), (8, 8), (60, 60))
        ball, *others = (level[side * row // 64, side * column // 64] for row, column in places)
        assert min(others) > ball + 100

    @pytest.mark.parametrize("side", [8, 512])
    def test_the_cat_has_bright_eyes_and_ground_and_dark_fur_in_gray(self, side):
        level = fitted(None, side, side, 1, CAT)[..., 0].astype(int)
        places = ((4, 32), (26, 32), (36, 18))
        ground, fur, eye = (level[row * side // 64, column * side // 64] for row, column in places)
        assert ground - fur > 100
        assert eye - fur > 50


class TestPicture:
    def test_it_is_the_file_s_content_wherever_that_lies_and_however_old_it_is(self, tmp_path):
        path, elsewhere = tmp_path / "pattern.png", tmp_path / "elsewhere.png"
        Image.new("RGB", (4, 4), "red").save(path)
        elsewhere.write_bytes(path.read_bytes())
        os.utime(elsewhere, ns=(1, 1))
        assert Picture.read(path) == Picture.read(elsewhere)
        assert Picture.read(path).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        Image.new("RGB", (4, 4), "blue").save(path)
        assert Picture.read(path) != Picture.read(elsewhere)


def large(path):
    with path.open("wb") as file:
        file.truncate(MOST_BYTES + 1)  # sparse


def truncated(path):
    Image.fromarray(fitted(None, 512, 512, 3, CAT)).save(path)
    path.write_bytes(path.read_bytes()[:1000])


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda _: None, "no such file"),
        (lambda path: path.mkdir(), "a folder"),
        (os.mkfifo, "not a regular file"),
        (large, "more than 16,777,216 bytes; make it smaller first"),
        (lambda path: path.write_text("a cat\nof words"), "no image in a format that is read"),
        (truncated, "truncated|broken"),
    ],
    ids=["missing", "folder", "pipe", "large", "text", "truncated"],
)
def test_hostile_files_are_refused_in_one_line(make, reason, tmp_path):
    make(tmp_path / "cat.png")
    with pytest.raises(ValueError, match=reason) as caught:
        Picture.read(tmp_path / "cat.png")
    assert repr(str(tmp_path / "cat.png")) in str(caught.value)
    assert "\n" not in str(caught.value)
