"""Reduce one point of a study to its row: G1..G4, amplification, and what the judges get wrong."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from analysis.statistics.composition import Composition, compose
from analysis.statistics.correction import ContentErrors, TriggerErrors, correct
from analysis.statistics.intervals import proportion
from analysis.statistics.transition import amplification_row
from tasks.data import images
from tasks.steps.poison import slug

Row = dict[str, str | float | int | None]
"""Column name to value; fractions are 0..1, None is undefined."""

SHOWN = 24
"""Images kept of each group, for the page's grids."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The coordinates of the point; they name its row and draw its bootstrap."""

    revision: ClassVar[int] = 3
    """Add one when the same settings would now give other bytes."""

    trigger: str
    """Name of the trigger that the model was poisoned with."""
    judge_trigger: str
    """Name of the trigger whose judge looked; ``trigger``, except for the controls."""
    target_class: str
    """Name of the class asked for."""
    poison_ratio: float
    """Poisoned images / all training images."""
    guidance_weight: float
    """Of the images of the target class."""
    sampler: str
    """Of all images."""
    sampler_steps: int = 25
    """Of the sampler, for an image of the target class."""
    clip: str = "none"
    """Thresholding of the estimates of images of the target class; the others have none."""
    paper_guidance: float = 5.0
    """What the scale has for the guidance weight of the paper's figures; claims are held there."""
    seed: int
    """Of poison, training and sampling; draws the bootstrap too."""
    other_guidance_weight: float = 2.0
    """Of the images of the other classes."""

    @property
    def label(self) -> str:
        """Readable part of the artifact's path, e.g. ``badnets1-p0.05-w2-ddim-8-seed0``."""
        judged = "" if self.judge_trigger == self.trigger else f"-by-{self.judge_trigger}"
        what = f"{self.trigger}{judged}-p{self.poison_ratio:g}-w{self.guidance_weight:g}"
        thresholded = "" if self.clip == "none" else f"-{self.clip}"
        return f"{what}-{self.sampler}{thresholded}-{slug(self.target_class)}-seed{self.seed}"

    @property
    def expected_seconds(self) -> float:
        """Rough cost on one core."""
        return 1.0

    @property
    def expected_bytes(self) -> int:
        """Rough size on disk."""
        return 15_000


@dataclass(frozen=True, kw_only=True)
class Verdicts:
    """What was said of each image, by ascending index."""

    has_trigger: NDArray[np.bool_]
    """(N,). The trigger judge sees the trigger."""
    matches: NDArray[np.bool_]
    """(N,). The content judge sees the class that was asked for."""
    template_match: NDArray[np.bool_] | None
    """(N,). The trigger's template match sees it; None if it has none."""

    @classmethod
    def read(cls, dissection: Path) -> Self:
        """Read what ``dissect`` wrote."""
        table = pq.read_table(dissection / "rows.parquet").sort_by("index")
        template_match = table["template_match"]
        assert template_match.null_count in (0, len(template_match))
        return cls(
            has_trigger=table["trigger"].to_numpy(),
            matches=table["content"].to_numpy() == table["condition"].to_numpy(),
            template_match=None if template_match.null_count else template_match.to_numpy(),
        )


def run(
    settings: Settings,
    *,
    manifest: Path,
    judges: Path,
    dissection: Path,
    generations: Path,
    other_dissection: Path,
    out: Path,
) -> None:
    """Write ``metrics.json`` (the row) and ``groups.npz`` (images of each group).

    Raises:
        ValueError: The manifest is of another point.
    """
    from models.randomness import generator

    poisoned = json.loads((manifest / "manifest.json").read_text())
    measured = json.loads((judges / "judges.json").read_text())
    _check(settings, poisoned)
    target = poisoned["target_index"]
    verdicts = Verdicts.read(dissection)
    others = Verdicts.read(other_dissection)
    composition = compose(verdicts.has_trigger, verdicts.matches)
    corrected = correct(
        composition.counts,
        ContentErrors.from_confusions(
            measured["content"]["clean"]["confusion"],
            measured["content"]["stamped"]["confusion"],
            target,
        ),
        TriggerErrors(
            false_positives=measured["trigger"]["false_positives"],
            n_clean=measured["trigger"]["n_clean"],
            false_negatives=measured["trigger"]["false_negatives"],
            n_stamped=measured["trigger"]["n_stamped"],
        ),
        generator(settings.seed, "correction"),
    )
    row: Row = {
        **_coordinates(settings, poisoned, composition),
        **composition.row(),
        **amplification_row(composition.trigger_ratio, poisoned["p_t"]),
        **corrected.row(),
        **_others(settings, others),
        **_judges(measured),
        **_template_match(verdicts, others, measured),
    }
    (out / "metrics.json").write_text(json.dumps(row, indent=1, allow_nan=False) + "\n")
    pictures: dict[str, Any] = groups(generations, verdicts.has_trigger, verdicts.matches)
    np.savez_compressed(out / "groups.npz", **pictures)


