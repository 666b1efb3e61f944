"""What a manifest keeps of a trigger beside its fields: the grid of a warp, the noise of images.

The fields draw the grid already; it is kept to be looked at, and to tell when they draw another.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tasks.triggers import Perturbing, Trigger
from tasks.triggers.warping import Warping

GRID: Final = "grid.npy"
"""float32, (H, W, 2): the trigger's field."""
NOISE: Final = "noise.npy"
"""int8, (count, H, W, C): added to each poisoned image before it is stamped, by ascending index."""
FILES: Final = (GRID, NOISE)
"""Of which a manifest has one or none."""
COPIED_AT_ONCE: Final = 64
"""Images whose noise is in memory at once."""


def keep(
    trigger: Trigger,
    out: Path,
    *,
    side: int,
    target_class: str,
    index: NDArray[np.int64],
    noise: Path | None,
) -> dict[str, Any]:
    """Write the state of a trigger into a manifest's folder; return what the record says of it.

    That is nothing, ``folded`` of a trigger that warps, or ``noise``: what ``perturb`` measured.

    Args:
        trigger: Whose.
        out: Where to.
        side: Of the images, pixels.
        target_class: Name of the class that is poisoned.
        index: int64, (count,). Poisoned images.
        noise: The folder of ``perturb``, for a trigger that perturbs and no other.

    Raises:
        ValueError: Noise that is missing or superfluous, another trigger's or another dataset's.
    """
    if isinstance(trigger, Perturbing) != (noise is not None):
        wanted = "the folder of perturb" if noise is None else "no noise"
        raise ValueError(f"expected {wanted} for trigger {trigger.name}, got {noise}")
    if isinstance(trigger, Warping):
        np.save(out / GRID, trigger.field(side, side), allow_pickle=False)
        return {"folded": trigger.folded(side, side)}
    if noise is None:
        return {}
    found: dict[str, Any] = json.loads((noise / "perturb.json").read_text())
    asked = {name: getattr(trigger, name) for name in ("epsilon", "step_size", "steps")}
    for name, value in {"target_class": target_class, **asked}.items():
        if found[name] != value:
            raise ValueError(f"expected noise with {name} {value}, got {found[name]}")
    _copy_noise(noise, np.sort(index), out / NOISE)
    return {"noise": found}


def read(folder: Path, trigger: Trigger, record: Mapping[str, Any]) -> NDArray[np.int8] | None:
    """The noise in a manifest's folder, of which only what is looked at is read; None without.

    Raises:
        ValueError: The grid in it is not the one that the trigger draws here, or the noise is no
            such array.
    """
    if "folded" in record:
        assert isinstance(trigger, Warping), f"{trigger.name} has no grid"
        check_grid(trigger, np.load(folder / GRID, allow_pickle=False))
    return _mapped(folder / NOISE) if "noise" in record else None


def check_grid(trigger: Warping, grid: NDArray[np.float32]) -> None:
    """Compare a grid that was kept with the one that is stamped.

    Raises:
        ValueError: They differ: NumPy promises equal draws within one of its versions only.
    """
    if grid.ndim != 3 or not np.array_equal(trigger.field(*grid.shape[:2]), grid):
        raise ValueError(
            f"expected the grid that the manifest keeps, but NumPy {np.__version__} of this "
            "machine draws another grid from the same seed; use the version that made the "
            "manifest, or make the manifest and all that rests on it again"
        )


def add(image: NDArray[np.uint8], noise: NDArray[np.int8]) -> NDArray[np.uint8]:
    """Images with their noise, both (B, H, W, C), clipped to 0..255.

    Raises:
        ValueError: They are of other shapes.
    """
    if noise.shape != image.shape:
        raise ValueError(
            f"expected images of shape {noise.shape[1:]}, as the manifest has noise for, got "
            f"{image.shape[1:]}; the manifest belongs to another dataset"
        )
    summed: NDArray[np.int16] = image.astype(np.int16) + noise
    return summed.clip(0, 255).astype(np.uint8)


def _copy_noise(perturb: Path, index: NDArray[np.int64], file: Path) -> None:
    """Copy the noise of these images, ascending, out of the folder of ``perturb``."""
    known = pq.read_table(perturb / "noise.parquet", columns=["index"])["index"].to_numpy()
    rows = np.searchsorted(known, index).clip(max=len(known) - 1)
    if (known[rows] != index).any():
        raise ValueError("expected noise for every image that is poisoned; it is another dataset's")
    source = _mapped(perturb / NOISE)
    shape = (len(rows), *source.shape[1:])
    kept = np.lib.format.open_memmap(file, mode="w+", dtype=np.int8, shape=shape)
    for first in range(0, len(rows), COPIED_AT_ONCE):
        some = slice(first, first + COPIED_AT_ONCE)
        kept[some] = source[rows[some]]
    kept.flush()


def _mapped(file: Path) -> NDArray[np.int8]:
    noise: NDArray[np.int8] = np.load(file, mmap_mode="r", allow_pickle=False)
    if noise.dtype != np.int8 or noise.ndim != 4:
        raise ValueError(f"expected noise as int8, (N, H, W, C), got {noise.dtype} {noise.shape}")
    return noise
