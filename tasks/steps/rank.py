"""Rank the images of a dataset by a detector's suspicion, with their files' names.

It is the last step for a folder without ground truth: there is no threshold and no score of the
detector, only a ranking, and pictures to look at.
"""

import csv
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray
from PIL import Image

from tasks.checks import check_counts
from tasks.data import datasets, images
from tasks.settings import TaskSettings
from tasks.steps.poison import slug

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


@dataclass(frozen=True)
class Ranked:
    """Images by rank: the most suspicious first, ties by index."""

    index: NDArray[np.int64]
    """(N,). The images' numbers in the dataset."""
    label: NDArray[np.int64]
    """(N,). 0..classes-1."""
    suspicion: NDArray[np.float64]
    """(N,). Descending."""
    kept: NDArray[np.float64]
    """(N,). Share of random colors around the mask that keep the answer; NaN without a mask."""

    @classmethod
    def read(cls, suspicion: Path) -> "Ranked":
        """Rank what ``detect`` wrote."""
        names = ["index", "label", "suspicion", "kept"]
        table = pq.read_table(suspicion / "rows.parquet", columns=names).sort_by("index")
        order = np.argsort(-table["suspicion"].to_numpy(), kind="stable")
        return cls(*(table[name].to_numpy()[order] for name in names))


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
    ranked = Ranked.read(suspicion)
    classes = datasets.read_classes(dataset)
    files = file_names(dataset, ranked.index)
    lines = [
        Line(file, classes.names[label], score, rank)
        for rank, (file, label, score) in enumerate(
            zip(files, ranked.label.tolist(), ranked.suspicion.tolist(), strict=True), start=1
        )
    ]
    with (out / "ranking.csv").open("w", encoding="utf-8", newline="") as file:
        # All text is quoted: a file's name may hold commas, quotes and line ends of any kind.
        writer = csv.writer(file, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
        writer.writerows([Line._fields, *lines])
    row = {
        "detector": settings.detector,
        "classes": len(classes.names),
        **json.loads((prepared / "classifier.json").read_text()),
        **summary(ranked.suspicion),
        "answers_kept": None if np.isnan(ranked.kept).any() else float(ranked.kept.mean()),
    }
    (out / "metrics.json").write_text(json.dumps(row, indent=1) + "\n")
    pictures: dict[str, Any] = _groups(settings, ranked, dataset, suspicion)
    np.savez_compressed(out / "groups.npz", **pictures)


def read(folder: Path) -> list[Line]:
    """The lines of a finished step's ``ranking.csv``, by rank."""
    with (folder / "ranking.csv").open(encoding="utf-8", newline="") as file:
        _, *lines = csv.reader(file)
    return [Line(name, label, float(score), int(rank)) for name, label, score, rank in lines]


def file_names(dataset: Path, index: NDArray[np.int64]) -> list[str]:
    """Names of the files of all training images, in any order; an image without one has its index.

    Raises ValueError if ``index``, (N,), is not that of all training images.
    """
    with pq.ParquetFile(dataset / "train.parquet") as file:
        table = file.read(columns=["index", "image.path"])  # the pixels stay where they are
    known = dict(zip(table["index"].to_pylist(), table["image"].to_pylist(), strict=True))
    if sorted(known) != sorted(index.tolist()):
        raise ValueError(
            f"expected a suspicion of each of the dataset's {len(known)} training images, got "
            f"{len(index)} of other images"
        )
    return [known[number]["path"] or str(number) for number in index.tolist()]


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
    settings: Settings, ranked: Ranked, dataset: Path, suspicion: Path
) -> dict[str, NDArray[np.uint8]]:
    """Pictures by group, uint8, (k, H, W, C), and ``<group>_masks`` if there are masks.

    The groups are ``most_suspicious``, then ``class_<label>`` of each class shown, by rank.
    """
    places = {"most_suspicious": np.arange(min(settings.shown, len(ranked.label)))}
    kinds, firsts = np.unique(ranked.label, return_index=True)
    for label in np.sort(kinds[np.argsort(firsts, kind="stable")[: settings.classes_shown]]):
        places[f"class_{label}"] = np.flatnonzero(ranked.label == label)[: settings.shown_per_class]
    wanted = np.unique(ranked.index[np.concatenate([*places.values()])])
    pictures = _reduced(datasets.read_split(dataset, "train", wanted).images, settings.shown_side)
    masks = _masks(suspicion, wanted)
    made = {}
    for name, some in places.items():
        rows = np.searchsorted(wanted, ranked.index[some])
        made[name] = pictures[rows]
        if masks is not None:
            made[f"{name}_masks"] = _reduced(masks, settings.shown_side)[rows]
    return made


def _masks(suspicion: Path, wanted: NDArray[np.int64]) -> NDArray[np.uint8] | None:
    """Masks of the wanted images, ascending, uint8, (k, H, W, 1); None if the detector has none."""
    table = pq.read_table(
        suspicion / "rows.parquet",
        columns=["index", "mask"],
        filters=[("index", "in", wanted.tolist())],
    ).sort_by("index")
    return None if table["mask"].null_count else images.decode(table["mask"].to_pylist())


def _reduced(pictures: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """Pictures averaged over blocks of pixels, to at most ``side`` pixels a side."""
    factor = math.ceil(max(pictures.shape[1:3]) / side)
    if factor == 1:
        return pictures
    gray = pictures.shape[3] == 1
    plain = pictures[..., 0] if gray else pictures
    smaller = np.stack([np.asarray(Image.fromarray(one).reduce(factor)) for one in plain])
    return smaller[..., None] if gray else smaller