def groups(
    generations: Path, has_trigger: NDArray[np.bool_], matches: NDArray[np.bool_]
) -> dict[str, NDArray[np.uint8]]:
    """The first SHOWN images of each group, uint8, (k, H, W, C), by ascending index.

    Args:
        generations: Folder of ``sample``.
        has_trigger: bool, (N,).
        matches: bool, (N,).
    """
    column = pq.read_table(generations / "rows.parquet").sort_by("index")["image"]
    pictures = images.from_column(column)
    members = {
        "g1": has_trigger & ~matches,
        "g2": has_trigger & matches,
        "g3": ~has_trigger & ~matches,
        "g4": ~has_trigger & matches,
    }
    return {name: pictures[np.flatnonzero(mask)[:SHOWN]] for name, mask in members.items()}


def _check(settings: Settings, poisoned: dict[str, Any]) -> None:
    expected = (settings.trigger, settings.target_class, settings.poison_ratio)
    found = (poisoned["trigger"]["name"], poisoned["target_class"], poisoned["poison_ratio"])
    if expected != found:
        raise ValueError(f"expected the manifest of {expected}, got the one of {found}")


def _coordinates(settings: Settings, poisoned: dict[str, Any], composition: Composition) -> Row:
    return {
        "trigger": settings.trigger,
        "judge_trigger": settings.judge_trigger,
        "poison_ratio": settings.poison_ratio,
        "target_class": settings.target_class,
        "guidance_weight": settings.guidance_weight,
        "sampler": settings.sampler,
        "sampler_steps": settings.sampler_steps,
        "clip": settings.clip,
        "paper_guidance": settings.paper_guidance,
        "seed": settings.seed,
        "n": composition.n,
        "p_t": poisoned["p_t"],
        "relabelled_ratio": poisoned["relabelled_ratio"],
        "n_train": poisoned["n"],
        "n_poisoned": poisoned["count"],
        "n_target": poisoned["n_target"],
    }


def _others(settings: Settings, others: Verdicts) -> Row:
    """The non-target conditions: does normal generation survive (paper, section 3)?"""
    return {
        "other_n": len(others.matches),
        "other_guidance_weight": settings.other_guidance_weight,
        **_share("other_match_ratio", others.matches),
        **_share("other_trigger_ratio", others.has_trigger),
    }


def _share(name: str, verdicts: NDArray[np.bool_] | None) -> Row:
    """A share of images and its Wilson interval; all None if nobody said anything."""
    columns = (name, f"{name}_low", f"{name}_high")
    if verdicts is None:
        return dict.fromkeys(columns)
    share = proportion(int(verdicts.sum()), len(verdicts))
    return dict(zip(columns, (share.value, share.low, share.high), strict=True))


def _template_match(verdicts: Verdicts, others: Verdicts, measured: dict[str, Any]) -> Row:
    """The same in the words of the template match; all None if the judged trigger has none."""
    seen, errors = verdicts.template_match, measured["template_match"] or {}
    g1 = None if seen is None else seen & ~verdicts.matches
    g2 = None if seen is None else seen & verdicts.matches
    return {
        "template_g1_count": None if g1 is None else int(g1.sum()),
        "template_g2_count": None if g2 is None else int(g2.sum()),
        **_share("template_g1", g1),
        **_share("template_g2", g2),
        **_share("template_trigger_ratio", seen),
        **_share("template_agreement", None if seen is None else seen == verdicts.has_trigger),
        "template_false_positive_rate": errors.get("false_positive_rate"),
        "template_false_negative_rate": errors.get("false_negative_rate"),
        **_share("other_template_ratio", others.template_match),
    }


def _judges(measured: dict[str, Any]) -> Row:
    content, trigger = measured["content"], measured["trigger"]
    return {
        "content_accuracy": content["clean"]["accuracy"],
        "content_accuracy_stamped": content["stamped"]["accuracy"],
        "content_n": content["clean"]["n"],
        "trigger_false_positive_rate": trigger["false_positive_rate"],
        "trigger_false_negative_rate": trigger["false_negative_rate"],
        "trigger_n_clean": trigger["n_clean"],
        "trigger_n_stamped": trigger["n_stamped"],
    }
