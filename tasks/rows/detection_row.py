"""Reduce a detector's suspicions of one image set to the row of a point of study ``detection``.

Only here do suspicions meet what is known of the images.  Of the training set that is the manifest;
of generations it is what the trigger judge saw (G1 and G2), and beside it what the trigger's
template match saw, with the errors of both.  No AUROC is turned around: one below 0.5 stays below
0.5.

A *null point* is a clean control whose images are called poisoned at random: whatever detector
looked, the truth of its AUROC is 0.5.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from analysis.statistics import shifts
from analysis.statistics.auroc import auroc
from analysis.statistics.intervals import LEVEL, Estimate
from analysis.statistics.shifts import Scores
from models.randomness import generator
from tasks import triggers
from tasks.steps import poison
from tasks.steps.detect import IMAGE_SETS
from tasks.steps.poison import slug
from tasks.steps.suspicions import Known, Looked, extremes
from tasks.triggers import Trigger

Row = dict[str, str | float | int | None]
"""Column name to value; fractions are 0..1, None is undefined."""

ONLY_OF_GENERATIONS: Final = ("guidance_weight", "sampler", "sampler_steps")
"""Settings that are None on the training set."""

NOTHING: Final = Known(poisoned=np.zeros(0, dtype=np.bool_), group=np.zeros(0, dtype=np.int8))
"""What is known where there is nothing to compare."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The coordinates of the point; they name its row."""

    revision: ClassVar[int] = 2
    """Add one when the same settings would now give other bytes."""

    trigger: str
    """Name of the trigger that the training set was poisoned with."""
    judge_trigger: str
    """Name of the trigger whose judge looked; ``trigger``, except for the controls."""
    target_class: str
    """Name of the class that the poison was given."""
    poison_ratio: float
    """Poisoned images / all training images."""
    guidance_weight: float | None
    """Of the generations; None on the training set."""
    sampler: str | None
    """Of the generations; None on the training set."""
    sampler_steps: int | None
    """Of the sampler; None on the training set."""
    paper_guidance: float = 5.0
    """What the scale has for the guidance weight of the paper's figures."""
    seed: int
    """Of poison, training and sampling; draws pretend-flags too."""
    detector: str
    """Name of the detector that looked."""
    image_set: str
    """What it looked at, ``training`` or ``generation``."""
    pretend_ratio: float = 0.0
    """Above 0: a null point, with this fraction of the images called poisoned at random."""
    null_level: float = LEVEL
    """Coverage of a null point's own interval, above 0 and below 1."""

    def __post_init__(self) -> None:
        """Refuse coordinates that do not fit together."""
        if self.image_set not in IMAGE_SETS:
            raise ValueError(
                f"expected an image_set of {', '.join(IMAGE_SETS)}, got {self.image_set!r}"
            )
        for name in ONLY_OF_GENERATIONS:
            value = getattr(self, name)
            if (value is None) != (self.image_set == "training"):
                raise ValueError(
                    f"expected a {name} of generations and none of a training set, "
                    f"got {value!r} for the {self.image_set} set"
                )
        if not 0 <= self.pretend_ratio < 1 or self.pretend_ratio * self.poison_ratio > 0:
            raise ValueError(
                "expected a pretend_ratio in [0, 1), above 0 only at poison_ratio 0, "
                f"got {self.pretend_ratio} at {self.poison_ratio}"
            )
        if not 0 < self.null_level < 1:
            raise ValueError(f"expected a null_level above 0 and below 1, got {self.null_level}")

    @property
    def label(self) -> str:
        """Readable part of the path, e.g. ``cd-on-generation-badnets1-p0.05-w5-ddim-8-seed0``."""
        judged = "" if self.judge_trigger == self.trigger else f"-by-{self.judge_trigger}"
        drawn = f"-w{self.guidance_weight:g}-{self.sampler}" if self.sampler else ""
        pretended = f"-pretend{self.pretend_ratio:g}" if self.pretend_ratio else ""
        what = f"{slug(self.detector)}-on-{self.image_set}-{self.trigger}{judged}"
        where = f"p{self.poison_ratio:g}{drawn}-{slug(self.target_class)}"
        return f"{what}-{where}-seed{self.seed}{pretended}"

    @property
    def expected_seconds(self) -> float:
        """Rough cost on one core."""
        return 1.0 if self.image_set == "generation" else 0.5

    @property
    def expected_bytes(self) -> int:
        """Rough size on disk."""
        return 25_000


