"""The terminal's table of a study whose points are split into G1..G4, a line a point."""

from collections.abc import Sequence

from analysis.old.rows import PLACE_COLUMNS, Row, clip_of, has_template_match, sort_rows
from analysis.page.wording import (
    authors_weight,
    percent,
    ratio_name,
    sampler_name,
    times,
    trigger_name,
)

LEADING_COLUMNS = (
    *PLACE_COLUMNS,
    "clip",
    "n",
    "p_t",
    "g1",
    "g2",
    "g3",
    "g4",
    "trigger_ratio",
    "amplification",
)
"""The columns a results file starts with."""


def table(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """Headers, and a row of words a point.

    The sampler and its thresholding have a column where there are several, the template match
    where it
    looked at any point.
    """
    samplers = len({row["sampler"] for row in rows}) > 1
    clips = len({clip_of(row) for row in rows}) > 1
    template_matched = any(map(has_template_match, rows))
    headers = ["trigger", *(["sampler"] if samplers else []), *(["clip"] if clips else [])]
    headers += ["p", "w (authors')", "seed", "p_t"]
    headers += ["G1", "G2", "G3", "G4", "trigger ratio", "/ p_t"]
    headers += ["template_match (agreement)"] if template_matched else []
    return headers, [_line(row, samplers, clips, template_matched) for row in sort_rows(rows)]


def _line(row: Row, samplers: bool, clips: bool, template_matched: bool) -> list[str]:
    cells = [trigger_name(str(row["trigger"]))]
    if samplers:
        cells.append(sampler_name(str(row["sampler"])))
    if clips:
        cells.append(clip_of(row))
    cells += [
        ratio_name(float(row["poison_ratio"])),
        _weight(float(row["guidance_weight"])),
        str(row["seed"]),
        percent(float(row["p_t"])),
        *(percent(float(row[group])) for group in ("g1", "g2", "g3", "g4")),
        _bounded(row, "trigger_ratio"),
        "" if row.get("amplification") is None else times(float(row["amplification"])),
    ]
    if template_matched:
        cells.append(_template_match(row))
    return cells


def _template_match(row: Row) -> str:
    if not has_template_match(row):
        return ""
    share, agreement = (float(row[f"template_{name}"]) for name in ("trigger_ratio", "agreement"))
    return f"{percent(share)} ({percent(agreement)})"


def _weight(weight: float) -> str:
    return f"{weight:g} ({authors_weight(weight):g})"


def _bounded(row: Row, name: str) -> str:
    low, high = float(row[f"{name}_low"]), float(row[f"{name}_high"])
    return f"{percent(float(row[name]))} [{100 * low:.1f}, {100 * high:.1f}]"
