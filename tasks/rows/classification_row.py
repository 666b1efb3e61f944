"""Compute the row of a point of study ``diffusion_classifier``: TA and ASR at one filter ratio.

It has the differences from no filter and from a classifier that was trained on the same poisoned
set, paired by test image and conditional on the trained models.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from analysis.statistics.intervals import Estimate, mean
from tasks.checks import check, check_name
from tasks.columns import Row, bounded
from tasks.data import datasets, images
from tasks.rows.row import change, poison_columns, read_poison, write_row
from tasks.settings import TaskSettings
from tasks.steps import denoise_classify
from tasks.steps.attack import NOTHING_SAID, Verdicts
from tasks.steps.denoise_classify import kept, painted
from tasks.steps.poison import slug
from tasks.steps.train_diffusion import NOISE_MODELS


@dataclass(frozen=True, kw_only=True)
class Settings(TaskSettings):
    """The coordinates of the point."""

    revision = 2
    expected_seconds = 0.3
    expected_bytes = 15_000

    trigger: str
    """Name of the trigger that the training set was poisoned with."""
    poison_ratio: float
    """Poisoned images / all training images."""
    noise_model: str
    """A name of NOISE_MODELS."""
    filter_ratio: float
    """One of the filter ratios in ``classify``."""
    classifier: str
    """Name of the network of the other classifier."""
    trigger_pixels: int | None
    """Pixels that the attacking trigger paints; None if it paints no patch."""
    classify: denoise_classify.Settings
    """How the images were classified; has the attacking trigger, the target class and the seed."""

    def __post_init__(self) -> None:
        check_name("a noise_model", self.noise_model, NOISE_MODELS)
        known, wanted = self.classify.filter_ratios, {0.0, self.filter_ratio}
        check("filter ratios", known, f"with {sorted(wanted)}", wanted <= {*known})

    @property
    def judge_trigger(self) -> str:
        """Name of the trigger that attacks; ``trigger``, except for the control."""
        return self.classify.trigger.name

    @property
    def target_class(self) -> str:
        """Name of the class that poisoned images are labelled as."""
        return self.classify.target_class

    @property
    def seed(self) -> int:
        """Seed of the poison, of both trainings and of the noise."""
        return self.classify.seed

    @property
    def label(self) -> str:
        """Readable part of the path, e.g. ``badnets1-4px-p0.05-8-seed0-ddpm-filter0.01``."""
        judged = "" if self.judge_trigger == self.trigger else f"-by-{self.judge_trigger}"
        pixels = "" if self.trigger_pixels is None else f"-{self.trigger_pixels}px"
        where = f"p{self.poison_ratio:g}-{slug(self.target_class)}"
        how = f"seed{self.seed}-{self.noise_model}-filter{self.filter_ratio:g}"
        return f"{self.trigger}{judged}{pixels}-{where}-{how}"


def run(
    settings: Settings, *, manifest: Path, classified: Path, attack: Path, dataset: Path, out: Path
) -> None:
    """Write ``metrics.json``, the row, and ``losses.npz``, maps of the loss on test images.

    ``manifest`` is behind both models, ``classified`` a folder of ``denoise_classify``, and
    ``attack``, with its verdicts, was on the other classifier with the same trigger.  Raises
    ValueError for inputs of another point or verdicts about other images.
    """
    classify = settings.classify
    record = read_poison(manifest, settings)
    rows = pq.read_table(classified / "rows.parquet").sort_by("index")
    verdicts = Verdicts.read(attack).of(
        settings.judge_trigger, settings.target_class, settings.classifier
    )
    place = classify.filter_ratios.index(settings.filter_ratio)
    other = verdicts.first(len(rows))
    now = _verdicts(rows, place, other)
    unfiltered = _verdicts(rows, classify.filter_ratios.index(0.0), other)
    classes = datasets.read_classes(dataset)
    values = classes.image_size**2 * classes.channels
    passes = [1 if calls is None else 2 for calls in rows["calls_triggered"].to_pylist()]
    names: tuple[str, ...] = ("trigger", "judge_trigger", "trigger_pixels", "poison_ratio")
    names += ("target_class", "seed", "noise_model", "filter_ratio", "classifier")
    row: Row = {
        **{name: getattr(settings, name) for name in names},
        "draws": classify.draws,
        "stages": ", ".join(str(stage) for stage in classify.stages),
        "reduction": classify.reduction,
        **poison_columns(record),
        **now.rates(),
        **{f"classifier_{k}": v for k, v in other.rates().items() if k not in ("n", "attack_n")},
        **_changes(settings, now, unfiltered, other),
        "values": values,
        "dropped": values - kept(settings.filter_ratio, values),
        **_on_trigger(rows, place),
        "image_pixels": classes.image_size**2,
        "calls": sum(rows["calls"].to_pylist()),
        "calls_triggered": sum(calls or 0 for calls in rows["calls_triggered"].to_pylist()),
        "full_calls": sum(np.multiply(passes, rows["full_calls"].to_pylist()).tolist()),
    }
    write_row(out, row, losses=_losses(settings, rows, dataset, now, classes.image_size))


def _verdicts(rows: pa.Table, place: int, other: Verdicts) -> Verdicts:
    """The diffusion classifier's verdicts at filter ratio number ``place``."""
    triggered = [
        NOTHING_SAID if said is None else said[place] for said in rows["said_triggered"].to_pylist()
    ]
    return Verdicts(
        index=rows["index"].to_numpy(),
        label=rows["label"].to_numpy(),
        said=np.array([said[place] for said in rows["said"].to_pylist()], dtype=np.int64),
        said_triggered=np.array(triggered, dtype=np.int64),
        target=other.target,
        record={},
    )