def run(
    settings: Settings,
    *,
    dataset: Path,
    manifest: Path,
    attack: Path,
    suspicion: Path,
    prepared: Path,
    out: Path,
    generations: Path | None = None,
    dissection: Path | None = None,
    judges: Path | None = None,
    training_suspicion: Path | None = None,
) -> None:
    """Write ``metrics.json`` (the row), ``scores.npz`` and ``groups.npz`` (pictures).

    The last four inputs belong to image set ``generation`` and to it alone.

    Raises:
        ValueError: Missing or superfluous inputs, the manifest of another point, or suspicions of
            other images.
    """
    record = json.loads((manifest / "manifest.json").read_text())
    _check(settings, record, (generations, dissection, judges, training_suspicion))
    looked = Looked.read(suspicion)
    if generations and dissection and training_suspicion:
        known = Known.of_generations(generations, dissection, looked)
        before = Looked.read(training_suspicion)
        training = Scores.split(before.suspicion, Known.of_training(manifest, before).poisoned)
    else:
        known, training = Known.of_training(manifest, looked), Scores.none()
    if settings.pretend_ratio:
        known = replace(known, poisoned=pretend(settings, len(looked.index)))
    scores = Scores.split(looked.suspicion, known.poisoned)
    row: Row = {
        **_coordinates(settings, record, known),
        **_columns(shifts.detection(scores)),
        **_null(settings, scores),
        **_by_kind("median", looked.suspicion, known, np.median),
        **_classifier(attack, prepared),
        **_masks(looked, known, _judge_trigger(settings, manifest)),
        **_group_counts(known),
        **_compared(settings, looked.suspicion, known, training),
        **_judges(judges),
    }
    (out / "metrics.json").write_text(json.dumps(row, indent=1, allow_nan=False) + "\n")
    optional = {"template_match": known.template_match, "group": known.group}
    kept: dict[str, Any] = {name: said for name, said in optional.items() if said is not None}
    np.savez_compressed(
        out / "scores.npz", suspicion=looked.suspicion, poisoned=known.poisoned, **kept
    )
    pictures: dict[str, Any] = extremes(
        looked, dataset=dataset, manifest=manifest, generations=generations
    )
    np.savez_compressed(out / "groups.npz", **pictures)


def pretend(settings: Settings, n: int) -> NDArray[np.bool_]:
    """Flags that mean nothing, drawn by (seed, image_set): int(ratio n), in decimals; bool, (n,).

    No detector, classifier or trigger has a part in them: all null points of a set share them.
    """
    count = int(Decimal(str(settings.pretend_ratio)) * n)
    rng = generator(settings.seed, "pretending", IMAGE_SETS.index(settings.image_set))
    flags = np.zeros(n, dtype=np.bool_)
    flags[rng.permutation(n)[:count]] = True
    return flags


def _check(settings: Settings, record: dict[str, Any], own: Sequence[Path | None]) -> None:
    """Refuse other inputs than those of the image set, and another point's manifest."""
    wanted = settings.image_set == "generation"
    if any((folder is not None) != wanted for folder in own):
        raise ValueError(
            "expected the inputs generations, dissection, judges and training_suspicion, all of "
            f"them, for image_set generation and none for training, got {settings.image_set} with "
            f"{sum(folder is not None for folder in own)} of them"
        )
    expected = (settings.trigger, settings.target_class, settings.poison_ratio)
    found = (record["trigger"]["name"], record["target_class"], record["poison_ratio"])
    if expected != found:
        raise ValueError(f"expected the manifest of {expected}, got the one of {found}")


def _coordinates(settings: Settings, record: dict[str, Any], known: Known) -> Row:
    return {
        "trigger": settings.trigger,
        "judge_trigger": settings.judge_trigger,
        "poison_ratio": settings.poison_ratio,
        "target_class": settings.target_class,
        "guidance_weight": settings.guidance_weight,
        "sampler": settings.sampler,
        "sampler_steps": settings.sampler_steps,
        "paper_guidance": settings.paper_guidance,
        "seed": settings.seed,
        "detector": settings.detector,
        "image_set": settings.image_set,
        "n": len(known.poisoned),
        "n_positive": int(known.poisoned.sum()),
        "n_negative": int((~known.poisoned).sum()),
        "prevalence": float(known.poisoned.mean()),
        "p_t": record["p_t"],
        "relabelled_ratio": record["relabelled_ratio"],
        "n_train": record["n"],
        "n_poisoned": record["count"],
        "n_target": record["n_target"],
        "pretend_ratio": settings.pretend_ratio,
    }


def _columns(estimates: Mapping[str, Estimate | None]) -> Row:
    """``X``, ``X_low`` and ``X_high`` of each."""
    row: Row = {}
    for name, estimate in estimates.items():
        row[name] = None if estimate is None else estimate.value
        row[f"{name}_low"] = None if estimate is None else estimate.low
        row[f"{name}_high"] = None if estimate is None else estimate.high
    return row


