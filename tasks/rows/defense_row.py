"""Compute the row of a point of study ``defense``: accuracy and attack success of a classifier.

A row describes one classifier.  If it was trained on other images than the poisoned training set,
the row has the difference from the classifier that was trained on that set, paired by test image;
it is conditional on both trained classifiers.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from analysis.statistics.paired import counted, difference
from tasks.checks import check_name
from tasks.columns import Row, bounded
from tasks.data import datasets
from tasks.rows.row import GENERATION, Coordinates, poison_columns, share, write_row
from tasks.steps.attack import Verdicts
from tasks.steps.dissect import Dissection
from tasks.steps.poison import slug

TRAINING, CORRECTED = "training", "corrected"
IMAGE_SETS: Final = (TRAINING, CORRECTED, GENERATION)
"""Trained on: the poisoned training set, the same with true labels, or a model's generations."""
RATE: Final = "attack_success_rate"
ATTACKED: Final = (RATE, f"{RATE}_low", f"{RATE}_high", "attack_n", "attack_count")
"""Columns that a fresh trigger has too."""


@dataclass(frozen=True, kw_only=True)
class Settings(Coordinates):
    """The coordinates of the point."""

    revision = 2
    expected_seconds = 0.3
    expected_bytes = 3_000

    classifier: str
    """Name of the classifier's network."""
    image_set: str
    """What it was trained on, a name of IMAGE_SETS."""

    def __post_init__(self) -> None:
        check_name("an image_set", self.image_set, IMAGE_SETS)
        self.check_generations(self.image_set)

    @property
    def label(self) -> str:
        """Readable part of the path, e.g. ``badnets1-p0.05-w2-ddim-8-seed0-small-generation``."""
        return f"{self.point}-{slug(self.classifier)}-{self.image_set}"


def run(
    settings: Settings,
    *,
    manifest: Path,
    attack: Path,
    out: Path,
    fresh_attack: Path | None = None,
    training_attack: Path | None = None,
    training_fresh_attack: Path | None = None,
    dissection: Path | None = None,
    collected: Path | None = None,
) -> None:
    """Write ``metrics.json``, the row.

    Args:
        settings: The coordinates.
        manifest: The poison, also of a corrected training set and behind generations.
        attack: On the classifier, with the trigger that it may have learned; with its verdicts.
        out: Folder to write to.
        fresh_attack: On the same, with a trigger drawn again, if it can be.
        training_attack: As ``attack``, on the classifier of the poisoned training set with the same
            trigger, ratio, seed and network; not for that training set itself.
        training_fresh_attack: As ``fresh_attack``, likewise.
        dissection: What the judges say of the generation set, if they were asked.
        collected: The generation set as it was trained on; needed where there is no dissection.

    Raises:
        ValueError: Inputs are missing, superfluous or of another point.
    """
    record = settings.read_poison(manifest)
    _check_inputs(settings, training_attack, dissection, collected)
    attacked = _read(attack, settings)
    fresh, before, fresh_before = (
        None if folder is None else _read(folder, settings)
        for folder in (fresh_attack, training_attack, training_fresh_attack)
    )
    _check_triggers(settings, record["trigger"], attacked, fresh)
    right, misled = _paired(attacked, before)
    _, fresh_misled = _paired(fresh, fresh_before)
    judged = None if dissection is None else Dissection.read(dissection)
    fresh_rates = {} if fresh is None else fresh.rates()
    row: Row = {
        **settings.columns("classifier", "image_set"),
        **poison_columns(record, "n_poisoned"),
        **attacked.rates(),
        **{f"fresh_{name}": fresh_rates.get(name) for name in ATTACKED},
        "n_train": _trained_on(settings, record, judged, collected),
        **_generation(judged),
        **_change("test_accuracy", right),
        **_change("attack_success_rate", misled),
        **_change("fresh_attack_success_rate", fresh_misled),
        "weights": attacked.record["weights"],
    }
    write_row(out, row)


def _check_inputs(
    settings: Settings, training: Path | None, dissection: Path | None, collected: Path | None
) -> None:
    """Check that the inputs are those of the image set."""
    if (training is None) != (settings.image_set == TRAINING):
        raise ValueError(
            "expected the input training_attack, to compare with, for every image_set but "
            f"training, got {'none' if training is None else 'one'} for {settings.image_set}"
        )
    looked = dissection is not None or collected is not None
    if looked != (settings.image_set == GENERATION):
        raise ValueError(
            "expected the inputs dissection or collected for image_set generation and no other, "
            f"got {'one' if looked else 'neither'} for {settings.image_set}"
        )


def _read(folder: Path, settings: Settings) -> Verdicts:
    """Read an attack and check that it is one of this point."""
    return Verdicts.read(folder).of(
        settings.judge_trigger, settings.target_class, settings.classifier
    )


def _check_triggers(
    settings: Settings, poison: dict[str, Any], attacked: Verdicts, fresh: Verdicts | None
) -> None:
    """Check that the attack has the poison's trigger, and the fresh one another."""
    own = attacked.record["trigger"]
    if settings.judge_trigger == settings.trigger and own != poison:
        other = ", ".join(name for name in poison if own.get(name) != poison[name])
        raise ValueError(f"expected an attack with the poison's own trigger, got another {other}")
    if fresh is not None and fresh.record["trigger"] == own:
        raise ValueError("expected a fresh_attack with a trigger drawn again, got the attack's own")


Answers = tuple[NDArray[np.bool_], NDArray[np.bool_]]
"""What two classifiers did with the same images, this point's first."""


def _paired(
    after: Verdicts | None, before: Verdicts | None
) -> tuple[Answers, Answers] | tuple[None, None]:
    """Who was right and who was misled, by image; raises ValueError if they cannot be paired."""
    if before is None:
        return None, None
    if after is None:
        raise ValueError("expected a fresh_attack with the training_fresh_attack, got none")
    after.check_same_images(before)
    for name in ("trigger", "weights"):
        if after.record[name] != before.record[name]:
            raise ValueError(f"expected two classifiers with the same {name}, got others")
    return (after.right, before.right), (after.misled, before.misled)


def _trained_on(
    settings: Settings, record: dict[str, Any], judged: Dissection | None, collected: Path | None
) -> int:
    """How many images the classifier was trained on; raises ValueError if others were judged."""
    if settings.image_set != GENERATION:
        return int(record["n"])
    counts = [] if judged is None else [len(judged.matches)]
    if collected is not None:
        counts.append(sum(datasets.read_classes(collected).counts["train"]))
    if len({*counts}) > 1:
        raise ValueError(f"expected a dissection of all {counts[1]} generations, got {counts[0]}")
    return counts[0]


def _generation(judged: Dissection | None) -> Row:
    """What the judges see in the generation set, over all classes; all None if not asked."""
    members = {
        "generation_g1": None if judged is None else judged.group == 1,
        "generation_trigger_ratio": None if judged is None else judged.has_trigger,
    }
    row: Row = {"generation_n": None if judged is None else len(judged.matches)}
    for name, some in members.items():
        row |= {f"{name}_count": None if some is None else int(some.sum()), **share(name, some)}
    return row


def _change(name: str, answers: Answers | None) -> Row:
    """Rate of the first minus that of the second; None without answers of both."""
    asked = answers if answers is not None and len(answers[0]) else None
    return bounded({f"{name}_change": None if asked is None else difference(*counted(*asked))})