def _changes(settings: Settings, now: Verdicts, before: Verdicts, other: Verdicts) -> Row:
    """This filter minus none, and the diffusion classifier minus the other one, paired."""
    found: dict[str, Estimate | None] = {}
    unfiltered = before if settings.filter_ratio > 0 else None
    for name, answers in (("test_accuracy", "right"), ("attack_success_rate", "misled")):
        found[f"{name}_change"] = change(now, unfiltered, answers)
        found[f"{name}_difference"] = change(now, other, answers)
    return bounded(found)


def _on_trigger(rows: pa.Table, place: int) -> Row:
    """Which share of the dropped values lies on the trigger, under the true and target class."""
    shares = {
        which: [
            np.nan if one[place] is None else one[place]
            for one in rows[f"on_trigger_{which}"].to_pylist()
            if one is not None
        ]
        for which in ("true", "target")
    }
    shares["difference"] = np.subtract(shares["true"], shares["target"]).tolist()
    return bounded({f"on_trigger_{name}": _mean(some) for name, some in shares.items()})


def _mean(values: Sequence[float]) -> Estimate | None:
    """Mean over images; None for fewer than two, or where nothing is dropped."""
    if len(values) < 2 or np.isnan(values).any():
        return None
    return mean(values).within(-1 if min(values) < 0 else 0, 1)


def _losses(
    settings: Settings, rows: pa.Table, dataset: Path, now: Verdicts, size: int
) -> dict[str, NDArray[Any]]:
    """The first triggered images, and maps of the loss under two classes; empty without any.

    ``images`` uint8 (k, H, W, C), stamped; ``true`` and ``target`` float32 (k, H, W); ``label`` and
    ``said`` int64 (k,); ``trigger`` bool (H, W), the painted pixels of a patch.
    """
    maps = {name: rows[f"map_{name}"].to_pylist() for name in ("true", "target")}
    shown = [place for place, found in enumerate(maps["true"]) if found is not None]
    if not shown:
        return {}
    test = pq.read_table(dataset / "test.parquet", columns=["index", "image"]).sort_by("index")
    pictures = images.from_column(test["image"].take(shown))
    found: dict[str, NDArray[Any]] = {
        "images": settings.classify.trigger.stamp(pictures),
        "label": now.label[shown],
        "said": now.said_triggered[shown],
    }
    for name, every in maps.items():
        drawn = [every[place] for place in shown]
        found[name] = np.array(drawn, dtype=np.float32).reshape(-1, size, size)
    patch = painted(settings.classify.trigger, pictures.shape[1:])
    if patch is not None:
        found["trigger"] = patch.reshape(-1, size, size)[0]
    return found
