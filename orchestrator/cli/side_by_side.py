"""Rows of several points or runs set side by side, metric by metric.

A difference has an interval only where its counts are there and the two sides' images are not the
same ones.  Everything else about two points is left to the reader: their AUROCs, accuracies and
judges' errors rest on images that both were measured on, whose pairs no row keeps.
"""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.page.wording import area, gain, percent, points, times
from analysis.rows import KEY, Row
from analysis.statistics.comparison import between_points, bounded, counts_in, level_of
from analysis.statistics.intervals import Estimate
from orchestrator.studies.amplification import AMPLIFICATION
from orchestrator.studies.defense.table import DEFENSE_COLUMNS
from orchestrator.studies.detection import DETECTION

PLACE = tuple(column for column in KEY[2:] if column != "seed")
"""Columns that tell the points of a run apart, their seeds aside."""
NO_METRICS = {
    *KEY,
    "sampler_steps",
    "other_guidance_weight",
    "pretend_ratio",
    "null_level",
}
"""Columns that are settings."""
SIGNED = ("_change", "_difference", "_gain")
"""How columns end that may be below 0; the others with bounds are shares and areas."""
SAME_IMAGES = "none: the same images on both sides"
"""Why a difference that could be computed is not."""
UNKNOWN_IMAGES = "none: which images these were is not recorded"
"""Another reason."""


@dataclass(frozen=True)
class Measured:
    """One finished point."""

    row: Row
    """Its numbers."""
    images: Mapping[str, str]
    """By GENERATIONS and OTHERS of `comparison`: a word, equal for the same images.

    Without one nobody knows which images those were.
    """


@dataclass(frozen=True)
class Value:
    """A number of one side; None where the side does not have it."""

    value: float | None
    """A whole number where it is a count."""
    low: float | None = None
    """Lower bound of its interval, None without one."""
    high: float | None = None
    """Upper bound."""


@dataclass(frozen=True)
class Line:
    """One metric."""

    name: str
    """Its column."""
    values: tuple[Value, ...]
    """One a side."""
    difference: Estimate | None = None
    """Of two sides the second minus the first, where an interval can be had."""
    basis: str = ""
    """What that interval rests on, or why there is none."""


@dataclass(frozen=True)
class Cell:
    """One point of every side, each with all its seeds."""

    place: Mapping[str, Any]
    """By PLACE where whole runs are joined; empty for points that were named."""
    sides: tuple[tuple[Measured, ...], ...]
    """At least one a side, sorted by seed."""

    @property
    def seeds(self) -> tuple[str, ...]:
        """The seeds of each side, as words."""
        return tuple(", ".join(str(one.row.get("seed")) for one in side) for side in self.sides)


def joined(runs: Sequence[Sequence[Measured]]) -> tuple[list[Cell], list[list[Measured]]]:
    """Join whole runs by PLACE.

    Args:
        runs: The points of each run.

    Returns:
        A cell a place that every run has, sorted; and of each run the points without one.
    """
    by_place: list[dict[tuple[Any, ...], list[Measured]]] = []
    for run in runs:
        places: dict[tuple[Any, ...], list[Measured]] = {}
        for one in run:
            places.setdefault(tuple(map(one.row.get, PLACE)), []).append(one)
        by_place.append(places)
    common = set.intersection(*(set(places) for places in by_place))
    cells = [
        Cell(
            dict(zip(PLACE, place, strict=True)),
            tuple(tuple(sorted(places[place], key=_seed)) for places in by_place),
        )
        for place in sorted(common, key=_sortable)
    ]
    alone = [
        [one for place, found in places.items() if place not in common for one in found]
        for places in by_place
    ]
    return cells, alone


def lines(cell: Cell) -> list[Line]:
    """Every metric that at least one side has, in the order of a results file."""
    rows = [[one.row for one in side] for side in cell.sides]
    found = []
    for name in _metrics([row for side in rows for row in side]):
        values = tuple(_value(side, name) for side in rows)
        difference, basis = None, ""
        if len(cell.sides) == 2:
            difference, basis = _difference(*cell.sides, name)
        if any(value.value is not None for value in values):
            found.append(Line(name, values, difference, basis))
    return found


def shown(line: Line) -> list[str]:
    """Words for a terminal: the metric, each side's number and, of two sides, the difference."""
    words = [line.name, *(_worded(line.name, value) for value in line.values)]
    if len(line.values) == 2:
        words.append(points(line.difference) if line.difference else "")
    return words


