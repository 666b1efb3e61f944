"""Tables as data: columns (header, metric, format) over the rows of a study, a line a point."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from statistics import stdev
from typing import Any, NamedTuple, TypeAlias

from analysis import wording
from analysis.names import name
from analysis.rows import KEY, Row, Rows, groups, records, select, values
from analysis.statistics.comparison import bounded, counted, level_of
from analysis.statistics.intervals import Estimate, proportion

NOTHING = "–"
HEADERS = {
    "poison_ratio": "p",
    "guidance_weight": "w",
    "target_class": "class",
    "image_set": "images",
    "noise_model": "model",
    "filter_ratio": "filter",
    "judge_trigger": "judge",
    "trigger_pixels": "pixels",
}
"""Headers of coordinates; other ones are called by their column's name."""
PLACE = tuple(column for column in KEY[2:] if column not in ("seed", "judge_trigger"))
"""The coordinates of a point, its seed aside."""


class Cell(NamedTuple):
    """What one place of a table says."""

    text: str
    small: str = ""
    """Beneath the text, such as an interval."""
    mark: str = ""
    """A word in a badge, such as a verdict."""
    tone: str = ""
    """The badge's color: ``supported``, ``failed``, ``undecided``, ``equal`` or ``not_tested``."""
    fold: tuple[str, str] = ("", "")
    """What opens with a click: its title and its text."""


@dataclass(frozen=True)
class Table:
    """A table as a page lays it out."""

    headers: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    words: int = 1
    """How many columns from the left hold words; the others hold numbers, aligned to the right."""
    wraps: bool = False
    """Whether it holds sentences: they are broken into lines, and a phone shows a cell a line."""


class Format(NamedTuple):
    """How a number is written, and an interval alone."""

    value: Callable[[float], str]
    bounds: Callable[[Estimate], str]


def _to(show: Callable[[float], str]) -> Callable[[Estimate], str]:
    return lambda estimate: f"{show(estimate.low)} to {show(estimate.high)}"


PERCENT = Format(wording.percent, wording.bounds)
POINTS = Format(wording.point, _to(lambda value: wording.point(value).removesuffix(" points")))
TIMES = Format(wording.times, _to(wording.times))
AREA = Format(wording.area, _to(wording.area))
GAIN = Format(wording.gain, _to(wording.gain))
NUMBER = Format(lambda value: f"{value:,.6g}", _to(lambda value: f"{value:,.6g}"))

Metric: TypeAlias = "str | Callable[[Rows], Cell | Estimate | float | str | None]"
"""A column of the rows, or a function of the rows of one point."""


@dataclass(frozen=True)
class Column:
    """One column of a table."""

    header: str
    metric: Metric
    format: Format = PERCENT
    interval: bool = True
    """Whether the interval is shown, where there is one."""
    lowest: float = field(default=0, kw_only=True)
    """The smallest possible value: -1 for a difference of fractions."""
    printed: str = field(default="", kw_only=True)
    """The paper's column beside it, if the metric is a function."""


def coordinates(*columns: str) -> list[Column]:
    """A column for each coordinate, such as ``trigger``."""

    def shown(column: str) -> Metric:
        return lambda rows: name(column, records(rows)[0].get(column)) or NOTHING

    return [
        Column(HEADERS.get(column, column.replace("_", " ")), shown(column)) for column in columns
    ]


def varying(rows: Rows, *always: str, seeds: bool = False) -> list[str]:
    """The coordinates that differ among some rows, and those that are always shown."""
    every = (*PLACE, "seed") if seeds else PLACE
    return [
        column
        for column in KEY
        if column in every and (column in always or len(values(rows, column)) > 1)
    ]


def table(
    rows: Rows, columns: Sequence[Column], *, by: Sequence[str] = PLACE, words: int = 1
) -> Table:
    """A table with a line for each point, in display order.

    Points are told apart ``by`` some coordinates; the seeds of one are joined.
    """
    lines = [[_cell(own, column) for column in columns] for _, own in groups(rows, *by)]
    return Table([column.header for column in columns], lines, words)


def for_terminal(rows: Rows, columns: Sequence[Column]) -> tuple[list[str], list[list[str]]]:
    """Headers and lines of plain words, a line for each row."""
    shown = table(rows, columns, by=(*PLACE, "judge_trigger", "seed"))
    return list(shown.headers), [[_plain(cell) for cell in line] for line in shown.rows]


def joined(rows: Rows, metric: str, lowest: float = 0) -> Estimate | float | None:
    """A metric over the seeds of one point; None where none defines it.

    It has an interval where the rows have counts or bounds for it, and is else the plain mean.
    """
    defined = [row for row in records(rows) if row.get(metric) is not None]
    if not defined:
        return None
    if _is_counted(defined[0], metric):
        return level_of(defined, metric).estimate
    if defined[0].get(f"{metric}_low") is not None:
        found = bounded(defined, metric, lowest)
        return found.estimate if found else None
    return sum(float(row[metric]) for row in defined) / len(defined)


