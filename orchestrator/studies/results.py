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

from analysis.old.rows import Row, sort_rows
from orchestrator.studies.told import told


def columns(rows: Sequence[Row]) -> list[str]:
    """The columns of a results file: its study's leading ones, then all others by name."""
    leading = told(rows).columns
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
    """A compact table for a terminal, the study's own: headers, and rows of words."""
    return told(rows).table(rows)


def summary(rows: Sequence[Row]) -> str:
    """What was found, in a sentence or a few, generated from the numbers whatever they say."""
    return " ".join(sentences(rows))


def sentences(rows: Sequence[Row]) -> list[str]:
    """`summary` by its sentences, one each thing that the study tells apart."""
    return told(rows).sentences(rows) or ["No poisoned point has been measured yet."]


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
