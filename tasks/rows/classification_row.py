"""Reduce one point of study ``diffusion_classifier`` to its row: TA and ASR at one filter ratio.

Beside the diffusion classifier stands a classifier that was trained on the same poisoned set, on
the same test images.  Both differences, from no filter and from that classifier, are paired by
image, and conditional on the trained models.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from analysis.statistics.intervals import Estimate, mean
from analysis.statistics.paired import Pairs, difference
from tasks import triggers
from tasks.data import datasets, images
from tasks.rows.generations_row import Row
from tasks.steps import denoise_classify
from tasks.steps.attack import NOTHING_SAID, Verdicts, rate
from tasks.steps.denoise_classify import kept, painted
from tasks.steps.poison import slug
from tasks.steps.train_diffusion import NOISE_MODELS


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The coordinates of the point; they name its row."""

    revision: ClassVar[int] = 2
    """Add one when the same settings would now give other bytes."""

    trigger: str
    """Name of the trigger that the training set was poisoned with."""
    poison_ratio: float
    """Poisoned images / all training images."""
    noise_model: str
    """Of NOISE_MODELS."""
    filter_ratio: float
    """One of those that ``classify`` filters with."""
    classifier: str
    """Name of the network of the other classifier."""
    trigger_pixels: int | None
    """Pixels that the attacking trigger paints; None if it paints no patch."""
    classify: denoise_classify.Settings
    """How the images were classified; has the attacking trigger, the target class and the seed."""

    def __post_init__(self) -> None:
        """Refuse coordinates that do not fit together."""
        if self.noise_model not in NOISE_MODELS:
            raise ValueError(
                f"expected a noise_model of {', '.join(NOISE_MODELS)}, got {self.noise_model!r}"
            )
        for ratio in (0.0, self.filter_ratio):
            if ratio not in self.classify.filter_ratios:
                raise ValueError(
                    f"expected filter ratio {ratio:g} among those that were classified with, "
                    f"got {self.classify.filter_ratios}"
                )

    @property
    def judge_trigger(self) -> str:
        """Name of the trigger that attacks; ``trigger``, except for the control."""
        return self.classify.trigger.name

    @property
    def target_class(self) -> str:
        """Name of the class that the poison was given."""
        return self.classify.target_class

    @property
    def seed(self) -> int:
        """Of poison, both trainings and the noise."""
        return self.classify.seed

    @property
    def label(self) -> str:
        """Readable part of the path, e.g. ``badnets1-4px-p0.05-8-seed0-ddpm-filter0.01``."""
        attacker = self.classify.trigger.name
        judged = "" if attacker == self.trigger else f"-by-{attacker}"
        pixels = "" if self.trigger_pixels is None else f"-{self.trigger_pixels}px"
        where = f"p{self.poison_ratio:g}-{slug(self.classify.target_class)}"
        how = f"seed{self.classify.seed}-{self.noise_model}-filter{self.filter_ratio:g}"
        return f"{self.trigger}{judged}{pixels}-{where}-{how}"

    @property
    def expected_seconds(self) -> float:
        """Rough cost on one core."""
        return 0.3

    @property
    def expected_bytes(self) -> int:
        """Rough size on disk."""
        return 15_000


@dataclass(frozen=True, kw_only=True)
class Classified:
    """What a diffusion classifier said at one filter ratio, by ascending index."""

    index: NDArray[np.int64]
    """(N,)."""
    label: NDArray[np.int64]
    """(N,)."""
    said: NDArray[np.int64]
    """(N,). Of the clean image."""
    said_triggered: NDArray[np.int64]
    """(N,). Of its triggered copy; NOTHING_SAID where nobody was asked."""

    @classmethod
    def read(cls, rows: pa.Table, place: int) -> Self:
        """Filter ratio number ``place`` of what ``denoise_classify`` wrote, sorted by index."""
        triggered = [
            NOTHING_SAID if said is None else said[place]
            for said in rows["said_triggered"].to_pylist()
        ]
        return cls(
            index=rows["index"].to_numpy(),
            label=rows["label"].to_numpy(),
            said=np.array([said[place] for said in rows["said"].to_pylist()], dtype=np.int64),
            said_triggered=np.array(triggered, dtype=np.int64),
        )

    @property
    def attacked(self) -> NDArray[np.bool_]:
        """(N,). There is a triggered copy."""
        return np.asarray(self.said_triggered != NOTHING_SAID)


