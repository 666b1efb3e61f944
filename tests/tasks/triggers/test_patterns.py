"""Files that take the place of a drawing, and how either is fitted to an image."""

import hashlib
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tasks.data import images
from tasks.triggers.drawings import bomb, cat
from tasks.triggers.patterns import MOST_BYTES, Picture, fitted
from tests.pictures import picture


@pytest.fixture
def save(tmp_path):
    """A function that saves a picture under a name and returns the path."""

    def saved(image: Image.Image, name: str = "pattern.png", **options) -> Path:
        image.save(tmp_path / name, **options)
        return tmp_path / name

    return saved


def solid(mode, size, color):
    return Image.new(mode, size, color)


def declares(width, height):
    """A PNG with a header and no pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", b"")


def chunk(kind, body):
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


class TestFitting:
    @pytest.mark.parametrize("shape", [(8, 8, 1), (8, 8, 3), (32, 48, 3), (512, 512, 1)])
    def test_it_has_the_shape_of_the_image(self, shape):
        pattern = fitted(None, *shape)
        assert (pattern.shape, pattern.dtype) == (shape, np.uint8)

    def test_at_its_own_size_it_is_itself(self):
        np.testing.assert_array_equal(fitted(None, 512, 512, 3), cat())

    def test_any_drawing_can_be_fitted(self):
        np.testing.assert_array_equal(fitted(None, 512, 512, 3, bomb), bomb())
        np.testing.assert_array_equal(fitted(picture(cat()), 512, 512, 3, bomb), cat())

    @pytest.mark.parametrize("side", [8, 32, 51])
    def test_a_picture_is_reduced_once(self, side):
        fine = np.random.default_rng(0).integers(0, 256, (300, 200, 3), dtype=np.uint8)
        once = Image.fromarray(fine).resize((side, side), Image.Resampling.BICUBIC)
        np.testing.assert_array_equal(fitted(picture(fine), side, side, 3), once)

    def test_a_grey_image_gets_the_luminance(self):
        np.testing.assert_array_equal(
            fitted(None, 32, 32, 1), images.luminance(fitted(None, 32, 32, 3))
        )

    @pytest.mark.parametrize("side", [1, 8, 512])
    def test_one_color_stays_one_color(self, side):
        one = picture(np.full((5, 7, 3), (3, 150, 250), dtype=np.uint8))
        assert (fitted(one, side, side, 3) == (3, 150, 250)).all()

    def test_a_wide_image_stretches_it(self):
        left_and_right = np.zeros((2, 2, 3), dtype=np.uint8)
        left_and_right[:, 1] = 255
        stretched = fitted(picture(left_and_right), 3, 64, 1)[..., 0]
        assert (stretched == stretched[:1]).all()
        assert (stretched[0, :10].max(), stretched[0, -10:].min()) == (0, 255)

    def test_nobody_can_change_what_is_kept(self):
        for pattern in (cat(), fitted(None, 8, 8, 3)):
            with pytest.raises(ValueError, match="read-only"):
                pattern[0] = 0


class TestPicture:
    def test_it_is_the_files_content_wherever_that_lies_and_however_old_it_is(self, save, tmp_path):
        path = save(solid("RGB", (4, 4), "red"))
        elsewhere = tmp_path / "elsewhere.png"
        elsewhere.write_bytes(path.read_bytes())
        os.utime(elsewhere, ns=(1, 1))
        assert Picture.read(path) == Picture.read(elsewhere)
        assert Picture.read(path).sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert Picture.read(path) != Picture.read(save(solid("RGB", (4, 4), "blue")))

    def test_what_is_shown_of_it_is_its_digest(self):
        one = picture(np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
        assert repr(one) == f"Picture(sha256='{one.sha256}')"
        assert len(one.content) > 12_000

    @pytest.mark.parametrize("content", ["cat.png", "====", "ä", None, 3, "AAAA"])
    def test_content_of_another_digest_is_refused(self, content):
        with pytest.raises(ValueError, match=r"base64 of a file of sha256 .* Blend\.from_file"):
            Picture("0" * 64, content)


def read(path):
    return Picture.read(path).pixels()


class TestReading:
    def test_a_small_picture_stays_as_it_is(self, save):
        pattern = np.random.default_rng(0).integers(0, 256, (40, 64, 3), dtype=np.uint8)
        np.testing.assert_array_equal(read(save(Image.fromarray(pattern))), pattern)

    def test_a_large_one_is_kept_whole(self, save):
        assert read(save(solid("RGB", (300, 100), "red"))).shape == (100, 300, 3)

    @pytest.mark.parametrize(
        ("color", "expected"),
        [
            ((100, 200, 50, 255), (100, 200, 50)),
            ((100, 200, 50, 0), (255, 255, 255)),
            # 51 / 255 is a fifth: 0.2 * 100 + 0.8 * 255.
            ((100, 200, 50, 51), (224, 244, 214)),
        ],
    )
    def test_what_is_transparent_lies_on_white(self, save, color, expected):
        assert read(save(solid("RGBA", (2, 2), color)))[0, 0].tolist() == list(expected)

    def test_a_palette_has_colors_and_may_be_transparent(self, save):
        picture = solid("P", (2, 1), 1)
        picture.putpalette([0, 0, 0, 10, 20, 30])
        picture.putpixel((1, 0), 0)
        path = save(picture, transparency=0)
        assert read(path)[0].tolist() == [[10, 20, 30], [255, 255, 255]]

    def test_grey_has_three_equal_channels(self, save):
        assert read(save(solid("L", (2, 2), 77)))[0, 0].tolist() == [77, 77, 77]

    @pytest.mark.parametrize(("level", "expected"), [(0, 0), (257 * 99, 99), (65535, 255)])
    def test_16_bits_are_scaled_to_8(self, save, level, expected):
        path = save(Image.fromarray(np.full((2, 2), level, dtype=np.uint16)))
        assert read(path)[0, 0].tolist() == [expected] * 3

    def test_ink_is_turned_into_light(self, save):
        path = save(solid("CMYK", (8, 8), (0, 0, 0, 0)), "pattern.tif")
        assert (read(path) == 255).all()

    def test_a_photograph_is_turned_upright(self, save):
        exif = Image.Exif()
        exif[0x0112] = 6  # lies on its side: turn it clockwise
        picture = np.zeros((8, 16, 3), dtype=np.uint8)
        picture[:, :8] = 255
        upright = read(save(Image.fromarray(picture), "photo.jpg", exif=exif, quality=100))
        assert upright.shape == (16, 8, 3)
        assert (upright[:8].min(), upright[8:].max()) == (255, 0)

    def test_an_animation_is_its_first_frame(self, save):
        frames = [solid("RGB", (8, 8), color) for color in ("red", "blue")]
        path = save(frames[0], "pattern.gif", save_all=True, append_images=frames[1:])
        assert read(path)[0, 0].tolist() == [255, 0, 0]


class TestRefusing:
    def refused(self, path, said):
        with pytest.raises(ValueError, match=said) as caught:
            read(path)
        assert repr(str(path)) in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_a_file_of_too_many_bytes(self, tmp_path):
        with (tmp_path / "large.png").open("wb") as file:
            file.truncate(MOST_BYTES + 1)  # sparse
        self.refused(tmp_path / "large.png", "more than 16,777,216 bytes; make it smaller first")

    def test_a_missing_file(self, tmp_path):
        self.refused(tmp_path / "cat.png", "no such file")

    def test_a_folder(self, tmp_path):
        self.refused(tmp_path, "a folder")

    def test_a_pipe_that_nobody_writes_to(self, tmp_path):
        os.mkfifo(tmp_path / "pipe")
        self.refused(tmp_path / "pipe", "no regular file")

    @pytest.mark.parametrize("content", [b"", b"a cat\nof words", b"%!PS-Adobe-3.0 EPSF-3.0\n"])
    def test_what_is_no_image_or_a_program(self, tmp_path, content):
        (tmp_path / "cat.eps").write_bytes(content)
        self.refused(tmp_path / "cat.eps", "no image in a format that is read")

    def test_a_truncated_file(self, save):
        path = save(Image.fromarray(np.array(cat())))
        path.write_bytes(path.read_bytes()[:1000])
        self.refused(path, "truncated|broken")

    @pytest.mark.parametrize(("width", "height"), [(20_000, 5_001), (100_000, 100_000)])
    def test_too_large_a_picture_before_it_is_decoded(self, tmp_path, width, height):
        (tmp_path / "large.png").write_bytes(declares(width, height))
        self.refused(tmp_path / "large.png", "more than 100,000,000 pixels")

    def test_a_picture_without_a_white(self, save):
        self.refused(save(solid("F", (2, 2), 0.5), "float.tif"), "no rule")
