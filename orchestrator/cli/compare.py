"""``castlewalls compare``: two points or two whole runs side by side, and the settings that differ.

Rows are merged on the columns that tell points apart, except the seed.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from rich.console import Console

from analysis.statistics import intervals
from analysis.statistics.intervals import Estimate, mean_over_seeds, proportion
from analysis.wording import counted, percent_interval
from analysis.wording import points as in_points
from orchestrator.cli.differing import Setting, settings_of_points, settings_of_runs, word
from orchestrator.cli.sides import IMAGES, ComparedPoint, Side, side_of
from orchestrator.cli.tables import print_lines, print_table

HEADLINES = "trigger_ratio g1 g2 auroc tpr_at_1pct_fpr test_accuracy attack_success_rate".split()
"""Metrics that are printed for whole runs; the CSV file has all."""
SEEDS_FOR_SPREAD = 3
"""Fewest seeds whose spread is used instead of the counts."""
SAME = "none: both sides count the same images"
UNKNOWN = "none: it is not recorded which images these are"
NOTES = {
    "Newcombe": "B − A: Newcombe's 95 % interval for independent sets of images. Those of one seed "
    "start from the same noise: the interval is mostly too wide, but can be a sixth too narrow.",
    "Student": "B − A: Student's 95 % interval over paired seeds.",
    SAME: "B − A is empty where both sides count the same images, which are not two samples.",
    UNKNOWN: "B − A is empty where it is not recorded which images were counted.",
}
"""What is printed below the table, by the start of a basis that occurs in it."""
ENDS = ("", "_low", "_high")
LISTED = 6
"""Points of one run alone that are listed."""


Points = Sequence[ComparedPoint]


class Share(NamedTuple):
    """A fraction of images."""

    images: str
    """The column of their number."""
    hits: int
    n: int


@dataclass(frozen=True)
class Compared:
    """Two points or two whole runs, A and B."""

    sides: tuple[Side, Side]
    place: list[str]
    """The columns on which runs are merged; empty for points."""
    settings: list[Setting]
    table: pd.DataFrame
    """A line for each place and metric: ``a, a_low, a_high, b, ..., b_minus_a, ..., basis``."""
    notes: list[str]


def compare(names: Sequence[str], store: str) -> Compared:
    """Set two points, or two whole runs, side by side; names are as ``side_of`` takes them.

    Raises:
        ValueError: A name fits nothing, or the two cannot be compared.
        OSError: A store cannot be read.
    """
    if len(names) != 2:
        raise ValueError(f"expected two points or reports to compare, got {len(names)}.")
    first, second = sides = side_of(names[0], store), side_of(names[1], store)
    if (first.name, first.where) == (second.name, second.where):
        raise ValueError(f"{names[0]!r} and {names[1]!r} are the same; name two different ones.")
    if first.kind != second.kind:
        got = ", ".join(f"{name!r}: {side.kind}" for name, side in zip(names, sides, strict=True))
        raise ValueError(f"expected two points or two whole runs with rows of one task, got {got}.")
    place = _place(sides)
    a, b = (_by_place(side.points, place) for side in sides)
    both = [key for key in a if key in b]
    lines = [
        dict(zip(place, key, strict=True)) | _line(a[key], b[key], name)
        for key in both
        for name in _metrics([*a[key], *b[key]])
    ]
    together = [pair for key in both for pair in _paired(a[key], b[key])]
    if first.axes is not None and second.axes is not None:
        settings = settings_of_runs(first.axes, second.axes, together)
    else:
        settings = settings_of_points(*together[0])
    table = pd.DataFrame(lines, dtype=object)
    notes = [*_alone("A", a, b), *_alone("B", b, a), *_notes(table)]
    return Compared(sides, place, settings, table, notes)


def _place(sides: Sequence[Side]) -> list[str]:
    """Columns that tell the points of a run apart: axes, words, and other settings if needed."""
    axes = sides[0].axes
    if axes is None:
        return []
    frames = [pd.DataFrame([dict(point.row) for point in side.points]) for side in sides]
    settings = {"seed": None, **axes, **sides[0].points[0].step.settings}
    there = [name for name in settings if all(name in frame for frame in frames)]
    varying = [x for x in there if any(frame[x].nunique(dropna=False) > 1 for frame in frames)]
    words = [x for x in varying if all(frame[x].map(type).eq(str).any() for frame in frames)]
    found = [x for x in there if x in axes or x in words or x == "seed"]
    for name in varying:
        if name not in found and any(frame.duplicated(found).any() for frame in frames):
            found.append(name)
    return [name for name in found if name != "seed"]


def _by_place(points: Points, place: Sequence[str]) -> dict[tuple[Any, ...], list[ComparedPoint]]:
    groups: dict[tuple[Any, ...], list[ComparedPoint]] = {}
    for point in points:
        groups.setdefault(tuple(map(point.row.get, place)), []).append(point)
    return groups


def _paired(first: Points, second: Points) -> list[tuple[ComparedPoint, ComparedPoint]]:
    """Points with one seed; if none is common, the first of each side."""
    by_seed = {point.row.get("seed"): point for point in second}
    pairs = [(x, by_seed[x.row.get("seed")]) for x in first if x.row.get("seed") in by_seed]
    return pairs or [(first[0], second[0])]


def _metrics(points: Points) -> list[str]:
    """Columns that hold measured numbers, which are neither settings nor bounds of others."""
    settings = {"seed", *points[0].step.settings}
    numbers = dict.fromkeys(
        name
        for point in points
        for name, value in point.row.items()
        if isinstance(value, int | float) and name not in settings
    )
    bounds = {f"{name}_{end}" for name in numbers for end in ("low", "high")}
    return [name for name in numbers if name not in bounds]


def _line(first: Points, second: Points, name: str) -> dict[str, Any]:
    """A metric with each side's number and the difference."""
    gap, basis = _difference(first, second, name)
    line: dict[str, Any] = {"metric": name}
    numbers: tuple[Any, ...] = (_level(first, name), _level(second, name), gap)
    for column, found in zip(("a", "b", "b_minus_a"), numbers, strict=True):
        whole = isinstance(found, Estimate)
        three = (found.value, found.low, found.high) if whole else (found, None, None)
        line |= {f"{column}{end}": number for end, number in zip(ENDS, three, strict=True)}
    return line | {"basis": basis}


