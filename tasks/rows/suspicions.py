"""A detector's suspicions of an image set, the truth about its images, and the extreme images."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tasks.data import datasets, images
from tasks.steps import poison
from tasks.steps.dissect import Dissection
from tasks.triggers.patch import Patched
from tasks.triggers.trigger import Trigger

Floats = NDArray[np.float64]

SHOWN: Final = 12
"""Images kept of the most and of the least suspicious ones, for the page."""
CHUNK: Final = 1024
"""Masks decoded at once."""


@dataclass(frozen=True, kw_only=True)
class Suspicions:
    """What a detector says of an image set, by ascending index."""

    index: NDArray[np.int64]
    """(N,)."""
    label: NDArray[np.int64]
    """(N,). As observed; for a generation the class that was asked for."""
    suspicion: NDArray[np.float64]
    """(N,)."""
    masks: pa.ChunkedArray | None
    """N PNGs; None if the detector has no masks."""
    kept: NDArray[np.float64] | None
    """(N,). How often a mask keeps the classifier's answer, 0..1; None without masks."""

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Read what ``detect`` wrote."""
        table = pq.read_table(folder / "rows.parquet").sort_by("index")
        masks = table["mask"]
        assert masks.null_count in (0, len(masks))
        return cls(
            index=table["index"].to_numpy(),
            label=table["label"].to_numpy(),
            suspicion=table["suspicion"].to_numpy(),
            masks=None if masks.null_count else masks,
            kept=None if masks.null_count else table["kept"].to_numpy(),
        )

    def mask_means(self, trigger: Trigger) -> tuple[Floats | None, Floats | None]:
        """Mean of each image's mask, over the image and over a patch, float64, (N,), 0..1.

        None without masks, and the second without a patch.
        """
        if self.masks is None:
            return None, None
        whole, patch = [], []
        for first in range(0, len(self.masks), CHUNK):
            masks = images.decode(self.masks.slice(first, CHUNK).to_pylist())
            whole.append(masks.mean(axis=(1, 2, 3)) / 255)
            if isinstance(trigger, Patched):
                place = trigger.patch(*masks.shape[1:]).place
                patch.append(masks[place].mean(axis=(1, 2, 3)) / 255)
        return np.concatenate(whole), np.concatenate(patch) if patch else None

    def check(self, whose: str, index: NDArray[np.int64], label: NDArray[np.int64]) -> None:
        """Raise ValueError unless a table by ascending index, both (M,), is of the same images."""
        if not (np.array_equal(self.index, index) and np.array_equal(self.label, label)):
            raise ValueError(
                f"expected suspicions of the {len(index)} images of the {whose}, got "
                f"{len(self.index)} with another index or label; they belong to another image set"
            )


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What is taken for the truth about the images, by ascending index."""

    poisoned: NDArray[np.bool_]
    """(N,). Positives."""
    group: NDArray[np.int8] | None = None
    """(N,). 1..4 for G1..G4; None for the training set."""
    template_match: NDArray[np.bool_] | None = None
    """(N,). Template matching finds the trigger; None without a patch, and for the training set."""

    @classmethod
    def of_training(cls, manifest: Path, found: Suspicions) -> Self:
        """Read a manifest; raises ValueError if the suspicions are of other images."""
        listed = poison.Manifest.read(manifest)
        found.check("manifest", listed.index, listed.label)
        return cls(poisoned=listed.poisoned)

    @classmethod
    def of_generations(cls, generations: Path, dissection: Path, found: Suspicions) -> Self:
        """Read what ``dissect`` wrote; raises ValueError if the suspicions are of other images."""
        drawn = pq.read_table(generations / "rows.parquet", columns=["index", "label"])
        drawn = drawn.sort_by("index")
        found.check("generations", drawn["index"].to_numpy(), drawn["label"].to_numpy())
        judged = Dissection.read(dissection)
        found.check("dissection", judged.index, judged.condition)
        return cls(
            poisoned=judged.has_trigger, group=judged.group, template_match=judged.template_match
        )


def extremes(
    found: Suspicions, *, dataset: Path, manifest: Path, generations: Path | None
) -> dict[str, NDArray[np.uint8]]:
    """``most_suspicious`` and ``least_suspicious`` images, most extreme first, ties by index.

    They are generations, or training images as the defender has them: uint8, (k, H, W, C), k =
    min(SHOWN, N); if there are masks, ``..._masks``, uint8, (k, H, W, 1), 255 where the mask is 1.
    """
    order = np.argsort(-found.suspicion, kind="stable")
    ends = {"most_suspicious": order[:SHOWN], "least_suspicious": order[-SHOWN:][::-1]}
    shown = np.unique(np.concatenate(list(ends.values())))
    index = found.index[shown]
    if generations is None:
        split = datasets.read_split(dataset, "train", index)
        listed = poison.Manifest.read(manifest)
        pictures, _ = poison.stamp(split.index, split.images, split.labels, listed)
    else:
        chosen = [("index", "in", index.tolist())]
        columns = ["index", "image"]
        table = pq.read_table(generations / "rows.parquet", columns=columns, filters=chosen)
        pictures = images.from_column(table.sort_by("index")["image"])
    kept = {name: pictures[np.searchsorted(shown, rows)] for name, rows in ends.items()}
    if found.masks is not None:
        for name, rows in ends.items():
            kept[f"{name}_masks"] = images.decode(found.masks.take(rows).to_pylist())
    return kept
