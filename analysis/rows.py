"""The rows of a study as a pandas frame: a line for each point, a column for each number.

A row is the mapping in a point's ``metrics.json``: fractions 0..1, counts and words, None where a
value is missing or undefined.  A frame holds these values unchanged, in columns of objects, so that
a file written from it is exact; use ``rows[column].astype(float)`` to calculate with a column.
"""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from math import isclose
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from analysis.names import rank

if TYPE_CHECKING:
    import pandas as pd

Row = Mapping[str, Any]
"""The numbers of one point by column name."""
Rows: TypeAlias = "pd.DataFrame"
"""Many rows, as `frame` makes them."""

KEY = (
    "study",
    "scale",
    "trigger",
    "judge_trigger",
    "poison_ratio",
    "target_class",
    "guidance_weight",
    "sampler",
    "clip",
    "seed",
    "detector",
    "classifier",
    "image_set",
    "trigger_pixels",
    "noise_model",
    "filter_ratio",
)
"""The columns that tell one row from another, in the order in which rows are sorted."""
CONTROLS = ("none", "relabel_only")
"""Triggers that stamp nothing."""
PAPER_GUIDANCE = 5.0
"""The guidance weight of the paper's figures, as the paper writes it (section 3)."""


def frame(rows: Iterable[Row]) -> Rows:
    """Make a frame of rows, sorted by `KEY`, a missing value first.

    Args:
        rows: At most one per combination of `KEY`; they need not have the same columns.
    """
    import pandas as pd

    ordered = sorted(rows, key=lambda row: [(v is not None, v) for v in map(row.get, KEY)])
    columns = list(dict.fromkeys(column for row in ordered for column in row))
    cells = {
        column: pd.Series([row.get(column) for row in ordered], dtype=object) for column in columns
    }
    return pd.DataFrame(cells)


def records(rows: "Rows | Sequence[Row]") -> Sequence[Row]:
    """The rows of a frame as mappings, in order."""
    if isinstance(rows, Sequence):
        return rows
    # Ten times as fast as DataFrame.to_dict, and every cell stays what it is.
    columns = list(rows)
    return [dict(zip(columns, line, strict=True)) for line in rows.to_numpy(dtype=object).tolist()]


def select(rows: Rows, **where: Any) -> Rows:
    """The rows whose columns have the value, or one of the values, that are asked for.

    Numbers that differ only by rounding are equal.  None stands for a missing value; a column that
    is not there is missing everywhere.
    """
    kept = list(range(len(rows)))
    for column, wanted in where.items():
        values = wanted if isinstance(wanted, (list, tuple, set, frozenset)) else (wanted,)
        cells = rows[column].tolist() if column in rows else [None] * len(rows)
        kept = [place for place in kept if any(same(cells[place], value) for value in values)]
    return rows.iloc[kept]


def same(first: Any, second: Any) -> bool:
    """Whether two cells are the same word, or the same number within rounding."""
    if isinstance(first, (int, float)) and isinstance(second, (int, float)):
        return isclose(first, second, rel_tol=1e-9)
    return bool(first == second)


def groups(rows: Rows, *columns: str) -> list[tuple[dict[str, Any], Rows]]:
    """Split a frame into rows that agree in some columns, in display order; without any, one group.

    Each group has the common values by column, and the rows.
    """
    cells = [rows[column].tolist() if column in rows else [None] * len(rows) for column in columns]
    keys = list(zip(*cells, strict=True)) if columns else [()] * len(rows)
    found: dict[tuple[Any, ...], list[int]] = {}
    for number, key in enumerate(keys):
        found.setdefault(key, []).append(number)
    ordered = sorted(found, key=lambda key: [*map(rank, columns, key)])
    return [(dict(zip(columns, key, strict=True)), rows.iloc[found[key]]) for key in ordered]


def values(rows: Rows, column: str) -> list[Any]:
    """The different values of a column in display order, without the missing ones."""
    found = set(rows[column].tolist()) if column in rows else set()
    return sorted(found - {None}, key=lambda value: rank(column, value))


def has(rows: Rows, column: str) -> bool:
    """Whether any row has a value in a column."""
    return bool(values(rows, column))


def row_key(row: Row) -> tuple[Any, ...]:
    """What tells a row from every other one of a report: its `KEY` from the trigger on."""
    return tuple(row.get(column) for column in KEY[2:])


def poisoned(rows: Rows) -> Rows:
    """The rows with any poison."""
    return rows[[ratio > 0 for ratio in rows["poison_ratio"]]] if len(rows) else rows


def paper_guidance(rows: Rows) -> float:
    """The weight of these rows' scale that stands for the paper's 5.

    It is 6 for CIFAR10, because the authors' DDPM code counts from zero.
    """
    return float(next(iter(values(rows, "paper_guidance")), PAPER_GUIDANCE))


def reported_guidance(rows: Rows) -> float:
    """The guidance weight of headlines: the paper's if measured with poison, else the highest."""
    weights = [float(weight) for weight in values(poisoned(rows), "guidance_weight")]
    wanted = paper_guidance(rows)
    return next(
        (weight for weight in weights if same(weight, wanted)), max(weights, default=wanted)
    )


def columns(rows: Rows, leading: Sequence[str]) -> list[str]:
    """The columns of a results file: the leading ones, then all others by name."""
    return [*leading, *sorted(set(rows) - set(leading))]


def to_csv(rows: Rows, leading: Sequence[str]) -> str:
    """The rows as CSV text, with `columns`.

    Equal rows give equal bytes.  Floats are in their shortest exact form, missing values empty.

    Raises:
        ValueError: A value is no number, word or truth value.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    header = columns(rows, leading)
    writer.writerow(header)
    for row in records(rows):
        writer.writerow([_cell(column, row.get(column)) for column in header])
    return text.getvalue()


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
