"""The page of a study that has none of its own: a table, and a figure of its first metric."""

from collections.abc import Sequence

from analysis.names import place
from analysis.page.figures import Figure, curve, lines
from analysis.page.glossary import definitions
from analysis.page.page import Page, Panels, Report, Section
from analysis.page.tables import NUMBER, PERCENT, Column, coordinates, joined, table, varying
from analysis.rows import KEY, Rows, groups, has, poisoned
from analysis.statistics.intervals import Estimate
from analysis.wording import counted, titled


def metrics_of(rows: Rows, told: Sequence[str] = ()) -> list[str]:
    """What a plain page shows: the columns that a study names, or all that have an interval."""
    bounded = [column for column in rows if has(rows, f"{column}_low")]
    return [name for name in told or bounded if has(rows, name) and name not in KEY]


def plain_columns(rows: Rows, metrics: Sequence[str]) -> list[Column]:
    """The columns of a table: the coordinates that differ, then the metrics."""
    where = varying(rows, "trigger", "poison_ratio", seeds=True)
    return [*coordinates(*where), *(_column(rows, metric) for metric in metrics)]


def plain_sentence(rows: Rows) -> str:
    """How much was measured."""
    return f"{counted(len(rows), 'point')} measured."


def plain_page(report: Report, metrics: Sequence[str]) -> Page:
    """A page of some columns of the rows, the first of them drawn against the poison ratio."""
    rows = report.rows
    sections = []
    if metrics and len(poisoned(rows)):
        words = metrics[0].replace("_", " ")
        drawn = Panels([_figure(poisoned(rows), metrics[0])], "one")
        sections.append(Section("figure", titled(words), "", [drawn]))
    where = varying(rows, "trigger", "poison_ratio", seeds=True)
    shown = table(rows, plain_columns(rows, metrics), by=where, words=len(where))
    return Page(
        sentence=plain_sentence(rows),
        sections=sections,
        numbers=[shown],
        definitions=definitions("Poison ratio p", "Seed", trigger=rows),
    )


def _column(rows: Rows, metric: str) -> Column:
    share = has(rows, f"{metric}_low") or metric == "p_t"
    return Column(metric.replace("_", " "), metric, PERCENT if share else NUMBER)


def _figure(rows: Rows, metric: str) -> Figure:
    by = [column for column in varying(rows, "trigger") if column != "poison_ratio"]
    curves = [
        curve(place(**at), own, "poison_ratio", lambda point: _estimate(point, metric))
        for at, own in groups(rows, *by)
    ]
    return lines(metric, titled(metric.replace("_", " ")), curves, x="poison_ratio", y="")


def _estimate(rows: Rows, metric: str) -> Estimate | None:
    found = joined(rows, metric)
    return Estimate(found, found, found) if isinstance(found, float) else found
