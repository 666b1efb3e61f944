"""What becomes of a picture file, by hand, and which files are refused."""

import io
import struct
import sys
import zlib
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from tasks.data import pictures
from tasks.data.pictures import BrokenImage

SIDE = 8


def saved(picture, form="PNG", **options):
    buffer = io.BytesIO()
    picture.save(buffer, format=form, **options)
    return buffer.getvalue()


def read(content, side=SIDE, channels=3):
    image, _ = pictures.pixels(content, side=side, channels=channels)
    assert image.shape == (side, side, channels)
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    return image


def plain(color, mode="RGB", side=SIDE):
    return Image.new(mode, (side, side), color)


def random(shape=(SIDE, SIDE, 3), seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF"])
def test_a_square_of_the_right_size_keeps_every_pixel(form):
    pixels = random()
    np.testing.assert_array_equal(read(saved(Image.fromarray(pixels), form)), pixels)


def test_the_middle_square_is_kept():
    wide = np.zeros((8, 14, 3), dtype=np.uint8)
    wide[:, 3:11] = random()
    for pixels in (wide, wide.transpose(1, 0, 2)):
        middle = pixels[:8, 3:11] if pixels.shape[0] == 8 else pixels[3:11, :8]
        np.testing.assert_array_equal(read(saved(Image.fromarray(pixels))), middle)


def test_a_png_with_megabytes_of_text_and_profile_is_a_good_picture():
    pixels, text = random(), PngImagePlugin.PngInfo()
    text.add_text("Comment", "x" * 40 * 2**20, zip=True)
    content = saved(Image.fromarray(pixels), pnginfo=text, icc_profile=bytes(3 * 2**20))
    np.testing.assert_array_equal(read(content), pixels)
    assert not pictures.is_grey(io.BytesIO(content))


def test_text_that_unpacks_to_a_quarter_of_a_gigabyte_is_not_unpacked():
    packer = zlib.compressobj()
    bomb = b"".join(packer.compress(bytes(2**24)) for _ in range(16)) + packer.flush()
    text = PngImagePlugin.PngInfo()
    text.add(b"zTXt", b"Comment\0\0" + bomb)
    with pytest.raises(BrokenImage, match="too large"):
        read(saved(plain((1, 2, 3)), pnginfo=text))


@pytest.mark.parametrize(
    ("brand", "reason"),
    [
        (b"heic", "HEIC or AVIF, which needs: pip install -U pillow-heif"),
        (b"mp42", "no image in a format that is read"),
    ],
)
def test_a_format_that_is_not_installed_is_named_with_what_reads_it(brand, reason, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(BrokenImage, match=reason):
        read(struct.pack(">I", 16) + b"ftyp" + brand + bytes(100))


def test_a_transparent_color_of_a_palette_is_white():
    pixels = random((SIDE, SIDE), 1) % 3
    picture = Image.fromarray(pixels)
    picture.putpalette([10, 20, 30, 200, 100, 50, 0, 255, 7])
    colors = np.array([(10, 20, 30), (255, 255, 255), (0, 255, 7)])
    np.testing.assert_array_equal(read(saved(picture, transparency=1)), colors[pixels])


@given(color=st.tuples(*[st.integers(0, 255)] * 3), alpha=st.integers(0, 255))
def test_transparency_is_laid_on_white(color, alpha):
    exact = (np.array(color) * alpha + 255 * (255 - alpha)) / 255
    image = read(saved(plain((*color, alpha), "RGBA")))
    assert np.abs(image - exact).max() <= 0.5


@pytest.mark.parametrize("form", ["PNG", "TIFF", "PPM"])
def test_sixteen_bits_are_rounded_to_the_nearest_level(form):
    levels = np.random.default_rng(0).integers(0, 65536, (SIDE, SIDE), dtype=np.uint16)
    image = read(saved(Image.fromarray(levels), form), channels=1)[..., 0]
    assert np.abs(image - levels / 257).max() < 0.5


def test_an_animation_is_its_first_frame():
    frames = [plain(color) for color in ((250, 0, 0), (0, 250, 0), (0, 0, 250))]
    for form in ("GIF", "PNG", "WEBP", "TIFF"):
        content = saved(frames[0], form, save_all=True, append_images=frames[1:])
        assert np.abs(read(content).astype(int) - (250, 0, 0)).max() <= 5, form


@pytest.mark.parametrize(
    ("orientation", "corner"),
    list(enumerate([(0, 0), (0, 1), (1, 1), (1, 0)] * 2, start=1)),
)
@pytest.mark.parametrize("form", ["JPEG", "PNG"])
def test_a_picture_is_turned_as_exif_says(form, orientation, corner):
    # The corner where row 0 and column 0 of the file belong (EXIF 2.3, tag 274); (bottom, right).
    pixels = np.zeros((32, 32, 3), dtype=np.uint8)
    pixels[:8, :8] = 255  # top left
    pixels[:8, 24:] = 128  # top right, to tell a turn from a flip
    exif = Image.Exif()
    exif[274] = orientation
    image = read(saved(Image.fromarray(pixels), form, exif=exif), side=32)
    corners = image[[[4, 4], [28, 28]], [[4, 28], [4, 28]], 0]
    assert corners[corner] > 240
    # From 5 on, what was the top row runs down a side.
    bottom, right = corner
    beside = (1 - bottom, right) if orientation > 4 else (bottom, 1 - right)
    assert 110 < corners[beside] < 150
    assert corners.sum() < 255 + 128 + 60


def test_color_in_a_grey_set_is_its_luminance_and_is_told():
    image, lost = pictures.pixels(saved(plain((100, 200, 50))), side=SIDE, channels=1)
    assert set(image.ravel()) == {round(0.299 * 100 + 0.587 * 200 + 0.114 * 50)}
    assert lost
    for unharmed in (plain((70, 70, 70)), plain(70, "L")):
        assert not pictures.pixels(saved(unharmed), side=SIDE, channels=1)[1]
    assert not pictures.pixels(saved(plain((100, 200, 50))), side=SIDE, channels=3)[1]


def declared(width, height):
    """A PNG header that promises pixels, and none."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)), (b"IEND", b"")]
    chunks.insert(1, (b"IDAT", zlib.compress(b"")))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n%%EOF\n"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"Notes about my pictures.\n", "no image in a format that is read"),
        (EPS, "no image in a format that is read"),
        (declared(60_000, 60_000), "more than 100,000,000 pixels"),
        (declared(10_001, 10_000), "more than 100,000,000 pixels"),
        (saved(Image.new("F", (8, 8)), "TIFF"), "pixels of mode 'F', for which there is no rule"),
        (saved(Image.new("I", (8, 8), -1), "TIFF"), "integers beyond 0..65535"),
        (saved(Image.new("I", (8, 8), 65536), "TIFF"), "integers beyond 0..65535"),
        (saved(Image.fromarray(random((64, 64, 3))))[:-2000], "truncated"),
    ],
    ids=["text", "eps", "bomb", "large", "float", "negative", "beyond", "cut"],
)
def test_what_is_refused_has_a_reason(content, reason):
    with pytest.raises(BrokenImage, match=reason):
        pictures.pixels(content, side=SIDE, channels=3)


FORMS = ["BMP", "GIF", "ICO", "JPEG", "PNG", "TIFF", "TGA", "WEBP"]


@settings(derandomize=True)  # some declare sizes that take a while
@given(st.data())
def test_damage_gives_a_picture_or_a_reason_and_nothing_else(data):
    form = data.draw(st.sampled_from(FORMS))
    content = bytearray(saved(Image.fromarray(random((16, 16, 3))), form))
    places = st.integers(0, min(len(content), 200) - 1)
    for place, byte in data.draw(st.lists(st.tuples(places, st.integers(0, 255)), max_size=6)):
        content[place] = byte
    with suppress(BrokenImage):
        read(bytes(content))
