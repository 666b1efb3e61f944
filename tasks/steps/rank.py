"""Rank the images of a dataset without ground truth by a detector's suspicion, with file names."""

import csv
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from tasks.checks import check_counts
from tasks.data import datasets, images
from tasks.settings import TaskSettings
from tasks.steps.poison import slug

if TYPE_CHECKING:
    import pandas as pd

QUANTILES = {"q25": 0.25, "median": 0.5, "q75": 0.75, "q99": 0.99}
"""Quantiles of the suspicions in ``metrics.json``, beside the smallest and the largest."""


@dataclass(frozen=True, kw_only=True)
class Settings(TaskSettings):
    """The detector, and how many pictures to keep."""

    revision = 1
    expected_seconds = 1.0
    expected_bytes = 500_000

    detector: str
    """Name of the detector."""
    shown: int = 24
    """Pictures to keep of the most suspicious images, >= 1."""
    shown_per_class: int = 6
    """Pictures to keep of the most suspicious images of each class, >= 1."""
    classes_shown: int = 60
    """Classes to keep pictures of, >= 1: those with the most suspicious images."""
    shown_side: int = 128
    """Most pixels a side of a picture, >= 1; larger ones are averaged."""

    def __post_init__(self) -> None:
        check_counts(self, "shown", "shown_per_class", "classes_shown", "shown_side")

    @property
    def label(self) -> str:
        """Readable part of the result's path, e.g. ``cd``."""
        return slug(self.detector)


class Line(NamedTuple):
    """A line of ``ranking.csv``."""

    file: str
    """Name relative to the folder, with ``/``."""
    label: str
    """Name of the class."""
    suspicion: float
    """Higher is more likely poisoned."""
    rank: int
    """1..N."""


def run(settings: Settings, *, dataset: Path, suspicion: Path, prepared: Path, out: Path) -> None:
    """Write ``ranking.csv``, ``metrics.json`` and ``groups.npz``.

    Given a dataset, a folder of ``detect`` with a suspicion of each training image, and one of
    ``prepare`` with the classifier's accuracy.  Raises ValueError for suspicions of other images.
    """
    columns = ["index", "label", "suspicion", "kept"]
    rows = pq.read_table(suspicion / "rows.parquet", columns=columns).to_pandas()
    ranked = rows.sort_values(["suspicion", "index"], ascending=[False, True])
    classes = datasets.read_classes(dataset)
    labels = [classes.names[label] for label in ranked["label"]]
    files, ranks = file_names(dataset, ranked["index"]), range(1, len(ranked) + 1)
    lines = zip(files, labels, ranked["suspicion"], ranks, strict=True)
    with (out / "ranking.csv").open("w", encoding="utf-8", newline="") as file:
        # All text is quoted: a file's name may hold commas, quotes and line ends of any kind.
        writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
        writer.writerows([Line._fields, *lines])
    kept = ranked["kept"].to_numpy()
    row = {
        "detector": settings.detector,
        "classes": len(classes.names),
        **json.loads((prepared / "classifier.json").read_text()),
        **summary(ranked["suspicion"].to_numpy()),
        "answers_kept": None if np.isnan(kept).any() else float(kept.mean()),
    }
    (out / "metrics.json").write_text(json.dumps(row, indent=1) + "\n")
    np.savez_compressed(out / "groups.npz", **_groups(settings, ranked, dataset, suspicion))


def read(folder: Path) -> list[Line]:
    """The lines of a finished step's ``ranking.csv``, by rank."""
    with (folder / "ranking.csv").open(encoding="utf-8", newline="") as file:
        _, *lines = csv.reader(file)
    return [Line(name, label, float(score), int(rank)) for name, label, score, rank in lines]


def file_names(dataset: Path, index: "pd.Series[int]") -> list[str]:
    """Names of the files of all training images, in any order; an image without one has its index.

    Raises ValueError if ``index`` is not that of all training images.
    """
    with pq.ParquetFile(dataset / "train.parquet") as file:
        table = file.read(columns=["index", "image.path"])  # the pixels stay where they are
    known = dict(zip(table["index"].to_pylist(), table["image"].to_pylist(), strict=True))
    if sorted(known) != sorted(index):
        raise ValueError(
            f"expected a suspicion of each of the dataset's {len(known)} training images, got "
            f"{len(index)} of other images"
        )
    return [known[number]["path"] or str(number) for number in index]


def summary(suspicion: NDArray[np.float64]) -> dict[str, float | int]:
    """Number of images and of distinct suspicions, and their quantiles; ``suspicion`` is (N,)."""
    return {
        "n": len(suspicion),
        "distinct": len(np.unique(suspicion)),
        "suspicion_min": float(suspicion.min()),
        **{
            f"suspicion_{name}": float(np.quantile(suspicion, share))
            for name, share in QUANTILES.items()
        },
        "suspicion_max": float(suspicion.max()),
    }


def _groups(
    settings: Settings, ranked: "pd.DataFrame", dataset: Path, suspicion: Path
) -> dict[str, Any]:
    """Pictures by group, uint8, (k, H, W, C), and ``<group>_masks`` if there are masks.

    The groups are ``most_suspicious``, then ``class_<label>`` of each class shown, by rank.
    """
    groups = {"most_suspicious": ranked.head(settings.shown)}
    for label in sorted(ranked["label"].unique()[: settings.classes_shown]):
        of_class = ranked[ranked["label"] == label]
        groups[f"class_{label}"] = of_class.head(settings.shown_per_class)
    wanted = np.unique(np.concatenate([some["index"] for some in groups.values()]))
    side = settings.shown_side
    pictures = {"": _reduced(datasets.read_split(dataset, "train", wanted).images, side)}
    chosen = [("index", "in", wanted.tolist())]
    table = pq.read_table(suspicion / "rows.parquet", columns=["index", "mask"], filters=chosen)
    if not table["mask"].null_count:
        masks = images.decode(table.sort_by("index")["mask"].to_pylist())
        pictures["_masks"] = _reduced(masks, side)
    return {
        f"{name}{what}": shown[np.searchsorted(wanted, some["index"])]
        for name, some in groups.items()
        for what, shown in pictures.items()
    }


def _reduced(pictures: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Pictures averaged over blocks of pixels, to at most ``side`` pixels a side."""
    factor = math.ceil(max(pictures.shape[1:3]) / side)
    if factor == 1:
        return pictures
    gray = pictures.shape[3] == 1
    plain = pictures[..., 0] if gray else pictures
    smaller = np.stack([np.asarray(Image.fromarray(one).reduce(factor)) for one in plain])
    return smaller[..., None] if gray else smaller