def _null(settings: Settings, scores: Scores) -> Row:
    """The interval that should hold 0.5; all None but on null points."""
    if not settings.pretend_ratio:
        return dict.fromkeys(("null_level", "null_low", "null_high"))
    level = settings.null_level
    found = auroc(scores.positive, scores.negative, level)
    return {
        "null_level": level,
        "null_low": None if found is None else found.low,
        "null_high": None if found is None else found.high,
    }


def _by_kind(
    name: str,
    values: NDArray[np.float64] | None,
    known: Known,
    middle: Callable[[NDArray[np.float64]], Any],
) -> Row:
    """``X_positive`` and ``X_negative``; None without values, or without such images."""
    row: Row = {}
    for kind, members in (("positive", known.poisoned), ("negative", ~known.poisoned)):
        some = None if values is None or not members.any() else values[members]
        row[f"{name}_{kind}"] = None if some is None else float(middle(some))
    return row


def _classifier(attack: Path, prepared: Path) -> Row:
    """What the classifier learned of classes and of the attack."""
    measured = json.loads((attack / "attack.json").read_text())
    learned = json.loads((prepared / "classifier.json").read_text())
    return {
        "test_accuracy": measured["test_accuracy"],
        "test_accuracy_low": measured["test_accuracy_low"],
        "test_accuracy_high": measured["test_accuracy_high"],
        "test_n": measured["n"],
        "attack_success_rate": measured["attack_success_rate"],
        "attack_success_rate_low": measured["attack_success_rate_low"],
        "attack_success_rate_high": measured["attack_success_rate_high"],
        "attack_n": measured["attack_n"],
        "training_accuracy": learned["training_accuracy"],
    }


def _judge_trigger(settings: Settings, manifest: Path) -> Trigger:
    """What the judge looks for; with the poison's own constants where it is the poison."""
    used = poison.Manifest.read(manifest).trigger
    if used.name == settings.judge_trigger:
        return used
    return triggers.from_name(settings.judge_trigger)()


def _masks(looked: Looked, known: Known, trigger: Trigger) -> Row:
    """Of each kind: mean mask, on the image and on the judge's patch; how often it explains."""
    whole, patch = looked.mask_means(trigger)
    return {
        **_by_kind("mask_mean", whole, known, np.mean),
        **_by_kind("mask_patch", patch, known, np.mean),
        **_by_kind("mask_kept", looked.kept, known, np.mean),
    }


def _group_counts(known: Known) -> Row:
    """Generations in G1..G4, by the judges; also of a null point."""
    group = known.group
    return {
        f"g{number}_count": None if group is None else int((group == number).sum())
        for number in (1, 2, 3, 4)
    }


def _compared(
    settings: Settings, suspicion: NDArray[np.float64], known: Known, training: Scores
) -> Row:
    """The generations by group, against the training set, and by the template match.

    All None on the training set, and on null points, whose flags mean nothing.
    """
    if known.group is None or settings.pretend_ratio:
        suspicion, known, training = np.empty(0), NOTHING, Scores.none()
    assert known.group is not None
    scores = Scores.split(suspicion, known.poisoned)
    groups = {
        f"{name}_auroc": auroc(suspicion[known.group == number], scores.negative)
        for name, number in (("g1", 1), ("g2", 2))
    }
    share, equal = shifts.at_equal_prevalence(scores, training)
    return {
        **_columns(groups),
        **_columns(shifts.against_training(scores, training)),
        "equal_prevalence": share,
        **_columns(equal),
        **_template_match(suspicion, known, training),
    }


def _template_match(suspicion: NDArray[np.float64], known: Known, training: Scores) -> Row:
    """How much of it is left when template matching says who is positive; None if there is none."""
    seen = known.template_match
    count = None if seen is None else int(seen.sum())
    if seen is None:
        suspicion, known, training = np.empty(0), NOTHING, Scores.none()
        seen = known.poisoned
    found = shifts.by_template_match(suspicion, known.poisoned, seen, training)
    return {"template_n_positive": count, **_columns(found)}


def _judges(judges: Path | None) -> Row:
    """What the judge and the template match get wrong on test images."""
    measured = {} if judges is None else json.loads((judges / "judges.json").read_text())
    trigger, template_match = measured.get("trigger") or {}, measured.get("template_match") or {}
    return {
        "trigger_false_positive_rate": trigger.get("false_positive_rate"),
        "trigger_false_negative_rate": trigger.get("false_negative_rate"),
        "trigger_n_clean": trigger.get("n_clean"),
        "trigger_n_stamped": trigger.get("n_stamped"),
        "template_false_positive_rate": template_match.get("false_positive_rate"),
        "template_false_negative_rate": template_match.get("false_negative_rate"),
    }
