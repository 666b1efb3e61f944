"""Compute the row of a point from generations: G1..G4, amplification, and the judges' errors."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from analysis.statistics.composition import compose, shares
from analysis.statistics.correction import content_errors, correct
from analysis.statistics.transition import amplification_row
from tasks.columns import Row, bounded
from tasks.data import images
from tasks.rows.row import Coordinates, poison_columns, read_poison, share, write_row
from tasks.steps.dissect import Dissection

SHOWN = 24
"""Images kept of each group, for the page."""
TRIGGER_ERRORS = (("positive", "clean"), ("negative", "stamped"))
"""How the trigger judge errs, and on which test images."""


@dataclass(frozen=True, kw_only=True)
class Settings(Coordinates):
    """The coordinates of the point; ``seed`` seeds the bootstrap too."""

    revision = 3
    expected_seconds = 1.0
    expected_bytes = 15_000

    guidance_weight: float
    """Guidance weight of the images of the target class."""
    sampler: str
    """Sampler of all images."""
    sampler_steps: int = 25
    """Steps of the sampler, for an image of the target class."""
    clip: str = "none"
    """Thresholding of the estimates of images of the target class; the others have none."""
    other_guidance_weight: float = 2.0
    """Guidance weight of the images of the other classes."""

    @property
    def label(self) -> str:
        """Readable part of the result's path, e.g. ``badnets1-p0.05-w2-ddim-8-seed0``."""
        return self.point


def run(
    settings: Settings,
    *,
    manifest: Path,
    judges: Path,
    dissection: Path,
    generations: Path,
    other_dissection: Path,
    out: Path,
    round_trip: Path | None = None,
) -> None:
    """Write ``metrics.json`` (the row) and ``groups.npz`` (images of each group).

    Given the poison behind the model, a folder of ``judge_accuracy``, what the judges say of the
    images of the target class, these images, what the judges say of those of the other classes,
    and, of a text-to-image model, the judges' accuracy after its autoencoder's round trip.  Raises
    ValueError if the poison is of another point.
    """
    from models.randomness import generator

    record = read_poison(manifest, settings)
    errors = json.loads((judges / "judges.json").read_text())
    content, trigger = errors["content"], errors["trigger"]
    target, others = Dissection.read(dissection), Dissection.read(other_dissection)
    counts = compose(target.has_trigger, target.matches)
    seen = shares([*counts.values()])
    judged = content_errors(
        content["clean"]["confusion"], content["stamped"]["confusion"], record["target_index"]
    )
    judged += [(trigger[f"false_{kind}s"], trigger[f"n_{on}"]) for kind, on in TRIGGER_ERRORS]
    corrected = correct([*counts.values()], judged, generator(settings.seed, "correction"))
    row: Row = {
        **settings.columns("clip"),
        "n": len(target.matches),
        **poison_columns(record),
        **{f"{group}_count": count for group, count in counts.items()},
        **bounded(seen),
        **bounded(amplification_row(seen["trigger_ratio"], record["p_t"])),
        **bounded({f"{name}_corrected": found for name, found in corrected.items()}),
        # The other classes: does normal generation survive (paper, section 3)?
        "other_n": len(others.matches),
        "other_guidance_weight": settings.other_guidance_weight,
        **share("other_match_ratio", others.matches),
        **share("other_trigger_ratio", others.has_trigger),
        **share("other_template_ratio", others.template_match),
        "content_accuracy": content["clean"]["accuracy"],
        "content_accuracy_stamped": content["stamped"]["accuracy"],
        "content_n": content["clean"]["n"],
        **trigger_errors(errors),
        **_template_match(target),
        **(_after(round_trip) if round_trip else {}),
    }
    write_row(out, row, groups=_groups(generations, target))


def _after(round_trip: Path) -> Row:
    """What judges see of test images that the autoencoder encoded and decoded."""
    errors = json.loads((round_trip / "judges.json").read_text())
    found = {"content_accuracy": errors["content"]["clean"]["accuracy"], **trigger_errors(errors)}
    return {f"round_trip_{name}": value for name, value in found.items()}


def trigger_errors(errors: dict[str, Any]) -> Row:
    """Error rates of the trigger judge and of template matching; None where not measured."""
    judge, template = errors.get("trigger") or {}, errors.get("template_match") or {}
    rates = ("false_positive_rate", "false_negative_rate")
    return {
        **{f"trigger_{name}": judge.get(name) for name in (*rates, "n_clean", "n_stamped")},
        **{f"template_{name}": template.get(name) for name in rates},
    }


def _groups(generations: Path, judged: Dissection) -> dict[str, NDArray[np.uint8]]:
    """The first SHOWN images of each group, uint8, (k, H, W, C), by ascending index."""
    rows = pq.read_table(generations / "rows.parquet").sort_by("index")
    pictures = images.from_column(rows["image"])
    return {f"g{group}": pictures[judged.group == group][:SHOWN] for group in (1, 2, 3, 4)}


def _template_match(judged: Dissection) -> Row:
    """The groups by template matching; all None if the trigger paints no patch."""
    seen = judged.template_match
    g1 = None if seen is None else seen & ~judged.matches
    g2 = None if seen is None else seen & judged.matches
    return {
        "template_g1_count": None if g1 is None else int(g1.sum()),
        "template_g2_count": None if g2 is None else int(g2.sum()),
        **share("template_g1", g1),
        **share("template_g2", g2),
        **share("template_trigger_ratio", seen),
        **share("template_agreement", None if seen is None else seen == judged.has_trigger),
    }
