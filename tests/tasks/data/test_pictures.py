"""What becomes of a picture file, by hand, and which files are refused."""

import io
import struct
import sys
import tracemalloc
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


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "PPM", "TGA", "QOI"])
def test_a_square_of_the_right_size_keeps_every_pixel(form):
    pixels = random()
    np.testing.assert_array_equal(read(saved(Image.fromarray(pixels), form)), pixels)


@pytest.mark.parametrize("form", ["GIF", "JPEG", "WEBP", "JPEG2000", "PCX", "ICO", "AVIF"])
def test_a_plain_picture_of_any_format_keeps_its_color(form):
    image = read(saved(plain((200, 40, 90), side=16), form), side=16)
    assert np.abs(image.astype(int) - (200, 40, 90)).max() <= 3


def test_the_middle_square_is_kept():
    wide = np.zeros((8, 14, 3), dtype=np.uint8)
    wide[:, 3:11] = random()
    for pixels in (wide, wide.transpose(1, 0, 2)):
        middle = pixels[:8, 3:11] if pixels.shape[0] == 8 else pixels[3:11, :8]
        np.testing.assert_array_equal(read(saved(Image.fromarray(pixels))), middle)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("many", ["text", "zipped", "international", "profile", "after the pixels"])
def test_a_png_with_megabytes_of_text_or_profile_is_a_good_picture(many, channels):
    pixels = random((SIDE, SIDE, 3))[..., :channels].squeeze()
    text, profile = PngImagePlugin.PngInfo(), None
    if many == "profile":
        profile = bytes(3 * 2**20)
    elif many == "after the pixels":
        text.add(b"zTXt", b"Comment\0\0" + zlib.compress(bytes(2**22)), after_idat=True)
    elif many == "international":
        text.add_itxt("Comment", "x" * 2**22, zip=True)
    else:
        text.add_text("Comment", "x" * 70 * 2**20, zip=many == "zipped")
    content = saved(Image.fromarray(pixels), pnginfo=text, icc_profile=profile)
    np.testing.assert_array_equal(read(content, channels=channels).squeeze(), pixels)
    assert pictures.is_grey(io.BytesIO(content)) is (channels == 1)


def test_text_that_unpacks_to_a_quarter_of_a_gigabyte_is_not_unpacked():
    packer = zlib.compressobj()
    bomb = b"".join(packer.compress(bytes(2**24)) for _ in range(16)) + packer.flush()
    text = PngImagePlugin.PngInfo()
    text.add(b"zTXt", b"Comment\0\0" + bomb)
    content = saved(plain((1, 2, 3)), pnginfo=text)
    tracemalloc.start()
    assert (read(content) == (1, 2, 3)).all()
    assert tracemalloc.get_traced_memory()[1] < 16 * 2**20
    tracemalloc.stop()


def container(major, *compatible):
    """The first box of a file of ISO 14496-12."""
    body = b"ftyp" + major + bytes(4) + b"".join(compatible)
    return struct.pack(">I", 4 + len(body)) + body + bytes(100)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (container(b"heic", b"mif1", b"heic"), "HEIC, which needs another package: .*pillow-heif"),
        (container(b"mif1", b"mif1", b"heic"), "HEIC, which needs"),
        (container(b"avif", b"mif1", b"avif"), "AVIF, which needs a Pillow that has AVIF"),
        (container(b"mif1", b"mif1", b"avif"), "AVIF, which needs"),
        (container(b"isom", b"isom", b"mp42"), "no image in a format that is read"),
    ],
)
def test_a_format_that_is_not_installed_is_named_with_what_reads_it(content, reason, monkeypatch):
    Image.init()
    lacking = [name for name in Image.ID if name not in ("AVIF", "HEIF")]
    monkeypatch.setattr(Image, "ID", lacking)
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    for look in (read, lambda content: pictures.is_grey(io.BytesIO(content))):
        with pytest.raises(BrokenImage, match=reason):
            look(content)


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
@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP"])
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
        (b"", "no image in a format that is read"),
        (b"Notes about my pictures.\n", "no image in a format that is read"),
        (EPS, "no image in a format that is read"),
        (declared(60_000, 60_000), "more than 100,000,000 pixels"),
        (declared(10_001, 10_000), "more than 100,000,000 pixels"),
        (saved(Image.new("F", (8, 8)), "TIFF"), "pixels of mode 'F', for which there is no rule"),
        (saved(Image.new("LAB", (8, 8)), "TIFF"), "mode 'LAB'"),
        (saved(Image.new("I", (8, 8), -1), "TIFF"), "integers beyond 0..65535"),
        (saved(Image.new("I", (8, 8), 65536), "TIFF"), "integers beyond 0..65535"),
        (saved(Image.fromarray(random((64, 64, 3))))[:-2000], "truncated"),
    ],
    ids=["empty", "text", "eps", "bomb", "large", "float", "lab", "negative", "beyond", "cut"],
)
def test_what_is_refused_has_a_reason(content, reason):
    with pytest.raises(BrokenImage, match=reason):
        pictures.pixels(content, side=SIDE, channels=3)


@pytest.mark.parametrize("form", ["BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "TGA", "WEBP"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_truncated_file_is_broken(form, share):
    content = saved(Image.fromarray(random((64, 64, 3))), form)
    with pytest.raises(BrokenImage) as caught:
        pictures.pixels(content[: int(share * len(content))], side=SIDE, channels=3)
    assert "\n" not in str(caught.value)
    assert " at 0x" not in str(caught.value)


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
