"""Compute the row of a point of study ``detection``: suspicions against the truth about the images.

The truth is the manifest, or for generations what the trigger judge sees (G1 and G2) and template
matching.  A *null point* is a clean control whose images are labelled as poisoned at random.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from analysis.statistics import shifts
from analysis.statistics.auroc import auroc
from analysis.statistics.intervals import LEVEL
from analysis.statistics.shifts import Scores
from models.randomness import generator
from tasks import triggers
from tasks.checks import check, check_name
from tasks.columns import Row, bounded
from tasks.rows.generations_row import trigger_errors
from tasks.rows.row import GENERATION, Coordinates, poison_columns, read_poison, write_row
from tasks.rows.suspicions import Suspicions, Truth, extremes
from tasks.steps import poison
from tasks.steps.detect import IMAGE_SETS
from tasks.steps.poison import slug

NOTHING: Final = Truth(poisoned=np.zeros(0, dtype=np.bool_), group=np.zeros(0, dtype=np.int8))
"""The truth about no image, where there is nothing to compare."""


@dataclass(frozen=True, kw_only=True)
class Settings(Coordinates):
    """The coordinates of the point; ``seed`` seeds the random labels of a null point too."""

    revision = 2
    expected_bytes = 25_000

    detector: str
    """Name of the detector."""
    image_set: str
    """What it looked at, ``training`` or ``generation``."""
    pretend_ratio: float = 0.0
    """Above 0 for a null point: the fraction of images labelled as poisoned at random."""
    null_level: float = LEVEL
    """Coverage of a null point's own interval, above 0 and below 1."""

    def __post_init__(self) -> None:
        check_name("an image_set", self.image_set, IMAGE_SETS)
        holds = 0 <= self.pretend_ratio < 1 and self.pretend_ratio * self.poison_ratio == 0
        given = (self.pretend_ratio, self.poison_ratio)
        check("a pretend_ratio", given, "in [0, 1), above 0 only at poison_ratio 0", holds)
        holds = 0 < self.null_level < 1
        check("a null_level", self.null_level, "above 0 and below 1", holds)

    @property
    def label(self) -> str:
        """Readable part of the path, e.g. ``cd-on-generation-badnets1-p0.05-w5-ddim-8-seed0``."""
        pretended = f"-pretend{self.pretend_ratio:g}" if self.pretend_ratio else ""
        return f"{slug(self.detector)}-on-{self.image_set}-{self.point}{pretended}"

    @property
    def expected_seconds(self) -> float:
        """Rough time on one core."""
        return 1.0 if self.image_set == GENERATION else 0.5


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

    Given the clean dataset, its poison, the attack on the classifier, a folder of ``detect`` and
    one of ``prepare``; for image set ``generation``, and only for it, also the generations, what
    the judges say of them, the judges' error rates, and the suspicions of the training set.  Raises
    ValueError for inputs of another point or of other images.
    """
    record = read_poison(manifest, settings)
    found = Suspicions.read(suspicion)
    if generations and dissection and training_suspicion:
        truth = Truth.of_generations(generations, dissection, found)
        before = Suspicions.read(training_suspicion)
        training = Scores.split(before.suspicion, Truth.of_training(manifest, before).poisoned)
    else:
        truth, training = Truth.of_training(manifest, found), Scores.none()
    if settings.pretend_ratio:
        truth = replace(truth, poisoned=pretend(settings, len(found.index)))
    scores = Scores.split(found.suspicion, truth.poisoned)
    errors = {} if judges is None else json.loads((judges / "judges.json").read_text())
    row: Row = {
        **settings.columns("detector", "image_set", "pretend_ratio"),
        "n": len(truth.poisoned),
        "n_positive": int(truth.poisoned.sum()),
        "n_negative": int((~truth.poisoned).sum()),
        "prevalence": float(truth.poisoned.mean()),
        **poison_columns(record),
        **bounded(shifts.detection(scores)),
        **_null(settings, scores),
        **_by_kind("median", found.suspicion, truth, np.median),
        **_classifier(attack, prepared),
        **_masks(settings, found, truth, manifest),
        **{
            f"g{number}_count": None if truth.group is None else int((truth.group == number).sum())
            for number in (1, 2, 3, 4)
        },
        **_compared(settings, found.suspicion, truth, training),
        **trigger_errors(errors),
    }
    optional = {"template_match": truth.template_match, "group": truth.group}
    kept = {name: said for name, said in optional.items() if said is not None}
    scores_kept = {"suspicion": found.suspicion, "poisoned": truth.poisoned, **kept}
    pictures = extremes(found, dataset=dataset, manifest=manifest, generations=generations)
    write_row(out, row, scores=scores_kept, groups=pictures)


def pretend(settings: Settings, n: int) -> NDArray[np.bool_]:
    """Random labels, drawn by (seed, image_set) alone: int(ratio n) of them True; bool, (n,)."""
    count = int(Decimal(str(settings.pretend_ratio)) * n)
    rng = generator(settings.seed, "pretending", IMAGE_SETS.index(settings.image_set))
    flags = np.zeros(n, dtype=np.bool_)
    flags[rng.permutation(n)[:count]] = True
    return flags


def _null(settings: Settings, scores: Scores) -> Row:
    """The interval that should hold 0.5; all None except at null points."""
    level = settings.null_level if settings.pretend_ratio else None
    found = None if level is None else auroc(scores.positive, scores.negative, level)
    return {
        "null_level": level,
        "null_low": None if found is None else found.low,
        "null_high": None if found is None else found.high,
    }


def _by_kind(
    name: str,
    values: NDArray[np.float64] | None,
    truth: Truth,
    middle: Callable[[NDArray[np.float64]], Any],
) -> Row:
    """``X_positive`` and ``X_negative``; None without values or without such images."""
    row: Row = {}
    for kind, members in (("positive", truth.poisoned), ("negative", ~truth.poisoned)):
        some = None if values is None or not members.any() else values[members]
        row[f"{name}_{kind}"] = None if some is None else float(middle(some))
    return row


def _classifier(attack: Path, prepared: Path) -> Row:
    """Test accuracy, attack success rate and training accuracy of the classifier."""
    measured = json.loads((attack / "attack.json").read_text())
    learned = json.loads((prepared / "classifier.json").read_text())
    rates, ends = ("test_accuracy", "attack_success_rate"), ("", "_low", "_high")
    return {
        **{f"{name}{end}": measured[f"{name}{end}"] for name in rates for end in ends},
        "attack_n": measured["attack_n"],
        "test_n": measured["n"],
        "training_accuracy": learned["training_accuracy"],
    }


def _masks(settings: Settings, found: Suspicions, truth: Truth, manifest: Path) -> Row:
    """By kind: mean mask, on the image and on the judge's patch; how often it explains."""
    trigger = poison.Manifest.read(manifest).trigger
    if trigger.name != settings.judge_trigger:
        trigger = triggers.from_name(settings.judge_trigger)()
    whole, patch = found.mask_means(trigger)
    return {
        **_by_kind("mask_mean", whole, truth, np.mean),
        **_by_kind("mask_patch", patch, truth, np.mean),
        **_by_kind("mask_kept", found.kept, truth, np.mean),
    }


