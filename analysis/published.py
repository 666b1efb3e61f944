"""The numbers that the paper prints, read from ``published.csv``.

The file has a line for each number: the figure or table, the dataset, the cell's coordinates as
columns named as those of our rows, the metric and its value.  Bars without a number are not read
off.  Guidance weights are in our convention, beside them as printed.  Cells of ``relabel_only``
have the share of relabelled images in place of p_t, and its mismatches, which the paper calls G1,
are g3.
"""

import csv
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from analysis import names
from analysis.rows import Row, Rows, frame, select, values
from analysis.wording import gain, percent, times

FILE = Path(__file__).parent / "published.csv"
COORDINATES = (
    "trigger",
    "poison_ratio",
    "guidance_weight",
    "sampler",
    "detector",
    "image_set",
    "classifier",
    "noise_model",
    "filter_ratio",
)
"""The columns that a cell of the paper shares with our rows."""
NUMBERS = ("poison_ratio", "guidance_weight", "printed_guidance_weight", "filter_ratio", "value")


@cache
def _lines() -> tuple[Row, ...]:
    with FILE.open(encoding="utf-8", newline="") as file:
        return tuple(
            {
                column: None if text == "" else float(text) if column in NUMBERS else text
                for column, text in line.items()
            }
            for line in csv.DictReader(file)
        )


def printed(**where: Any) -> Rows:
    """The paper's numbers, a line for each cell and a column for each metric.

    ``trigger_ratio``, ``mismatch_ratio`` and ``amplification`` are calculated where the paper has
    what they are made of.  Cells are chosen by ``source``, ``dataset`` or `COORDINATES`.
    """
    cells: dict[tuple[Any, ...], dict[str, Any]] = {}
    for line in _lines():
        place = {column: line[column] for column in line if column not in ("metric", "value")}
        cell = cells.setdefault(tuple(place.values()), place)
        cell[str(line["metric"])] = line["value"]
    for cell in cells.values():
        if "g3" in cell:
            cell["mismatch_ratio"] = cell.get("g1", 0.0) + cell["g3"]
        if "g1" in cell and "g2" in cell:
            cell["trigger_ratio"] = cell["g1"] + cell["g2"]
            if cell.get("p_t"):
                cell["amplification"] = cell["trigger_ratio"] / cell["p_t"]
    return select(frame(cells.values()), **where)


def in_words(metrics: Sequence[str] = (), **where: Any) -> str:
    """What the paper prints of some columns of `printed`: "G1 52.0 to 56.0%"; perhaps nothing."""
    cells, found = printed(**where), []
    for metric in metrics:
        numbers = sorted(float(value) for value in values(cells, metric) if value is not None)
        if numbers:
            show = gain if "gain" in metric else times if metric == "amplification" else percent
            low, high = show(numbers[0]), show(numbers[-1])
            shown = high if low == high else f"{low.removesuffix('%')} to {high}"
            found.append(f"{names.metric(metric)} {shown}")
    return ", ".join(found)