def _three(row: Mapping[str, Any], name: str) -> list[Any]:
    """A number and its bounds."""
    return [row.get(f"{name}{end}") for end in ENDS]


def share(row: Mapping[str, Any], name: str) -> Share | None:
    """The counts behind a fraction whose interval is Wilson's for them; None for other numbers.

    Their number is in the column with the longest prefix of the name: ``other_n``, else ``n``.
    """
    told = _three(row, name)
    words = name.split("_")
    columns = [*("_".join([*words[:k], "n"]) for k in range(len(words) - 1, 0, -1)), "n"]
    column = next((column for column in columns if row.get(column)), None)
    if column is None or None in told or not 0 <= told[0] <= 1:
        return None
    found = Share(column, round(told[0] * row[column]), row[column])
    made = proportion(found.hits, found.n)
    same = np.allclose(told, (made.value, made.low, made.high), rtol=1e-9, atol=1e-9)
    return found if same else None


def _level(points: Points, name: str) -> Estimate | float | None:
    """A number over the seeds of one side; with fewer than three, given the trained models."""
    rows = [point.row for point in points if point.row.get(name) is not None]
    each = [Estimate(*_three(row, name)) for row in rows]
    shares = [one for row in rows if (one := share(row, name))]
    if not each:
        return None
    if any(one.low is None for one in each) or (1 < len(each) < SEEDS_FOR_SPREAD and not shares):
        values = {row[name] for row in rows}
        return values.pop() if len(values) == 1 else fmean(row[name] for row in rows)
    if len(each) == 1:
        return each[0]
    if len(each) < SEEDS_FOR_SPREAD:
        return proportion(sum(one.hits for one in shares), sum(one.n for one in shares))
    return mean_over_seeds(each).within(0, 1) if shares else mean_over_seeds(each)


def _difference(first: Points, second: Points, name: str) -> tuple[Estimate | None, str]:
    """Second minus first and what its interval rests on; or None, and why if that is not plain."""
    counts = [[(point, share(point.row, name)) for point in side] for side in (second, first)]
    columns = {one and one.images for side in counts for _, one in side}
    column = columns.pop()
    if columns or column not in IMAGES:
        return None, ""
    drawn = [{point.images(column) for point, _ in side} for side in counts]
    if None in drawn[0] | drawn[1]:
        return None, UNKNOWN if IMAGES[column][0] in first[0].step.sources else ""
    if drawn[0] & drawn[1]:
        return None, SAME
    by_seed = [{x.row.get("seed"): one[1:] for x, one in side if one} for side in counts]
    common = by_seed[0].keys() & by_seed[1].keys()
    if len(common) >= SEEDS_FOR_SPREAD:
        pairs = ((*by_seed[0][seed], *by_seed[1][seed]) for seed in common)
        each = [intervals.difference_of_proportions(*pair) for pair in pairs]
        return mean_over_seeds(each).within(-1, 1), f"Student: {len(each)} seeds"
    (b, m), (a, n) = (map(sum, zip(*side.values(), strict=True)) for side in by_seed)
    return intervals.difference_of_proportions(b, m, a, n), f"Newcombe: {m} and {n} images"


