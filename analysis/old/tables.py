"""The tables of a page: numbers as words, a cell with its interval in small print beneath."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from analysis.old.rows import Row
from analysis.page.page import Stage
from analysis.page.wording import (
    bounds,
    percent,
)
from analysis.statistics.intervals import Estimate, wilson

NOTHING = "–"
PLACE = ("trigger", "sampler", "p", "w")
"""Headers of the cells that say which point a line is about."""
JUDGED_BY = ("judge", "template_match")
TEMPLATE_MATCH = ("template_trigger_ratio", "template_agreement")
"""What stands beside the trigger judge's numbers."""


class Cell(NamedTuple):
    """What one place of a table says."""

    text: str
    """The number or word."""
    small: str = ""
    """Beneath it, such as an interval."""


@dataclass(frozen=True)
class Table:
    """A table as the template lays it out."""

    headers: tuple[str, ...]
    """A word a column."""
    rows: list[list[Cell]]
    """A cell a column."""
    words: int
    """How many columns from the left hold words; the others hold numbers, aligned right."""


def stages(done: Sequence[Stage]) -> Table:
    """How long every step took, what was cached, and the most memory it held."""
    lines = [
        [
            Cell(stage.task),
            Cell(stage.label),
            Cell("cached" if stage.cached else "made now"),
            Cell(_duration(stage.seconds)),
            Cell(NOTHING if stage.peak_memory_bytes is None else _size(stage.peak_memory_bytes)),
        ]
        for stage in done
    ]
    return Table(("task", "step", "this time", "took", "peak memory"), lines, 3)


def tasks(done: Sequence[Stage]) -> Table:
    """The same added up by task, in the order in which tasks first come."""
    lines = []
    for task in dict.fromkeys(stage.task for stage in done):
        steps = [stage for stage in done if stage.task == task]
        peaks = [stage.peak_memory_bytes for stage in steps if stage.peak_memory_bytes is not None]
        lines.append(
            [
                Cell(task),
                Cell(str(len(steps))),
                Cell(str(sum(not stage.cached for stage in steps))),
                Cell(_duration(sum(stage.seconds for stage in steps))),
                Cell(_duration(max(stage.seconds for stage in steps))),
                Cell(_size(max(peaks)) if peaks else NOTHING),
            ]
        )
    headers = ("task", "steps", "made now", "took in all", "longest step", "peak memory")
    return Table(headers, lines, 1)


def rate(row: Row, name: str, trials: str) -> Cell:
    """A proportion with its count and Wilson interval; a dash where the row has none."""
    if row.get(name) is None:
        return Cell(NOTHING)
    n = int(row[trials])
    count = round(float(row[name]) * n)
    estimate = Estimate(float(row[name]), *wilson(count, n))
    return Cell(percent(estimate.value), f"{count} of {n}, {bounds(estimate)}")


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    return f"{int(seconds // 60)} min {seconds % 60:.0f} s"


def _size(count: int) -> str:
    return f"{count / 2**20:.0f} MiB"
