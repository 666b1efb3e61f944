"""The terminal's table of a ``detection`` study, a line a detector and a set of images."""

from collections.abc import Sequence

from analysis.old.rows import PLACE_COLUMNS, Row, sort_rows
from analysis.old.verdicts import Verdict
from analysis.page.wording import (
    area_interval,
    detector_name,
    gain_interval,
    image_set_name,
    percent,
    ratio_name,
    sampler_name,
    trigger_name,
)
from orchestrator.studies.detection.claims import at_chance
from orchestrator.studies.detection.rows import (
    change_of,
    detector_rank,
    estimate_of,
    is_null,
    sampling_of,
)

DETECTION_COLUMNS = (
    *PLACE_COLUMNS,
    "detector",
    "image_set",
    "n",
    "auroc",
    "auroc_low",
    "auroc_high",
)
"""The columns a results file of detection starts with."""


_HELD = {Verdict.SUPPORTED: "holds", Verdict.FAILED: "fails", Verdict.UNDECIDED: "undecided"}


def table(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Headers, and a row of words a row: by detector, then as a file is sorted; null points last.

    Sampler and seed have a column where there are several.  The last column says what became of
    the AUROC from the training set to the generations, and of a null point whether the test held.
    """
    samplers = len({row["sampler"] for row in rows if row["sampler"] is not None}) > 1
    seeds = len({row["seed"] for row in rows}) > 1
    headers = ["detector", "trigger", "p", "images", "w", *(["sampler"] if samplers else [])]
    headers += [*(["seed"] if seeds else []), "AUROC", "TPR at 1% FPR", "at 5%", "gain"]
    ordered = sorted(sort_rows(rows), key=lambda row: (is_null(row), _rank(row)))
    return headers, [_line(row, samplers, seeds) for row in ordered]


def _line(row: Row, samplers: bool, seeds: bool) -> list[str]:
    sampling = sampling_of(row)
    cells = [
        detector_name(str(row["detector"])),
        trigger_name(str(row["trigger"])),
        ratio_name(float(row["poison_ratio"])),
        image_set_name(str(row["image_set"])),
        f"{sampling.guidance_weight:g}" if sampling else "",
    ]
    if samplers:
        cells.append(sampler_name(sampling.sampler) if sampling else "")
    if seeds:
        cells.append(str(row["seed"]))
    defined = row["auroc"] is not None
    cells.append(area_interval(estimate_of(row, "auroc")) if defined else "no positives")
    cells += [_rate(row, f"tpr_at_{rate}pct_fpr") for rate in (1, 5)]
    return [*cells, _gain(row)]


def _rate(row: Row, name: str) -> str:
    return "" if row[name] is None else percent(float(row[name]))


def _gain(row: Row) -> str:
    if is_null(row):
        if row["null_low"] is None:
            return ""
        return f"null test {_HELD[at_chance(row)]}"
    if row.get("auroc_gain") is None:
        return ""
    gained = estimate_of(row, "auroc_gain")
    return f"{gain_interval(gained)} {change_of(gained).value}"


def _rank(row: Row) -> tuple[int, str]:
    return detector_rank(str(row["detector"]))
