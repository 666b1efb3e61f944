"""What all rows share: the coordinates of a point, checks of its inputs, and writing it."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from tasks.columns import Row, rate
from tasks.settings import TaskSettings
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

    def check_generations(self, image_set: str) -> None:
        """Raise ValueError unless generations, and they alone, have guidance and a sampler."""
        for name in OF_GENERATIONS:
            value = getattr(self, name)
            if (value is None) == (image_set == GENERATION):
                raise ValueError(
                    f"expected a {name} for generations and none for other images, "
                    f"got {value!r} for the {image_set} set"
                )

    def read_poison(self, manifest: Path) -> dict[str, Any]:
        """As ``read_poison``, for these coordinates."""
        return read_poison(manifest, self.trigger, self.target_class, self.poison_ratio)

    @property
    def point(self) -> str:
        """Readable coordinates, e.g. ``badnets1-p0.05-w2-ddim-8-seed0``."""
        judged = "" if self.judge_trigger == self.trigger else f"-by-{self.judge_trigger}"
        drawn = f"-w{self.guidance_weight:g}-{self.sampler}" if self.sampler else ""
        what = f"{self.trigger}{judged}-p{self.poison_ratio:g}{drawn}{self.thresholding}"
        return f"{what}-{slug(self.target_class)}-seed{self.seed}"

    @property
    def thresholding(self) -> str:
        """What ``point`` says of thresholding in sampling."""
        return ""

    def columns(self, *others: str) -> Row:
        """The columns of these coordinates and of other fields."""
        names = ("trigger", "judge_trigger", "poison_ratio", "target_class", *OF_GENERATIONS)
        return {name: getattr(self, name) for name in (*names, "paper_guidance", "seed", *others)}


def read_poison(manifest: Path, *expected: str | float) -> dict[str, Any]:
    """Read the record of the poison behind a point: ``expected`` trigger, target class and ratio.

    Raises ValueError if it is the manifest of another point.
    """
    record: dict[str, Any] = json.loads((manifest / "manifest.json").read_text())
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


def write_row(out: Path, row: Row, **pictures: dict[str, NDArray[Any]]) -> None:
    """Write ``metrics.json``, the row, and named arrays to ``NAME.npz``."""
    (out / "metrics.json").write_text(json.dumps(row, indent=1, allow_nan=False) + "\n")
    for name, arrays in pictures.items():
        given: dict[str, Any] = arrays
        np.savez_compressed(out / f"{name}.npz", **given)
