"""What all rows share: the coordinates of a point, checks of its inputs, and writing it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from analysis.statistics.intervals import Estimate
from analysis.statistics.paired import counted, difference
from tasks.columns import Row, rate
from tasks.settings import TaskSettings
from tasks.steps.attack import Verdicts
from tasks.steps.poison import slug

GENERATION: Final = "generation"
"""The image set of a model's generations."""
OF_GENERATIONS: Final = ("guidance_weight", "sampler", "sampler_steps")
"""Coordinates that are None where the images are not generations."""


@dataclass(frozen=True, kw_only=True)
class Coordinates(TaskSettings):
    """Coordinates of a point, which name its row and are columns of it."""

    trigger: str
    """Name of the trigger that the training set was poisoned with."""
    judge_trigger: str
    """Name of the trigger that is looked for or attacked with; ``trigger``, except for controls."""
    poison_ratio: float
    """Poisoned images / all training images."""
    target_class: str
    """Name of the class that poisoned images are labelled as."""
    guidance_weight: float | None
    """Guidance weight of the generations; None if the images are not generations."""
    sampler: str | None
    """Sampler of the generations; None if the images are not generations."""
    sampler_steps: int | None
    """Steps of the sampler; None if the images are not generations."""
    paper_guidance: float = 5.0
    """The scale's guidance weight for the paper's figures, at which claims are tested."""
    seed: int
    """Seed of the poison, of every training and of sampling."""

    @property
    def point(self) -> str:
        """Readable coordinates, e.g. ``badnets1-p0.05-w2-ddim-8-seed0``."""
        judged = "" if self.judge_trigger == self.trigger else f"-by-{self.judge_trigger}"
        drawn = f"-w{self.guidance_weight:g}-{self.sampler}" if self.sampler else ""
        clip = getattr(self, "clip", "none")
        drawn += "" if clip == "none" else f"-{clip}"
        what = f"{self.trigger}{judged}-p{self.poison_ratio:g}{drawn}"
        return f"{what}-{slug(self.target_class)}-seed{self.seed}"

    def columns(self, *others: str) -> Row:
        """The columns of these coordinates and of other fields."""
        names = ("trigger", "judge_trigger", "poison_ratio", "target_class", *OF_GENERATIONS)
        return {name: getattr(self, name) for name in (*names, "paper_guidance", "seed", *others)}


def read_poison(manifest: Path, settings: Any) -> dict[str, Any]:
    """Read the record of the poison behind a point; raises ValueError if it is another point's."""
    record: dict[str, Any] = json.loads((manifest / "manifest.json").read_text())
    expected = (settings.trigger, settings.target_class, settings.poison_ratio)
    found = (record["trigger"]["name"], record["target_class"], record["poison_ratio"])
    if expected != found:
        raise ValueError(f"expected the manifest of {expected}, got the one of {found}")
    return record


def poison_columns(record: dict[str, Any], *names: str) -> Row:
    """The columns of the poison: ``names`` and p_t, and how many images were poisoned."""
    shown = {name: record[name] for name in ("p_t", "relabelled_ratio")}
    counts = {"n_train": "n", "n_poisoned": "count", "n_target": "n_target"}
    return {**shown, **{name: record[counts[name]] for name in names or counts}}


def share(name: str, members: NDArray[np.bool_] | None) -> Row:
    """The share of members and its bounds; all None if there are no verdicts."""
    return rate(name, *((0, 0) if members is None else (int(members.sum()), len(members))))


def change(after: Verdicts | None, before: Verdicts | None, answers: str) -> Estimate | None:
    """Share of ``right`` or ``misled`` answers minus that of another classifier, paired by image.

    None without a classifier or an answer.  Raises ValueError if they were shown other images.
    """
    if after is None or before is None:
        return None
    after.check_same_images(before)
    first, second = getattr(after, answers), getattr(before, answers)
    return difference(*counted(first, second)) if len(first) else None


def write_row(out: Path, row: Row, **pictures: dict[str, Any]) -> None:
    """Write ``metrics.json``, the row, and named arrays to ``NAME.npz``."""
    (out / "metrics.json").write_text(json.dumps(row, indent=1, allow_nan=False) + "\n")
    for name, arrays in pictures.items():
        np.savez_compressed(out / f"{name}.npz", **arrays)