def _compared(
    settings: Settings, suspicion: NDArray[np.float64], truth: Truth, training: Scores
) -> Row:
    """The generations by group, against the training set, and by template matching.

    All None for the training set, and at null points, whose labels mean nothing.
    """
    if truth.group is None or settings.pretend_ratio:
        suspicion, truth, training = np.empty(0), NOTHING, Scores.none()
    assert truth.group is not None
    scores = Scores.split(suspicion, truth.poisoned)
    groups = {
        f"{name}_auroc": auroc(suspicion[truth.group == number], scores.negative)
        for name, number in (("g1", 1), ("g2", 2))
    }
    prevalence, equal = shifts.at_equal_prevalence(scores, training)
    return {
        **bounded(groups),
        **bounded(shifts.against_training(scores, training)),
        "equal_prevalence": prevalence,
        **bounded(equal),
        **_template_match(suspicion, truth, training),
    }


def _template_match(suspicion: NDArray[np.float64], truth: Truth, training: Scores) -> Row:
    """The comparison with positives by template matching; None if the trigger has no patch."""
    seen = truth.template_match
    count = None if seen is None else int(seen.sum())
    if seen is None:
        suspicion, truth, training = np.empty(0), NOTHING, Scores.none()
        seen = truth.poisoned
    found = shifts.by_template_match(suspicion, truth.poisoned, seen, training)
    return {"template_n_positive": count, **bounded(found)}
