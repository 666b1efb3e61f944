"""Reduce one point of study ``defense`` to its row: what a classifier knows and what fools it.

A row is one classifier.  Of one that was trained on other images than the poisoned training set,
the row has the change from the one that was trained on that, paired by test image; it is
conditional on the two trained classifiers.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from analysis.statistics.paired import Pairs, difference
from tasks.data import datasets
from tasks.rows import generations_row
from tasks.rows.generations_row import Row
from tasks.steps.attack import NOTHING_SAID, Verdicts, rate
from tasks.steps.poison import slug

TRAINING, CORRECTED, GENERATION = "training", "corrected", "generation"
IMAGE_SETS: Final = (TRAINING, CORRECTED, GENERATION)
"""Trained on: the poisoned training set, the same with true labels, what a model made of it."""

ONLY_OF_GENERATIONS: Final = ("guidance_weight", "sampler", "sampler_steps")
"""Settings that are None of other images."""

ATTACKED: Final = (
    "attack_success_rate",
    "attack_success_rate_low",
    "attack_success_rate_high",
    "attack_n",
    "attack_count",
)
"""Columns that there are for a fresh trigger too."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The coordinates of the point; they name its row."""

    revision: ClassVar[int] = 2
    """Add one when the same settings would now give other bytes."""

    trigger: str
    """Name of the trigger that the training set was poisoned with."""
    judge_trigger: str
    """Name of the trigger that attacks; ``trigger``, except for the controls."""
    target_class: str
    """Name of the class that the poison was given."""
    poison_ratio: float
    """Poisoned images / all training images."""
    guidance_weight: float | None
    """Of the generations; None of other images."""
    sampler: str | None
    """Of the generations; None of other images."""
    sampler_steps: int | None
    """Of the sampler; None of other images."""
    paper_guidance: float = 5.0
    """What the scale has for the guidance weight of the paper's figures."""
    seed: int
    """Of poison, diffusion model, sampling and classifier."""
    classifier: str
    """Name of its network."""
    image_set: str
    """What it was trained on, of IMAGE_SETS."""

    def __post_init__(self) -> None:
        """Refuse coordinates that do not fit together."""
        if self.image_set not in IMAGE_SETS:
            raise ValueError(
                f"expected an image_set of {', '.join(IMAGE_SETS)}, got {self.image_set!r}"
            )
        for name in ONLY_OF_GENERATIONS:
            value = getattr(self, name)
            if (value is None) == (self.image_set == GENERATION):
                raise ValueError(
                    f"expected a {name} of generations and none of other images, "
                    f"got {value!r} for the {self.image_set} set"
                )

    @property
    def label(self) -> str:
        """Readable part of the path, e.g. ``badnets1-p0.05-w2-ddim-8-seed0-small-generation``."""
        judged = "" if self.judge_trigger == self.trigger else f"-by-{self.judge_trigger}"
        drawn = f"-w{self.guidance_weight:g}-{self.sampler}" if self.sampler else ""
        what = f"{self.trigger}{judged}-p{self.poison_ratio:g}{drawn}-{slug(self.target_class)}"
        return f"{what}-seed{self.seed}-{slug(self.classifier)}-{self.image_set}"

    @property
    def expected_seconds(self) -> float:
        """Rough cost on one core."""
        return 0.3

    @property
    def expected_bytes(self) -> int:
        """Rough size on disk."""
        return 3_000


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
        out: Where to.
        fresh_attack: On the same, with a trigger drawn anew, if it can be.
        training_attack: As ``attack``, on the classifier of the poisoned training set with the same
            trigger, ratio, seed and network; not of that training set itself.
        training_fresh_attack: As ``fresh_attack``, likewise.
        dissection: What the judges say of the generation set, if they were asked.
        collected: The generation set as it was trained on; needed where there is no dissection.

    Raises:
        ValueError: Missing or superfluous inputs, or those of another point.
    """
    record = json.loads((manifest / "manifest.json").read_text())
    _check_inputs(settings, training_attack, dissection, collected)
    _check_manifest(settings, record)
    attacked, before = _read(attack, settings), _read(training_attack, settings)
    fresh, fresh_before = _read(fresh_attack, settings), _read(training_fresh_attack, settings)
    assert attacked is not None
    _check_triggers(settings, record["trigger"], attacked, fresh)
    right, misled = _paired(attacked, before)
    _, fresh_misled = _paired(fresh, fresh_before)
    judged = None if dissection is None else generations_row.Verdicts.read(dissection)
    row: Row = {
        **_coordinates(settings, record),
        **attacked.rates(),
        **_fresh(fresh),
        "n_train": _trained_on(settings, record, judged, collected),
        **_generation(judged),
        **_change("test_accuracy", right),
        **_change("attack_success_rate", misled),
        **_change("fresh_attack_success_rate", fresh_misled),
        "weights": attacked.record["weights"],
    }
    (out / "metrics.json").write_text(json.dumps(row, indent=1, allow_nan=False) + "\n")


def _check_inputs(
    settings: Settings, training: Path | None, dissection: Path | None, collected: Path | None
) -> None:
    """Refuse other inputs than those of the image set."""
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


def _check_manifest(settings: Settings, record: dict[str, Any]) -> None:
    expected = (settings.trigger, settings.target_class, settings.poison_ratio)
    found = (record["trigger"]["name"], record["target_class"], record["poison_ratio"])
    if expected != found:
        raise ValueError(f"expected the manifest of {expected}, got the one of {found}")


def _read(folder: Path | None, settings: Settings) -> Verdicts | None:
    """Read an attack, which is to be one of this point."""
    if folder is None:
        return None
    verdicts = Verdicts.read(folder)
    expected = (settings.judge_trigger, settings.target_class, settings.classifier)
    found = tuple(verdicts.record[name] for name in ("target_class", "network"))
    if expected != (name := verdicts.record["trigger"]["name"], *found):
        raise ValueError(f"expected an attack of {expected}, got the one of {(name, *found)}")
    return verdicts


def _check_triggers(
    settings: Settings, poison: dict[str, Any], attacked: Verdicts, fresh: Verdicts | None
) -> None:
    """Refuse an attack with other constants than the poison's, and a fresh one with the same."""
    own = attacked.record["trigger"]
    if settings.judge_trigger == settings.trigger and own != poison:
        other = ", ".join(name for name in poison if own.get(name) != poison[name])
        raise ValueError(f"expected an attack with the poison's own trigger, got another {other}")
    if fresh is not None and fresh.record["trigger"] == own:
        raise ValueError("expected a fresh_attack with a trigger drawn anew, got the attack's own")


