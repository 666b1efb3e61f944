"""What a detector said of an image set, what is known of its images, and pictures of the extremes.

Detectors never see any of what is known; ``evaluate`` lays the two side by side.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tasks.data import datasets, images
from tasks.steps import poison
from tasks.triggers import Trigger
from tasks.triggers.patches import Patched

Floats = NDArray[np.float64]

SHOWN: Final = 12
"""Images kept of the most and of the least suspicious ones, for the page."""

CHUNK: Final = 1024
"""Masks decoded at once."""


@dataclass(frozen=True, kw_only=True)
class Looked:
    """What a detector said of an image set, by ascending index."""

    index: NDArray[np.int64]
    """(N,)."""
    label: NDArray[np.int64]
    """(N,). As observed; of a generation the class asked for."""
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
        """Mean value of each image's mask, over the image and over the pixels of a patch.

        Args:
            trigger: Whoever paints the patch, if it paints one.

        Returns:
            Twice float64, (N,), 0..1; None without masks, and the second without a patch.
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
        """Compare with the index and label of another table, both (M,) by ascending index.

        Raises:
            ValueError: They are not the same images.
        """
        same = np.array_equal(self.index, index) and np.array_equal(self.label, label)
        if not same:
            raise ValueError(
                f"expected suspicions of the {len(index)} images of the {whose}, got "
                f"{len(self.index)} with another index or label; they belong to another image set"
            )


@dataclass(frozen=True, kw_only=True)
class Known:
    """What is taken for the truth of the images, by ascending index."""

    poisoned: NDArray[np.bool_]
    """(N,). Positives."""
    group: NDArray[np.int8] | None = None
    """(N,). 1..4 for G1..G4; None on the training set."""
    template_match: NDArray[np.bool_] | None = None
    """(N,). Template matching finds the trigger; None without a patch, and on the training set."""

    @classmethod
    def of_training(cls, manifest: Path, looked: Looked) -> Self:
        """Read a manifest; raises ValueError if ``looked`` is of other images."""
        listed = poison.Manifest.read(manifest)
        looked.check("manifest", listed.index, listed.label)
        return cls(poisoned=listed.poisoned)

    @classmethod
    def of_generations(cls, generations: Path, dissection: Path, looked: Looked) -> Self:
        """Read what ``dissect`` wrote; raises ValueError if ``looked`` is of other images."""
        drawn = pq.read_table(generations / "rows.parquet", columns=["index", "label"])
        drawn = drawn.sort_by("index")
        looked.check("generations", drawn["index"].to_numpy(), drawn["label"].to_numpy())
        table = pq.read_table(dissection / "rows.parquet").sort_by("index")
        condition, template_match = table["condition"].to_numpy(), table["template_match"]
        looked.check("dissection", table["index"].to_numpy(), condition)
        seen = table["trigger"].to_numpy()
        assert template_match.null_count in (0, len(template_match))
        return cls(
            poisoned=seen,
            # Seen and matching is 2, seen and not 1, not seen and matching 4.
            group=(3 - 2 * seen + (table["content"].to_numpy() == condition)).astype(np.int8),
            template_match=None if template_match.null_count else template_match.to_numpy(),
        )


def extremes(
    looked: Looked, *, dataset: Path, manifest: Path, generations: Path | None
) -> dict[str, NDArray[np.uint8]]:
    """The most and the least suspicious images, most extreme first, with their masks.

    Ties are ranked by the index, the lowest as the most suspicious.

    Args:
        looked: What was said of the images.
        dataset: Whose training images they are, if they are no generations.
        manifest: That stamps these: they are shown as the defender has them.
        generations: Folder of ``sample``, or None.

    Returns:
        ``most_suspicious`` and ``least_suspicious``, uint8, (k, H, W, C), k = min(SHOWN, N); if
        there are masks, ``..._masks``, uint8, (k, H, W, 1), 255 where the mask is 1.
    """
    order = np.argsort(-looked.suspicion, kind="stable")
    ends = {"most_suspicious": order[:SHOWN], "least_suspicious": order[-SHOWN:][::-1]}
    shown = np.unique(np.concatenate(list(ends.values())))
    index = looked.index[shown]
    if generations is None:
        pictures = _of_training(dataset, manifest, index)
    else:
        pictures = _of_generations(generations, index)
    found = {name: pictures[np.searchsorted(shown, rows)] for name, rows in ends.items()}
    if looked.masks is not None:
        for name, rows in ends.items():
            found[f"{name}_masks"] = images.decode(looked.masks.take(rows).to_pylist())
    return found


def _of_training(dataset: Path, manifest: Path, index: NDArray[np.int64]) -> NDArray[np.uint8]:
    split = datasets.read_split(dataset, "train", index)
    pictures, _ = poison.stamp(
        split.index, split.images, split.labels, poison.Manifest.read(manifest)
    )
    return pictures


def _of_generations(generations: Path, index: NDArray[np.int64]) -> NDArray[np.uint8]:
    chosen = [("index", "in", index.tolist())]
    table = pq.read_table(
        generations / "rows.parquet", columns=["index", "image"], filters=chosen
    ).sort_by("index")
    return images.from_column(table["image"])