def rate(metric: str, trials: str) -> Metric:
    """A proportion of a judge's test images with its count: they are the same for all seeds."""

    def shown(rows: Rows) -> Cell | None:
        row = records(rows)[0]
        if row.get(metric) is None:
            return None
        n = int(row[trials])
        count = round(float(row[metric]) * n)
        interval = wording.bounds(proportion(count, n))
        return Cell(wording.percent(count / n), f"{count} of {n}, {interval}")

    return shown


def images(column: str = "n") -> Metric:
    """How many images a point counts, over its seeds."""

    def shown(rows: Rows) -> Cell:
        total = sum(int(row[column]) for row in records(rows))
        return Cell(f"{total:,}", "" if len(rows) == 1 else f"{len(rows)} seeds")

    return shown


def beside(cells: Rows, rows: Rows, columns: Sequence[Column], place: Sequence[str]) -> Table:
    """The numbers of `analysis.published.printed`, ours beneath at the same coordinates.

    Args:
        cells: The paper's.
        rows: Ours.
        columns: The metrics; a function among them has `Column.printed`.
        place: The coordinates that are compared, and shown.
    """
    headers = ["source", "data", *(column.header for column in coordinates(*place))]
    lines = []
    for cell in records(cells):
        at = {column: cell[column] for column in place if cell[column] is not None}
        ours = select(rows, **at)
        line = [Cell(cell["source"]), Cell(cell["dataset"])]
        line += [Cell(name(column, cell[column]) or NOTHING) for column in place]
        for column in columns:
            theirs = cell.get(column.printed or str(column.metric))
            printed = NOTHING if theirs is None else column.format.value(float(theirs))
            own = _cell(ours, column).text if len(ours) else NOTHING
            line.append(Cell(printed, f"ours {own}"))
        lines.append(line)
    return Table([*headers, *(column.header for column in columns)], lines, 2 + len(place))


def _cell(rows: Rows, column: Column) -> Cell:
    metric, show = column.metric, column.format
    found = metric(rows) if callable(metric) else joined(rows, metric, column.lowest)
    if isinstance(found, Cell):
        return found
    if found is None or isinstance(found, str):
        return Cell(NOTHING if found is None else found)
    if not isinstance(found, Estimate):
        return Cell(show.value(float(found)))
    if not column.interval:
        return Cell(show.value(found.value))
    spread = _spread(rows, metric) if show is PERCENT and isinstance(metric, str) else ""
    return Cell(show.value(found.value), spread + show.bounds(found))


def _spread(rows: Rows, metric: str) -> str:
    seen = [float(row[metric]) for row in records(rows) if row.get(metric) is not None]
    return f"sd {100 * stdev(seen):.1f}, " if len(seen) > 1 else ""


def _plain(cell: Cell) -> str:
    if not cell.small:
        return "" if cell.text == NOTHING else cell.text
    return f"{cell.text} [{cell.small.replace(' to ', ', ')}]"


def _is_counted(row: Row, metric: str) -> bool:
    try:
        counted(row, metric)
    except (KeyError, TypeError):
        return False
    return True


def steps(done: Sequence[Any]) -> tuple[Table, Table]:
    """How long each step (`analysis.page.page.Stage`) took, by task and one by one."""
    tasks, every = [], []
    for task in dict.fromkeys(stage.task for stage in done):
        own = [stage for stage in done if stage.task == task]
        seconds = [stage.seconds for stage in own]
        made = sum(not stage.cached for stage in own)
        took = (_duration(sum(seconds)), _duration(max(seconds)), _peak(own))
        tasks.append([*map(Cell, (task, str(len(own)), str(made), *took))])
    for one in done:
        now = "cached" if one.cached else "made now"
        every.append([*map(Cell, (one.task, one.label, now, _duration(one.seconds), _peak([one])))])
    headers = ("task", "steps", "made now", "took in all", "longest step", "peak memory")
    shown = Table(("task", "step", "this time", "took", "peak memory"), every, 3)
    return Table(headers, tasks), shown


def _peak(done: Sequence[Any]) -> str:
    peaks = [one.peak_memory_bytes for one in done if one.peak_memory_bytes is not None]
    return f"{max(peaks) / 2**20:,.0f} MiB" if peaks else NOTHING


def _duration(seconds: float) -> str:
    whole = f"{int(seconds // 60)} min {seconds % 60:.0f} s"
    return f"{seconds:.1f} s" if seconds < 60 else whole