Answers = tuple[NDArray[np.bool_], NDArray[np.bool_]]
"""What two classifiers did with the same images, this one's first."""


def _paired(
    after: Verdicts | None, before: Verdicts | None
) -> tuple[Answers, Answers] | tuple[None, None]:
    """Who was right and who was misled, image by image; None if there is one classifier only.

    Raises:
        ValueError: They were shown other images or triggers, or started from other weights; or the
            first was not attacked at all.
    """
    if after is None or before is None:
        if before is not None:
            raise ValueError("expected a fresh_attack with the training_fresh_attack, got none")
        return None, None
    shown = [[one.index, one.label, one.said_triggered == NOTHING_SAID] for one in (after, before)]
    if not all(np.array_equal(*columns) for columns in zip(*shown, strict=True)):
        raise ValueError("expected both classifiers to be shown the same images, got others")
    for name in ("trigger", "weights"):
        if after.record[name] != before.record[name]:
            raise ValueError(f"expected two classifiers with the same {name}, got others")
    return (after.right, before.right), (after.misled, before.misled)


def _coordinates(settings: Settings, record: dict[str, Any]) -> Row:
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
        "classifier": settings.classifier,
        "image_set": settings.image_set,
        "p_t": record["p_t"],
        "relabelled_ratio": record["relabelled_ratio"],
        "n_poisoned": record["count"],
    }


def _trained_on(
    settings: Settings,
    record: dict[str, Any],
    judged: generations_row.Verdicts | None,
    collected: Path | None,
) -> int:
    """How many images the classifier was trained on.

    Raises:
        ValueError: Other generations were judged than trained on.
    """
    if settings.image_set != GENERATION:
        return int(record["n"])
    counts = [] if judged is None else [len(judged.matches)]
    if collected is not None:
        counts.append(sum(datasets.read_classes(collected).counts["train"]))
    if len({*counts}) > 1:
        raise ValueError(f"expected a dissection of all {counts[1]} generations, got {counts[0]}")
    return counts[0]


def _fresh(verdicts: Verdicts | None) -> Row:
    """How the attack goes with a trigger that nobody trained on; all None if there is none."""
    rates = {} if verdicts is None else verdicts.rates()
    return {f"fresh_{name}": rates.get(name) for name in ATTACKED}


def _generation(judged: generations_row.Verdicts | None) -> Row:
    """What is in the generation set, of every condition; all None if nobody judged.

    G1 has the trigger and shows another class than it was asked for.
    """
    g1 = None if judged is None else judged.has_trigger & ~judged.matches
    return {
        "generation_n": None if judged is None else len(judged.matches),
        **_share("generation_g1", g1),
        **_share("generation_trigger_ratio", None if judged is None else judged.has_trigger),
    }


def _share(name: str, members: NDArray[np.bool_] | None) -> Row:
    """Count, share and bounds; all None if there is nobody."""
    if members is None:
        return {f"{name}_count": None, **rate(name, 0, 0)}
    count = int(members.sum())
    return {f"{name}_count": count, **rate(name, count, len(members))}


def _change(name: str, answers: Answers | None) -> Row:
    """Share of the first minus that of the second; None if either was not asked."""
    names = [f"{name}_change{end}" for end in ("", "_low", "_high")]
    if answers is None or not len(answers[0]):
        return dict.fromkeys(names)
    found = difference(Pairs.of(*answers))
    return dict(zip(names, (found.value, found.low, found.high), strict=True))
