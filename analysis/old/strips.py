"""One training image under every trigger, side by side, and what the trigger did to it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from markupsafe import Markup

from analysis.page.images import Images, grid
from analysis.page.wording import titled, trigger_name

CLEAN = "none"
"""The image as it was."""
SPREAD = 0.25
"""A trigger that changes more than this share of the pixels is no patch; its change is shown."""


def strip(images: Mapping[str, Images]) -> list[dict[str, Any]]:
    """What the template shows of each trigger: its name, the image, and the change if it is spread.

    Args:
        images: As `StudyReport.strip`.
    """
    clean = images.get(CLEAN)
    shown = []
    for trigger, image in images.items():
        change, factor = None, 0
        if clean is not None and clean.shape == image.shape:
            change, factor = difference(clean, image)
        shown.append(
            {
                "name": "Clean" if trigger == CLEAN else titled(trigger_name(trigger)),
                "image": Markup(grid(image[:1], 1, 1)),
                "change": None if change is None else Markup(grid(change[:1], 1, 1)),
                "factor": factor,
            }
        )
    return shown


def difference(clean: Images, stamped: Images) -> tuple[Images | None, int]:
    """Where a trigger made an image lighter and darker than middle grey, enlarged to be seen.

    Args:
        clean: uint8, (1, H, W, C).
        stamped: Of the same shape.

    Returns:
        uint8, (1, H, W, C), 128 where nothing changed, and by how much changes were multiplied;
        None and 0 for a patch, and for an image that is the same.
    """
    change = stamped.astype(int) - clean
    if (change != 0).any(axis=-1).mean() <= SPREAD:
        return None, 0
    factor = max(1, 127 // int(np.abs(change).max()))
    return np.clip(128 + factor * change, 0, 255).astype(np.uint8), factor
