"""Where a diffusion model's losses lie: triggered images with their maps under two classes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from analysis.page.images import Images, png

COLORMAP = "inferno"
"""Dark is little, light is much; its lightness alone says it."""
CLIPPED = 0.99
"""Quantile of all losses shown together that the lightest color stands for."""

Losses = Mapping[str, npt.NDArray[Any]]
"""As `StudyReport.losses` has them for one row."""


def scale(shown: Sequence[Losses]) -> float:
    """What the lightest color stands for in all of these maps together; 0 without any."""
    maps = [losses[name].ravel() for losses in shown for name in ("true", "target")]
    values = np.concatenate(maps) if maps else np.zeros(0)
    return float(np.quantile(values, CLIPPED)) if len(values) else 0.0


def triples(losses: Losses, most: float) -> list[Markup]:
    """Each image with its map under its own class and under the target class, side by side.

    Args:
        losses: "images" uint8, (k, H, W, 1 or 3); "true" and "target" float32, (k, H, W).
        most: Loss of the lightest color; from 0 on colors are linear.

    Returns:
        ``data:`` URIs of k pictures.
    """
    parts = (_rgb(losses["images"]), colored(losses["true"], most), colored(losses["target"], most))
    return [
        Markup(_side_by_side([part[place] for part in parts])) for place in range(len(parts[0]))
    ]


def colored(maps: npt.NDArray[np.float32], most: float) -> Images:
    """Maps (k, H, W) as colors, uint8, (k, H, W, 3)."""
    import matplotlib

    share = np.clip(maps / most, 0, 1) if most > 0 else np.zeros_like(maps)
    painted = matplotlib.colormaps[COLORMAP](share)[..., :3]
    return np.round(255 * painted).astype(np.uint8)


def ramp() -> Markup:
    """The colors from 0 to the most, as one picture of 64 by 1 pixels."""
    line = colored(np.linspace(0, 1, 64, dtype=np.float32)[None, None], 1.0)[0]
    return Markup(png(np.concatenate([line, np.full((1, 64, 1), 255, np.uint8)], axis=-1)))


def _rgb(images: Images) -> Images:
    return np.repeat(images, 3, axis=-1) if images.shape[-1] == 1 else images


def _side_by_side(tiles: Sequence[Images]) -> str:
    height, width, _ = tiles[0].shape
    gap = max(1, height // 8)
    canvas = np.zeros((height, len(tiles) * (width + gap) - gap, 4), np.uint8)
    for number, tile in enumerate(tiles):
        left = number * (width + gap)
        canvas[:, left : left + width, :3] = tile
        canvas[:, left : left + width, 3] = 255
    return png(canvas)
