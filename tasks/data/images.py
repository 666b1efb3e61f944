"""Conversions between a PNG or JPEG in a Parquet column, uint8 (N, H, W, C), and float32.

The column is the ``struct<bytes, path>`` of Hugging Face's ``Image``.  C is 1 (gray) or 3 (RGB).
"""

import io
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from tasks.checks import check

FORMATS: Final[dict[str, dict[str, Any]]] = {
    "png": {"format": "PNG"},
    "jpeg": {"format": "JPEG", "quality": 95, "subsampling": "4:4:4"},
}
"""How images may be stored, and how Pillow writes them; JPEG changes pixels."""

LONGEST_SIDE: Final = 4096
"""Pixels; an image with a longer side is refused before it is decompressed."""

IMAGE_TYPE: Final = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
"""What ``datasets.Image()`` stores."""

LUMINANCE: Final = (299, 587, 114)
"""Weights of R, G and B in thousandths (ITU-R BT.601, as PIL's mode ``L``)."""

_MODES: Final = {1: "L", 3: "RGB"}


def schema(class_names: Sequence[str] | None = None) -> pa.Schema:
    """Columns of an image table, whose metadata name the features for ``datasets.load_dataset``.

    With ``class_names`` a label is a ``ClassLabel``.
    """
    plain = {"index": pa.int64(), "label": pa.int64(), "caption": pa.string()}
    features: dict[str, Any] = {
        name: {"dtype": str(kind), "_type": "Value"} for name, kind in plain.items()
    }
    features["image"] = {"_type": "Image"}
    if class_names is not None:
        features["label"] = {"names": list(class_names), "_type": "ClassLabel"}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    return pa.schema({**plain, "image": IMAGE_TYPE}, metadata=metadata)


DATASET_SCHEMA: Final = schema()
"""Columns of datasets, and of generations, whose label is the condition."""


def to_table(
    *,
    index: NDArray[np.int64],
    label: NDArray[np.int64],
    caption: Sequence[str | None],
    images: NDArray[np.uint8],
    path: Sequence[str] | None = None,
    stored_as: str = "png",
) -> pa.Table:
    """A table of N labelled images, (N, H, W, C), with captions, and names if there are files.

    ``stored_as`` is a name of FORMATS.
    """
    names: Sequence[str | None] = path or [None] * len(images)
    stored = zip(encode(images, stored_as), names, strict=True)
    column = pa.array([{"bytes": one, "path": name} for one, name in stored], type=IMAGE_TYPE)
    arrays = [pa.array(index), pa.array(label), pa.array(caption, pa.string()), column]
    return pa.Table.from_arrays(arrays, schema=DATASET_SCHEMA)


def rows(file: Path, first: int, last: int, columns: Sequence[str]) -> pa.Table:
    """Rows ``first`` .. ``last - 1`` of a Parquet file, of which no other row groups are read."""
    parts, before = [], 0
    with pq.ParquetFile(file) as opened:
        for group in range(opened.num_row_groups):
            after = before + opened.metadata.row_group(group).num_rows
            if before < last and first < after:
                table = opened.read_row_group(group, columns=list(columns))
                begin = max(first - before, 0)
                parts.append(table.slice(begin, min(last, after) - before - begin))
            before = after
    return pa.concat_tables(parts)


def from_column(column: pa.Array | pa.ChunkedArray) -> NDArray[np.uint8]:
    """Images of an ``image`` column, uint8, (N, H, W, C); raises ValueError as ``decode``."""
    return decode(value["bytes"] for value in column.to_pylist())


def encode(images: NDArray[np.uint8], stored_as: str = "png") -> list[bytes]:
    """Every image of uint8, (N, H, W, 1 or 3), in a format; equal pixels give equal bytes."""
    _check(images)
    encoded = []
    for image in images[..., 0] if images.shape[3] == 1 else images:
        buffer = io.BytesIO()
        Image.fromarray(image, mode=None).save(buffer, **FORMATS[stored_as])
        encoded.append(buffer.getvalue())
    return encoded


def decode(encoded: Iterable[bytes]) -> NDArray[np.uint8]:
    """What ``encode`` stored, uint8, (N, H, W, C).

    Raises ValueError for no image, an unreadable PNG or JPEG, a mode other than 8-bit gray or RGB,
    a side above ``LONGEST_SIDE``, or images of several sizes.
    """
    images = [_decode_one(one) for one in encoded]
    if not images:
        raise ValueError("expected at least one image, got none")
    shapes = {image.shape for image in images}
    if len(shapes) > 1:
        raise ValueError(f"expected images of one size and color mode, got {sorted(shapes)}")
    return np.stack(images)


def to_float(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Convert uint8, (N, H, W, C), to float32, (N, C, H, W), in [-1, 1] (0 -> -1, 255 -> 1)."""
    _check(images)
    scaled = images.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(127.5) - np.float32(1)
    return np.ascontiguousarray(scaled)


def from_float(samples: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Inverse of ``to_float``, clips and rounds; raises FloatingPointError for NaN or infinity."""
    if not np.isfinite(samples).all():
        raise FloatingPointError("expected finite images, got NaN or infinity from the model")
    levels = np.rint((samples.clip(-1, 1) + np.float32(1)) * np.float32(127.5))
    return np.ascontiguousarray(levels.astype(np.uint8).transpose(0, 2, 3, 1))


def luminance(color: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Gray levels, uint8, (..., 1), rounded, of RGB pixels, uint8, (..., 3)."""
    weighted = color.astype(np.int64) @ np.array(LUMINANCE)
    gray: NDArray[np.uint8] = ((weighted + 500) // 1000).astype(np.uint8)
    return gray[..., None]


def fit_channels(color: NDArray[np.uint8], channels: int) -> NDArray[np.uint8]:
    """``color``, (..., 3), unchanged if ``channels`` is 3; its luminance, (..., 1), if it is 1."""
    return color if channels == 3 else luminance(color)


def _check(images: NDArray[np.uint8]) -> None:
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] not in _MODES:
        raise ValueError(
            f"expected uint8 images of shape (N, H, W, 1 or 3), got {images.dtype} {images.shape}"
        )


def _decode_one(encoded: bytes) -> NDArray[np.uint8]:
    try:
        # Only these readers: stored bytes do not choose which of Pillow's parsers reads them.
        with Image.open(io.BytesIO(encoded), formats=("PNG", "JPEG")) as image:
            if image.mode not in _MODES.values():
                raise ValueError(f"expected an 8-bit gray or RGB image, got mode {image.mode!r}")
            most = f"of at most {LONGEST_SIDE} pixels"
            check("sides", image.size, most, max(image.size) <= LONGEST_SIDE)
            pixels = np.asarray(image, dtype=np.uint8)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(
            f"expected a PNG or JPEG, got {len(encoded)} bytes that do not decode"
        ) from error
    return pixels[..., None] if pixels.ndim == 2 else pixels
