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

    Given uint8, (k, H, W, 1 or 3), perhaps fewer than there are places.  Returns a ``data:`` URI;
    raises ValueError for another shape or dtype.
    """
    if images.ndim != 4 or images.dtype != np.uint8 or images.shape[-1] not in (1, 3):
        raise ValueError(
            f"images must be uint8, (k, H, W, 1 or 3); got {images.dtype}, {images.shape}"
        )
    tiles = np.full((len(images), *images.shape[1:3], 4), 255, dtype=np.uint8)
    tiles[..., :3] = images  # one channel is spread over all three
    return png(_tiled(tiles, columns, rows, max(1, images.shape[1] // 16)))


def framed(images: Images, colors: Sequence[str], columns: int, masks: Images | None) -> str:
    """As `grid`, each image in a frame of its color ("#rrggbb"), its mask beneath it.

    ``masks`` are uint8, (k, H, W, 1), if there are any.
    """
    _, height, width, _ = images.shape
    edge = max(1, height // 10)
    parts = [images] if masks is None else [images, masks]
    tall = sum(part.shape[1] for part in parts) + (len(parts) + 1) * edge
    tiles = np.full((len(images), tall, width + 2 * edge, 4), 255, dtype=np.uint8)
    tiles[..., :3] = np.array([[*bytes.fromhex(one[1:])] for one in colors])[:, None, None]
    for number, part in enumerate(parts):
        first = edge + number * (height + edge)
        tiles[:, first : first + height, edge : edge + width, :3] = part
    columns = min(columns, len(images))
    return png(_tiled(tiles, columns, -(-len(images) // columns), max(1, height // 8)))


def _tiled(tiles: Images, columns: int, rows: int, gap: int) -> Images:
    """RGBA pictures (k, H, W, 4) side by side in one, transparent pixels between them."""
    _, height, width, _ = tiles.shape
    shape = (rows * (height + gap) - gap, columns * (width + gap) - gap, 4)
    canvas = np.zeros(shape, dtype=np.uint8)
    for place, tile in enumerate(tiles[: columns * rows]):
        top, left = place // columns * (height + gap), place % columns * (width + gap)
        canvas[top : top + height, left : left + width] = tile
    return canvas


def png(pixels: Images) -> str:
    """A ``data:`` URI of one RGBA picture, uint8, (H, W, 4)."""
    from matplotlib.image import imsave  # here: a page without pictures needs no matplotlib

    # Without its version in the file, every matplotlib writes the same bytes.
    nameless: dict[str, Any] = {"Software": None}
    target = io.BytesIO()
    imsave(target, pixels, format="png", metadata=nameless)
    return f"data:image/png;base64,{base64.b64encode(target.getvalue()).decode()}"


def change(clean: Images, stamped: Images) -> tuple[Images | None, int]:
    """Where a trigger made an image, uint8, (1, H, W, C), lighter and darker, enlarged to be seen.

    Returns such an image, 128 where nothing changed, and the factor of the changes; None and 0 if
    at most `SPREAD` of the pixels changed, as under a patch.
    """
    changed = stamped.astype(int) - clean
    if (changed != 0).any(axis=-1).mean() <= SPREAD:
        return None, 0
    factor = max(1, 127 // int(np.abs(changed).max()))
    return np.clip(128 + factor * changed, 0, 255).astype(np.uint8), factor