def _alone(letter: str, own: Mapping[Any, Points], others: Mapping[Any, Points]) -> Iterator[str]:
    """Say which points only one run has."""
    names = [point.step.name for key in own if key not in others for point in own[key]]
    if names:
        more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
        yield f"Only in {letter}: {counted(len(names), 'point')}: {', '.join(names[:LISTED])}{more}"


def _notes(table: pd.DataFrame) -> Iterator[str]:
    if table.empty:
        yield "No point is in both runs."
        return
    yield (
        "Intervals are 95 %: Student's over three or more seeds, otherwise for the trained models "
        "at hand, without what another training (--seed) would change."
    )
    yield from (note for word, note in NOTES.items() if table["basis"].str.startswith(word).any())
    if ((table["basis"] == "") & table["a_low"].notna()).any():
        yield (
            "Other numbers have no B − A: they are no counts, or both sides were measured on the "
            "same test images."
        )


def write_csv(comparison: Compared, path: Path) -> None:
    """Write all of a comparison as one table; fractions are 0..1.

    The column ``kind`` is ``name`` (what A and B are), ``setting``, ``metric`` or ``note``.
    """
    a, b = comparison.sides
    lines = [("name", "name", "", a.name, b.name), ("name", "where", "", a.where, b.where)]
    lines += [("setting", x.name, x.of, *x.values) for x in comparison.settings]
    lines += [("note", note, "", "", "") for note in comparison.notes]
    told = pd.DataFrame(lines, columns=["kind", "metric", "of", "a", "b"], dtype=object)
    whole = pd.concat([told, comparison.table.assign(kind="metric")])
    leading = ["kind", *comparison.place, "metric", "of"]
    columns = [*leading, *(name for name in comparison.table if name not in leading)]
    path.write_text(whole.to_csv(columns=columns, index=False), encoding="utf-8")


def print_comparison(comparison: Compared, console: Console) -> None:
    """Print the settings that differ, the metrics, and what their intervals rest on."""
    for letter, side in zip("AB", comparison.sides, strict=True):
        print_lines(console, f"{letter}: {side.name}  ({side.where})")
    print_lines(console, "")
    if rows := [[x.name, x.of, *x.values] for x in comparison.settings]:
        print_table(console, ["setting", "of", "A", "B"], rows)
    print_lines(console, "" if rows else "no setting differs.")
    table = comparison.table
    varying = [x for x in comparison.place if len(table) and table[x].nunique(dropna=False) > 1]
    rows = [
        [*(word(line[column]) for column in varying), *_worded(line)]
        for line in table.to_dict("records")
        if (line["metric"] in HEADLINES if comparison.place else _telling(line))
    ]
    names = [name.replace("_", " ") for name in varying]
    print_table(console, [*names, "metric", "A", "B", "B − A"], rows)
    print_lines(console, "", *comparison.notes)


def _telling(line: Mapping[str, Any]) -> bool:
    """Whether a metric has an interval, or differs and is no count of a printed share."""
    differs = line["a"] != line["b"] and not line["metric"].endswith("_count")
    return line["metric"] == "n" or line["a_low"] is not None or differs


def _worded(line: Mapping[str, Any]) -> list[str]:
    """The name, both numbers and their difference, as text."""
    words = [str(line["metric"])]
    for column in ("a", "b"):
        value, low, high = _three(line, column)
        if value is None or isinstance(value, int):
            words.append("–" if value is None else f"{value:,}")
        elif low is None:
            words.append(f"{value:.4g}".replace("-", "−"))
        elif 0 <= low <= high <= 1:
            words.append(percent_interval(Estimate(value, low, high)))
        else:
            words.append(f"{value:.4g} [{low:.4g}, {high:.4g}]".replace("-", "−"))
    gap = _three(line, "b_minus_a")
    return [*words, "" if gap[0] is None else in_points(Estimate(*gap))]
