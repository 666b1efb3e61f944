"""A sweep as a file, as a table and as one sentence.

``results.csv`` is built from the points' rows alone: sorted, without times, paths or run ids, and
every float in its shortest exact form, so equal rows give equal bytes on any machine.
"""

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from analysis import (
    amplification_finding,
    composition_finding,
    detection_finding,
    detection_table,
)
from analysis.rows import COMPOSITION, DETECTION, Row, has_witness, sort_rows, study_of
from analysis.wording import (
    authors_weight,
    percent,
    ratio_name,
    sampler_name,
    times,
    trigger_name,
)

LEADING_COLUMNS = (
    "study",
    "scale",
    "trigger",
    "poison_ratio",
    "target_class",
    "guidance_weight",
    "sampler",
    "seed",
    "n",
    "p_t",
    "g1",
    "g2",
    "g3",
    "g4",
    "trigger_ratio",
    "amplification",
)
"""The columns a results file starts with; the others follow by name."""

PLACE_COLUMNS = LEADING_COLUMNS[: LEADING_COLUMNS.index("seed") + 1]
"""Which point a row is of; the same in every study."""
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


def columns(rows: Sequence[Row]) -> list[str]:
    """The columns of a results file: its study's leading ones, then all others by name."""
    leading = DETECTION_COLUMNS if study_of(rows) == DETECTION else LEADING_COLUMNS
    others = {column for row in rows for column in row} - set(leading)
    return [*leading, *sorted(others)]


def to_csv(rows: Sequence[Row]) -> str:
    """The rows as CSV text, sorted; an empty cell for None and for a column a row lacks.

    Raises:
        ValueError: A value that is no number, word or truth value.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    header = columns(rows)
    writer.writerow(header)
    for row in sort_rows(rows):
        writer.writerow([_cell(column, row.get(column)) for column in header])
    return text.getvalue()


def write_csv(path: Path, rows: Sequence[Row]) -> Path:
    """Write `to_csv` to ``path`` in UTF-8 with unix line ends, and return the path."""
    path.write_bytes(to_csv(rows).encode())
    return path


def table(rows: Sequence[Row]) -> tuple[list[str], list[list[str]]]:
    """A compact table for a terminal: headers, and a row of words a point.

    The sampler has a column where there are several, the witness where it looked at any point.  A
    study of detection has a table of its own.
    """
    if study_of(rows) == DETECTION:
        return detection_table.table(rows)
    samplers = len({row["sampler"] for row in rows}) > 1
    witnessed = any(map(has_witness, rows))
    headers = ["trigger", *(["sampler"] if samplers else []), "p", "w (authors')", "seed", "p_t"]
    headers += ["G1", "G2", "G3", "G4", "trigger ratio", "/ p_t"]
    headers += ["witness (agreement)"] if witnessed else []
    return headers, [_line(row, samplers, witnessed) for row in sort_rows(rows)]


def summary(rows: Sequence[Row]) -> str:
    """What was found, in a sentence or a few, generated from the numbers whatever they say."""
    return " ".join(sentences(rows))


def sentences(rows: Sequence[Row]) -> list[str]:
    """`summary` by its sentences, one each thing that the study tells apart."""
    nothing = ["No poisoned point has been measured yet."]
    study = study_of(rows)
    if study == DETECTION:
        return detection_finding.sentences(rows) or nothing
    found = composition_finding if study == COMPOSITION else amplification_finding
    return found.sentences(rows) or nothing


def _line(row: Row, samplers: bool, witnessed: bool) -> list[str]:
    cells = [trigger_name(str(row["trigger"]))]
    if samplers:
        cells.append(sampler_name(str(row["sampler"])))
    cells += [
        ratio_name(float(row["poison_ratio"])),
        _weight(float(row["guidance_weight"])),
        str(row["seed"]),
        percent(float(row["p_t"])),
        *(percent(float(row[group])) for group in ("g1", "g2", "g3", "g4")),
        _bounded(row, "trigger_ratio"),
        "" if row.get("amplification") is None else times(float(row["amplification"])),
    ]
    if witnessed:
        cells.append(_witness(row))
    return cells


def _witness(row: Row) -> str:
    if not has_witness(row):
        return ""
    share, agreement = (float(row[f"witness_{name}"]) for name in ("trigger_ratio", "agreement"))
    return f"{percent(share)} ({percent(agreement)})"


def _weight(weight: float) -> str:
    return f"{weight:g} ({authors_weight(weight):g})"


def _bounded(row: Row, name: str) -> str:
    low, high = float(row[f"{name}_low"]), float(row[f"{name}_high"])
    return f"{percent(float(row[name]))} [{100 * low:.1f}, {100 * high:.1f}]"


def _cell(column: str, value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    if isinstance(value, (int, np.integer)):
        return str(int(value))
    if isinstance(value, (float, np.floating)):
        return repr(float(value))
    if isinstance(value, str):
        return value
    raise ValueError(
        f"column {column!r} of a results file holds numbers and words, got {type(value).__name__}"
    )
