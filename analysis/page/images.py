"""Grids of generated images as PNG data URIs, pixel for pixel; a page enlarges them."""

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Images = npt.NDArray[np.uint8]
SPREAD = 0.25
"""A trigger that changes more than this share of the pixels is no patch."""


def grid(images: Images, columns: int, rows: int) -> str:
    """The first ``columns * rows`` images side by side, one transparent pixel between them.

    Args:
        images: uint8, (k, H, W, C), C 1 or 3; fewer than there are places leaves places empty.
        columns: Images a line, at least 1.
        rows: Lines, at least 1.

    Returns:
        A ``data:image/png;base64,`` URI.

    Raises:
        ValueError: Another shape or dtype.
    """
    if images.ndim != 4 or images.dtype != np.uint8 or images.shape[-1] not in (1, 3):
        raise ValueError(
            f"images must be uint8, (k, H, W, 1 or 3); got {images.dtype}, {images.shape}"
        )
    _, height, width, channels = images.shape
    gap = max(1, height // 16)
    canvas = np.zeros(
        (rows * (height + gap) - gap, columns * (width + gap) - gap, 4), dtype=np.uint8
    )
    for place, image in enumerate(images[: columns * rows]):
        top, left = place // columns * (height + gap), place % columns * (width + gap)
        colors = np.repeat(image, 3, axis=-1) if channels == 1 else image
        canvas[top : top + height, left : left + width, :3] = colors
        canvas[top : top + height, left : left + width, 3] = 255
    return png(canvas)


def framed(
    images: Images, colors: Sequence[tuple[int, int, int]], columns: int, masks: Images | None
) -> str:
    """Images side by side, each in a frame of its color, with its mask beneath it.

    Args:
        images: uint8, (k, H, W, 1 or 3), k at least 1.
        colors: Red, green and blue, 0..255, one an image.
        columns: Images a line, at least 1.
        masks: uint8, (k, H, W, 1); None without.

    Returns:
        A ``data:image/png;base64,`` URI.
    """
    _, height, width, _ = images.shape
    edge, gap = max(1, height // 10), max(1, height // 8)
    parts = [images] if masks is None else [images, masks]
    tall = sum(part.shape[1] for part in parts) + (len(parts) + 1) * edge
    wide = width + 2 * edge
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    canvas = np.zeros((rows * (tall + gap) - gap, columns * (wide + gap) - gap, 4), dtype=np.uint8)
    for place, color in enumerate(colors):
        top, left = place // columns * (tall + gap), place % columns * (wide + gap)
        canvas[top : top + tall, left : left + wide] = (*color, 255)
        for number, part in enumerate(parts):
            first = top + edge + number * (height + edge)
            # One channel is spread over all three.
            canvas[first : first + height, left + edge : left + edge + width, :3] = part[place]
    return png(canvas)


def png(pixels: Images) -> str:
    """A ``data:`` URI of one RGBA picture, uint8, (H, W, 4)."""
    # Imported here: a page without pictures needs no matplotlib.
    from matplotlib.image import imsave

    # Without its version in the file, every matplotlib writes the same bytes.
    nameless: dict[str, Any] = {"Software": None}
    target = io.BytesIO()
    imsave(target, pixels, format="png", metadata=nameless)
    return f"data:image/png;base64,{base64.b64encode(target.getvalue()).decode()}"


def change(clean: Images, stamped: Images) -> tuple[Images | None, int]:
    """Where a trigger made an image lighter and darker than middle grey, enlarged to be seen.

    Args:
        clean: uint8, (1, H, W, C).
        stamped: Of the same shape.

    Returns:
        uint8, (1, H, W, C), 128 where nothing changed, and the factor of the changes; None and 0 if
        at most `SPREAD` of the pixels changed, as under a patch.
    """
    changed = stamped.astype(int) - clean
    if (changed != 0).any(axis=-1).mean() <= SPREAD:
        return None, 0
    factor = max(1, 127 // int(np.abs(changed).max()))
    return np.clip(128 + factor * changed, 0, 255).astype(np.uint8), factor
