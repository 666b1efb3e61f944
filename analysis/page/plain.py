"""The page of a study that has none of its own: a table, and a figure of its first metric."""

from collections.abc import Sequence

from analysis import names
from analysis.page import tables
from analysis.page.figures import Figure, curve, lines
from analysis.page.glossary import GLOSSARY, definitions
from analysis.page.page import Page, Panels, Report, Section
from analysis.rows import KEY, Rows, groups, has, poisoned
from analysis.statistics.intervals import Estimate
from analysis.wording import counted, titled

TERMS = {
    "G1, G2, G3, G4": "g1 g2 g3 g4 mismatch trigger_ratio amplification",
    "p_t": "p_t trigger_ratio amplification",
    "Trigger ratio, amplification": "trigger_ratio amplification",
    "Guidance weight w": "guidance_weight",
    "Seed": "seed",
    "Template match": "template",
    "Corrected values": "corrected",
    "AUROC": "auroc",
    "TPR at 1% FPR, at 5% FPR": "tpr",
    "Test accuracy (TA)": "test_accuracy",
    "Attack success rate (ASR)": "attack_success_rate",
}
"""By term of the glossary, parts of the names of the columns that it explains."""
FORMATS = {
    "difference": (tables.POINTS, "points"),
    "change": (tables.POINTS, "points"),
    "gain": (tables.GAIN, ""),
    "auroc": (tables.AREA, "area"),
    "amplification": (tables.TIMES, "times"),
}
"""How columns are written that are no shares, by a part of the column's name; the first holds."""


def terms_of(columns: Sequence[str]) -> list[str]:
    """The terms of the glossary that explain some columns of rows, in reading order."""
    words = {term for term in TERMS for part in TERMS[term].split() if part in " ".join(columns)}
    return [term for term in GLOSSARY if term in words | {"Poison ratio p", "Intervals"}]


def metrics_of(rows: Rows, told: Sequence[str] = ()) -> list[str]:
    """What a plain page shows: the columns that a study names, or all that have an interval."""
    bounded = [column for column in rows if has(rows, f"{column}_low")]
    return [name for name in told or bounded if has(rows, name) and name not in KEY]


def plain_columns(rows: Rows, metrics: Sequence[str]) -> list[tables.Column]:
    """The columns of a table: the coordinates that differ, then the metrics."""
    where = tables.varying(rows, "trigger", "poison_ratio", seeds=True)
    return [*tables.coordinates(*where), *(_column(rows, metric) for metric in metrics)]


def plain_sentence(rows: Rows) -> str:
    """How much was measured."""
    return f"{counted(len(rows), 'point')} measured."


def plain_page(report: Report, metrics: Sequence[str]) -> Page:
    """A page of some columns of the rows, the first of them drawn against the poison ratio."""
    rows = report.rows
    sections = []
    if metrics and len(poisoned(rows)):
        drawn = Panels([_figure(poisoned(rows), metrics[0])], "one")
        sections.append(Section("figure", titled(names.metric(metrics[0])), "", [drawn]))
    where = tables.varying(rows, "trigger", "poison_ratio", seeds=True)
    shown = tables.table(rows, plain_columns(rows, metrics), by=where, words=len(where))
    return Page(
        sentence=plain_sentence(rows),
        sections=sections,
        numbers=[shown],
        definitions=definitions(*terms_of([*where, *metrics]), trigger=rows),
    )


def _column(rows: Rows, metric: str) -> tables.Column:
    shown, _ = _format(rows, metric)
    lowest = -1 if shown in (tables.POINTS, tables.GAIN) else 0
    return tables.Column(names.metric(metric), metric, shown, lowest=lowest)


def _format(rows: Rows, metric: str) -> tuple[tables.Format, str]:
    """How a column is written in a table, and what its axis is for `lines`."""
    known = (found for part, found in FORMATS.items() if part in metric)
    share = metric == "p_t" or has(rows, f"{metric}_low")
    return next(known, (tables.PERCENT, "share") if share else (tables.NUMBER, ""))


def _figure(rows: Rows, metric: str) -> Figure:
    by = [column for column in tables.varying(rows, "trigger") if column != "poison_ratio"]
    curves = [
        curve(names.place(**at), own, "poison_ratio", lambda point: _estimate(point, metric))
        for at, own in groups(rows, *by)
    ]
    _, y = _format(rows, metric)
    return lines(metric, titled(names.metric(metric)), curves, x="poison_ratio", y=y)


def _estimate(rows: Rows, metric: str) -> Estimate | None:
    found = tables.joined(rows, metric)
    return Estimate(found, found, found) if isinstance(found, float) else found