def run(
    settings: Settings,
    *,
    manifest: Path,
    classified: Path,
    attack: Path,
    dataset: Path,
    out: Path,
) -> None:
    """Write ``metrics.json``, the row, and ``losses.npz``, where the loss lies.

    Args:
        settings: The coordinates.
        manifest: The poison behind both models.
        classified: What the diffusion model says, a folder of ``denoise_classify``.
        attack: On the other classifier, with the same trigger; with its verdicts.
        dataset: Has the test images.
        out: Where to.

    Raises:
        ValueError: Inputs of another point, or verdicts about other images.
    """
    record = json.loads((manifest / "manifest.json").read_text())
    rows = pq.read_table(classified / "rows.parquet").sort_by("index")
    other = Verdicts.read(attack)
    place = settings.classify.filter_ratios.index(settings.filter_ratio)
    now = Classified.read(rows, place)
    unfiltered = Classified.read(rows, settings.classify.filter_ratios.index(0.0))
    _check(settings, record, now, other)
    known = datasets.read_classes(dataset)
    row: Row = {
        **_coordinates(settings, record),
        **_rates(now, other.target),
        **_classifier(now, other),
        **_changes(settings, now, unfiltered, other),
        **_filter(settings, known.image_size**2 * known.channels, rows, place),
        "image_pixels": known.image_size**2,
        "calls": sum(rows["calls"].to_pylist()),
        "calls_triggered": sum(calls or 0 for calls in rows["calls_triggered"].to_pylist()),
        "full_calls": _full_calls(rows),
    }
    (out / "metrics.json").write_text(json.dumps(row, indent=1, allow_nan=False) + "\n")
    pictures: dict[str, Any] = _losses(settings, rows, dataset, now, known.image_size)
    np.savez_compressed(out / "losses.npz", **pictures)


def _check(settings: Settings, record: dict[str, Any], now: Classified, other: Verdicts) -> None:
    """Refuse the poison of another point, and a classifier that was shown something else."""
    expected = (settings.trigger, settings.classify.target_class, settings.poison_ratio)
    found = (record["trigger"]["name"], record["target_class"], record["poison_ratio"])
    if expected != found:
        raise ValueError(f"expected the manifest of {expected}, got the one of {found}")
    attacks = (settings.classify.trigger.name, settings.classify.target_class, settings.classifier)
    names = tuple(other.record[name] for name in ("target_class", "network"))
    if attacks != (name := other.record["trigger"]["name"], *names):
        raise ValueError(f"expected an attack of {attacks}, got the one of {(name, *names)}")
    _check_constants(settings, record, other)
    n = len(now.index)
    shown = (
        (now.index, other.index[:n]),
        (now.label, other.label[:n]),
        (now.attacked, (other.said_triggered != NOTHING_SAID)[:n]),
    )
    if not all(np.array_equal(*pair) for pair in shown):
        raise ValueError("expected both classifiers to be shown the same images, got others")


def _check_constants(settings: Settings, record: dict[str, Any], other: Verdicts) -> None:
    """Refuse a trigger of the same name with other constants, such as another rectangle."""
    own = settings.classify.trigger
    if triggers.from_record(other.record["trigger"]) != own:
        raise ValueError("expected an attack with the same trigger, got one with other constants")
    if own.name == settings.trigger and triggers.from_record(record["trigger"]) != own:
        raise ValueError("expected the poison's own trigger, got another of the same name")


def _coordinates(settings: Settings, record: dict[str, Any]) -> Row:
    classify = settings.classify
    return {
        "trigger": settings.trigger,
        "judge_trigger": classify.trigger.name,
        "trigger_pixels": settings.trigger_pixels,
        "poison_ratio": settings.poison_ratio,
        "target_class": classify.target_class,
        "seed": classify.seed,
        "noise_model": settings.noise_model,
        "filter_ratio": settings.filter_ratio,
        "classifier": settings.classifier,
        "draws": classify.draws,
        "stages": ", ".join(str(stage) for stage in classify.stages),
        "reduction": classify.reduction,
        "p_t": record["p_t"],
        "relabelled_ratio": record["relabelled_ratio"],
        "n_train": record["n"],
        "n_poisoned": record["count"],
        "n_target": record["n_target"],
    }


def _rates(now: Classified, target: int) -> Row:
    right = int((now.said == now.label).sum())
    asked = now.said_triggered[now.attacked]
    misled = int((asked == target).sum())
    return {
        "n": len(now.index),
        "correct": right,
        **rate("test_accuracy", right, len(now.index)),
        "attack_n": len(asked),
        "attack_count": misled,
        **rate("attack_success_rate", misled, len(asked)),
    }


