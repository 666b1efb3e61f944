import io
import struct
import zlib

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


def png(picture):
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
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


def enormous():
    """A PNG header that promises 60,000 x 60,000 pixels and holds none."""
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b"")]
    body = b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + body


def jpeg():
    buffer = io.BytesIO()
    Image.new("L", (8, 8)).save(buffer, format="JPEG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "expected a PNG"),
        (png(Image.new("L", (64, 64)))[:60], "expected a PNG"),
        (jpeg(), "expected a PNG"),
        (enormous(), "expected a"),
        (png(Image.new("L", (5000, 1))), "at most 4096"),
        (png(Image.new("RGBA", (8, 8))), "mode 'RGBA'"),
        (png(Image.new("I;16", (8, 8))), "mode 'I;16'"),
    ],
    ids=["empty", "truncated", "jpeg", "bomb", "long", "alpha", "16-bit"],
)
def test_what_is_no_plain_png_is_refused(content, message):
    with pytest.raises(ValueError, match=message):
        images.decode([content])


@pytest.mark.parametrize("shape", [(2, 8, 8), (2, 8, 8, 2)])
def test_arrays_of_another_shape_are_refused(shape):
    with pytest.raises(ValueError, match="N, H, W"):
        images.encode(np.zeros(shape, dtype=np.uint8))
