"""Compute the row of a point of study ``defense``: accuracy and attack success of a classifier.

It has the difference from the classifier of the poisoned training set, paired by test image and
conditional on both.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tasks.checks import check_name
from tasks.columns import Row, bounded
from tasks.data import datasets
from tasks.rows.row import (
    GENERATION,
    Coordinates,
    change,
    poison_columns,
    read_poison,
    share,
    write_row,
)
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

    Given the poison, also of a corrected training set and behind generations, and the attack on the
    classifier, with verdicts; if its trigger can be drawn again, also the ``fresh_attack``.  The
    ``training_...`` ones are on the classifier of the poisoned training set, and not for that set
    itself.  Generations have what the judges say of them, or else the dataset ``collected``.
    Raises ValueError if the poison or an attack is another point's, or on other images.
    """
    record = read_poison(manifest, settings)
    attacked = _read(attack, settings)
    fresh, before, fresh_before = (
        None if folder is None else _read(folder, settings)
        for folder in (fresh_attack, training_attack, training_fresh_attack)
    )
    judged = None if dissection is None else Dissection.read(dissection)
    n_train = record["n"]
    if judged is not None:
        n_train = len(judged.matches)
    elif settings.image_set == GENERATION:
        assert collected is not None, "neither dissection nor collected"
        n_train = sum(datasets.read_classes(collected).counts["train"])
    fresh_rates = {} if fresh is None else fresh.rates()
    changes = {
        "test_accuracy_change": change(attacked, before, "right"),
        "attack_success_rate_change": change(attacked, before, "misled"),
        "fresh_attack_success_rate_change": change(fresh, fresh_before, "misled"),
    }
    row: Row = {
        **settings.columns("classifier", "image_set"),
        **poison_columns(record, "n_poisoned"),
        **attacked.rates(),
        **{f"fresh_{name}": fresh_rates.get(name) for name in ATTACKED},
        "n_train": n_train,
        **_generation(judged),
        **bounded(changes),
        "weights": attacked.record["weights"],
    }
    write_row(out, row)


def _read(folder: Path, settings: Settings) -> Verdicts:
    """Read an attack; raises ValueError if it is not one of this point."""
    return Verdicts.read(folder).of(
        settings.judge_trigger, settings.target_class, settings.classifier
    )


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
