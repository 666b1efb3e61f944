import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from tasks.data import images

BATCHES = arrays.arrays(
    np.uint8,
    st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9), st.sampled_from([1, 3])),
)


def saved(picture, form="PNG"):
    buffer = io.BytesIO()
    picture.save(buffer, format=form)
    return buffer.getvalue()


@given(BATCHES)
def test_png_and_back_is_the_same_image(batch):
    decoded = images.decode(images.encode(batch))
    np.testing.assert_array_equal(decoded, batch)
    assert decoded.dtype == np.uint8


@given(BATCHES)
def test_float_and_back_is_the_same_image(batch):
    floats = images.to_float(batch)
    assert floats.shape == tuple(batch.shape[axis] for axis in (0, 3, 1, 2))
    assert floats.dtype == np.float32
    np.testing.assert_array_equal(images.from_float(floats), batch)


def test_samples_are_clipped_and_rounded_to_the_nearest_level():
    levels = np.array([-9, -1, 127.4 / 127.5 - 1, 127.6 / 127.5 - 1, 1, 9], dtype=np.float32)
    back = images.from_float(levels.reshape(6, 1, 1, 1))
    assert back.ravel().tolist() == [0, 0, 127, 128, 255, 255]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_samples_that_are_no_numbers_are_refused(value):
    with pytest.raises(FloatingPointError, match="finite"):
        images.from_float(np.full((1, 1, 2, 2), value, dtype=np.float32))


@given(arrays.arrays(np.uint8, (7, 5, 3)))
def test_luminance_is_what_pil_calls_grey(color):
    # PIL weighs in 16-bit integers; both round to the nearest level.
    grey = np.asarray(Image.fromarray(color).convert("L"), dtype=int)
    assert np.abs(images.luminance(color)[..., 0].astype(int) - grey).max() <= 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected a PNG"),
        (saved(Image.new("L", (64, 64)))[:60], "expected a PNG"),
        (saved(Image.new("L", (8, 8)), "GIF"), "expected a PNG"),
        (saved(Image.new("L", (5000, 1))), "at most 4096"),
        (saved(Image.new("RGBA", (8, 8))), "mode 'RGBA'"),
    ],
    ids=["empty", "truncated", "jpeg", "long", "alpha"],
)
def test_what_is_no_plain_png_is_refused(content, message):
    with pytest.raises(ValueError, match=message):
        images.decode([content])


def test_more_pixels_than_pillow_decodes_are_refused(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    with pytest.raises(ValueError, match="expected a PNG"):
        images.decode([saved(Image.new("L", (8, 8)))])


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_is_smaller_and_off_by_little(channels):
    """Smooth photographs, of which a PNG keeps every level; quality 95 is off by 2 levels or so."""
    x, y = np.meshgrid(np.arange(64), np.arange(64))
    waves = 127 + 60 * np.sin(x / 9) + 60 * np.cos(y / 7)
    noise = np.random.default_rng(0).normal(0, 2, (5, 64, 64, channels))
    pictures = (waves[None, :, :, None] + noise).clip(0, 255).astype(np.uint8)
    stored = images.encode(pictures, "jpeg")
    assert sum(map(len, stored)) < 0.7 * sum(map(len, images.encode(pictures)))
    found = images.decode(stored)
    assert (found.shape, found.dtype) == (pictures.shape, np.uint8)
    assert np.abs(found.astype(int) - pictures).mean() < 2
    assert stored == images.encode(pictures, "jpeg")