def is_short(line: Line) -> bool:
    """Whether a terminal shows it: n, whatever has an interval, and what differs but counts."""
    bounded = any(value.low is not None for value in line.values)
    differs = len({value.value for value in line.values}) > 1
    return line.name == "n" or bounded or (differs and not line.name.endswith("_count"))


def to_csv(header: Sequence[str], records: Sequence[Sequence[object]]) -> str:
    """CSV text with unix line ends; None is an empty cell, a float has its shortest exact form."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(records)
    return text.getvalue()


def _metrics(rows: Sequence[Row]) -> list[str]:
    """Columns that are measured numbers and no bounds of another one."""
    columns = {column for row in rows for column in row}
    leading: Sequence[str] = AMPLIFICATION.columns
    leading = DEFENSE_COLUMNS if "test_accuracy" in columns else leading
    leading = DETECTION.columns if "auroc" in columns else leading
    present = {
        column
        for row in rows
        for column, value in row.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    bounds = {f"{column}_{end}" for column in present for end in ("low", "high")}
    measured = present - bounds - NO_METRICS
    first = [column for column in leading if column in measured]
    return [*first, *sorted(measured - set(first))]


def _value(rows: Sequence[Row], name: str) -> Value:
    """A number over the seeds of one side; conditional on the models below three seeds."""
    defined = [row for row in rows if row.get(name) is not None]
    if not defined:
        return Value(None)
    numbers = [row[name] for row in defined]
    if len(defined) == 1:
        return Value(numbers[0], defined[0].get(f"{name}_low"), defined[0].get(f"{name}_high"))
    if all(counts_in(row, name) for row in defined):
        return _of(level_of(defined, name).estimate)
    if all(row.get(f"{name}_low") is not None for row in defined):
        level = bounded(defined, name, -1 if name.endswith(SIGNED) else 0)
        return _of(level.estimate) if level else Value(None)
    same = len(set(numbers)) == 1
    return Value(numbers[0] if same else sum(map(float, numbers)) / len(numbers))


def _difference(
    first: Sequence[Measured], second: Sequence[Measured], name: str
) -> tuple[Estimate | None, str]:
    """Second minus first with its basis; None with the reason, which is empty where it is plain."""
    of = "trigger_ratio" if name == "amplification_difference" else name
    kinds = {counts_in(one.row, of) for one in (*first, *second)}
    images = kinds.pop() if len(kinds) == 1 else None
    if images is None:
        return None, ""
    drawn = [{one.images.get(images) for one in side} for side in (first, second)]
    if None in drawn[0] | drawn[1]:
        return None, UNKNOWN_IMAGES
    if drawn[0] & drawn[1]:
        return None, SAME_IMAGES
    rows, others = ([one.row for one in side] for side in (second, first))
    found = between_points(rows, others, of)
    method = "Student" if found.basis.endswith("seeds") else "Newcombe"
    estimate = found.estimate
    if of != name:
        estimate = estimate.shifted(_mean(others, "p_t") - _mean(rows, "p_t"))
    return estimate, f"{method}: {found.basis}"


def _mean(rows: Sequence[Row], name: str) -> float:
    return sum(float(row[name]) for row in rows) / len(rows)


def _of(estimate: Estimate) -> Value:
    return Value(estimate.value, estimate.low, estimate.high)


def _worded(name: str, value: Value) -> str:
    if value.value is None:
        return "–"
    word = _wording(name, value.value)
    middle = word(value.value)
    if value.low is None or value.high is None:
        return middle
    return f"{middle} [{_bare(word(value.low))}, {_bare(word(value.high))}]"


def _wording(name: str, value: float) -> Callable[[float], str]:
    """How a metric is written: a count, a factor, an AUROC, a percentage, or a plain number."""
    if isinstance(value, int):
        return lambda number: f"{number:,}"
    if name == "amplification":
        return times
    if "gain" in name or "_minus_" in name:
        return gain
    if "auroc" in name or name.endswith("_shift") or name.startswith("null_"):
        return area
    if name.startswith(("median", "mask_", "q25", "q75", "q99", "smallest", "largest")):
        return lambda number: f"{number:.4g}".replace("-", "−")
    return percent


def _bare(words: str) -> str:
    """A bound without the unit that its number has already."""
    return words.removesuffix("%").removeprefix("×")


def _seed(one: Measured) -> tuple[bool, Any]:
    seed = one.row.get("seed")
    return seed is not None, seed


def _sortable(place: tuple[Any, ...]) -> list[tuple[bool, Any]]:
    return [(value is not None, value) for value in place]