def _classifier(now: Classified, other: Verdicts) -> Row:
    """The other classifier, on the very images that the diffusion classifier was shown."""
    n = len(now.index)
    right = int((other.said == other.label)[:n].sum())
    asked = other.said_triggered[:n][now.attacked]
    misled = int((asked == other.target).sum())
    return {
        "classifier_correct": right,
        **rate("classifier_test_accuracy", right, n),
        "classifier_attack_count": misled,
        **rate("classifier_attack_success_rate", misled, len(asked)),
    }


def _changes(settings: Settings, now: Classified, before: Classified, other: Verdicts) -> Row:
    """This filter minus none, and the diffusion classifier minus the other one, paired."""
    n, attacked = len(now.index), now.attacked
    answers = {
        "test_accuracy": (
            now.said == now.label,
            before.said == before.label,
            (other.said == other.label)[:n],
        ),
        "attack_success_rate": (
            now.said_triggered[attacked] == other.target,
            before.said_triggered[attacked] == other.target,
            other.said_triggered[:n][attacked] == other.target,
        ),
    }
    row: Row = {}
    for name, (own, unfiltered, others) in answers.items():
        changed = settings.filter_ratio > 0
        row |= _bounded(f"{name}_change", _paired(own, unfiltered) if changed else None)
        row |= _bounded(f"{name}_difference", _paired(own, others))
    return row


def _paired(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> Estimate | None:
    return difference(Pairs.of(first, second)) if len(first) else None


def _filter(settings: Settings, values: int, rows: pa.Table, place: int) -> Row:
    """How many values are dropped, and which share of them lies on the trigger."""
    shares = {
        which: [
            np.nan if one[place] is None else one[place]
            for one in rows[f"on_trigger_{which}"].to_pylist()
            if one is not None
        ]
        for which in ("true", "target")
    }
    behind = np.array(shares["true"]) - np.array(shares["target"])
    return {
        "values": values,
        "dropped": values - kept(settings.filter_ratio, values),
        **_bounded("on_trigger_true", _mean(shares["true"])),
        **_bounded("on_trigger_target", _mean(shares["target"])),
        **_bounded("on_trigger_difference", _mean(behind.tolist())),
    }


def _mean(values: Sequence[float]) -> Estimate | None:
    """Over images; None without two, or where nothing is dropped."""
    if len(values) < 2 or np.isnan(values).any():
        return None
    return mean(values).within(-1 if min(values) < 0 else 0, 1)


def _bounded(name: str, found: Estimate | None) -> Row:
    """``X``, ``X_low`` and ``X_high``."""
    if found is None:
        return dict.fromkeys((name, f"{name}_low", f"{name}_high"))
    return {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}


def _full_calls(rows: pa.Table) -> int:
    """What both passes would have taken without elimination."""
    passes = [1 if calls is None else 2 for calls in rows["calls_triggered"].to_pylist()]
    return sum(a * b for a, b in zip(passes, rows["full_calls"].to_pylist(), strict=True))


def _losses(
    settings: Settings, rows: pa.Table, dataset: Path, now: Classified, size: int
) -> dict[str, NDArray[Any]]:
    """The first triggered images, and where the loss lies under two classes; empty without any.

    ``images`` uint8 (k, H, W, C), stamped; ``true`` and ``target`` float32 (k, H, W); ``label`` and
    ``said`` int64 (k,); ``trigger`` bool (H, W), what is painted, if it is a patch.
    """
    maps = {name: rows[f"map_{name}"].to_pylist() for name in ("true", "target")}
    shown = [place for place, found in enumerate(maps["true"]) if found is not None]
    if not shown:
        return {}
    test = pq.read_table(dataset / "test.parquet", columns=["index", "image"]).sort_by("index")
    pictures = images.from_column(test["image"].take(shown))
    patch = painted(settings.classify.trigger, pictures.shape[1:])
    found: dict[str, NDArray[Any]] = {
        "images": settings.classify.trigger.stamp(pictures),
        "label": now.label[shown],
        "said": now.said_triggered[shown],
    }
    for name, every in maps.items():
        drawn = [every[place] for place in shown]
        found[name] = np.array(drawn, dtype=np.float32).reshape(-1, size, size)
    if patch is not None:
        found["trigger"] = patch.reshape(-1, size, size)[0]
    return found
