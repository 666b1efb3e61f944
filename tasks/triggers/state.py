"""What a manifest holds of its trigger beside the fields: noise of images, or a check of a warp."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tasks.checks import check
from tasks.triggers.clean_label import CleanLabel
from tasks.triggers.trigger import Trigger
from tasks.triggers.wanet import Wanet

NOISE: Final = "noise.npy"
"""int8, (count, H, W, C): added to each poisoned image before it is stamped, by ascending index."""


def keep(
    trigger: Trigger, out: Path, *, side: int, index: NDArray[np.int64], noise: Path | None
) -> dict[str, Any]:
    """Write the noise of a manifest, if it has any; return what to add to the manifest's record.

    That is ``warp`` for a trigger that warps (side of the images and digest of the field), or
    ``noise`` for one that perturbs (what ``perturb`` measured).  ``index`` is of the poisoned
    images.  Raises ValueError for noise that is missing, superfluous or another's.
    """
    if isinstance(trigger, CleanLabel) != (noise is not None):
        wanted = "the folder of perturb" if noise is None else "no noise"
        raise ValueError(f"expected {wanted} for trigger {trigger.name}, got {noise}")
    if isinstance(trigger, Wanet):
        return {"warp": {"side": side, "sha256": _digest(trigger, side)}}
    if noise is None:
        return {}
    found: dict[str, Any] = json.loads((noise / "perturb.json").read_text())
    for name in ("epsilon", "step_size", "steps"):
        value = getattr(trigger, name)
        check(f"noise with {name}", found[name], f"{value}", found[name] == value)
    _copy_noise(noise, np.sort(index), out / NOISE)
    return {"noise": found}


def read(folder: Path, trigger: Trigger, record: Mapping[str, Any]) -> NDArray[np.int8] | None:
    """The noise in a manifest's folder, int8, mapped into memory; None if there is none.

    Raises ValueError if the trigger draws another warp here than where the manifest was made: NumPy
    promises equal draws within one of its versions only.
    """
    if warp := record.get("warp"):
        assert isinstance(trigger, Wanet), f"{trigger.name} has no warp"
        if _digest(trigger, warp["side"]) != warp["sha256"]:
            raise ValueError(
                f"expected the warp of the manifest, but NumPy {np.__version__} on this machine "
                "draws another one from the same seed; use the version that made the manifest, or "
                "make the manifest and everything computed from it again"
            )
    return _mapped(folder / NOISE) if "noise" in record else None


def _digest(trigger: Wanet, side: int) -> str:
    return hashlib.sha256(trigger.field(side, side).tobytes()).hexdigest()


def add(image: NDArray[np.uint8], noise: NDArray[np.int8]) -> NDArray[np.uint8]:
    """Add noise to images, both (B, H, W, C), and clip; raises ValueError if shapes differ."""
    if noise.shape != image.shape:
        raise ValueError(
            f"expected images of shape {noise.shape[1:]}, as the noise of the manifest, got "
            f"{image.shape[1:]}; the manifest belongs to another dataset"
        )
    summed: NDArray[np.int16] = image.astype(np.int16) + noise
    return summed.clip(0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Noise:
    """What ``perturb`` found, by image."""

    index: NDArray[np.int64]
    """(n,). Ascending."""
    noise: NDArray[np.int8]
    """(n, H, W, C). Mapped into memory."""

    @classmethod
    def open(cls, perturb: Path) -> "Noise":
        """Of the folder of ``perturb``."""
        known = pq.read_table(perturb / "noise.parquet", columns=["index"])["index"]
        return cls(known.to_numpy(), _mapped(perturb / NOISE))

    def rows(self, index: NDArray[np.int64]) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
        """Where in ``noise`` images are, (B,), and which of them are there."""
        rows = np.searchsorted(self.index, index).clip(max=len(self.index) - 1)
        return rows, self.index[rows] == index

    def added(self, index: NDArray[np.int64], image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Images, (B, H, W, C), by index (B,), with the noise of those that have any."""
        rows, has = self.rows(index)
        found = image.copy()
        if has.any():
            found[has] = add(image[has], self.noise[rows[has]])
        return found


def _copy_noise(perturb: Path, index: NDArray[np.int64], file: Path) -> None:
    """Copy the noise of these images, ascending, out of the folder of ``perturb``."""
    known = Noise.open(perturb)
    rows, has = known.rows(index)
    if not has.all():
        raise ValueError(
            "expected noise for every poisoned image; the noise belongs to another dataset"
        )
    shape = (len(rows), *known.noise.shape[1:])
    kept = np.lib.format.open_memmap(file, mode="w+", dtype=np.int8, shape=shape)
    for place, row in enumerate(rows):  # one by one: the noise may be larger than memory
        kept[place] = known.noise[row]
    kept.flush()


def _mapped(file: Path) -> NDArray[np.int8]:
    noise: NDArray[np.int8] = np.load(file, mmap_mode="r", allow_pickle=False)
    return noise
