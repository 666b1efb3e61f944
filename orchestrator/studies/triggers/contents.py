"""What a page of triggers shows of its own: Fig. A2, A3 and A4, trigger beside trigger."""

from collections.abc import Mapping, Sequence
from typing import Any

from analysis.page import figures as charts
from analysis.page.parts import inline, shelf, stems
from analysis.page.report import StudyReport
from analysis.page.strips import strip
from analysis.page.tables import NOTHING, Cell, Table, published_at_paper_guidance
from analysis.page.wording import (
    authors_weight,
    bounds,
    percent,
    ratio_name,
    sampler_name,
    times,
    titled,
    trigger_name,
)
from analysis.rows import AmongTriggers, Row, among_triggers, guided
from analysis.statistics.comparison import level_of
from analysis.statistics.intervals import Estimate
from orchestrator.studies.triggers.finding import headline, side_by_side


def figures(rows: Sequence[Row]) -> dict[str, str]:
    """Every figure as SVG text, by its file's name without the suffix."""
    found = side_by_side(among_triggers(rows))
    return {
        name: charts.compositions([one.own for one in own], own[0].reported_guidance, name)
        for name, own in zip(_stems(found), found, strict=True)
    }


def contents(report: StudyReport, rows: Sequence[Row], drawn: Mapping[str, str]) -> dict[str, Any]:
    """What this study's template is filled with.

    Args:
        report: What to show.
        rows: The report's, sorted.
        drawn: As `figures` gives for them.
    """
    subjects = among_triggers(rows)
    found = side_by_side(subjects)
    weight = subjects[0].reported_guidance if subjects else 5.0
    return {
        "facts": headline(subjects),
        "examples": [],  # the strip has them all
        "strip": strip(report.strip),
        "guidance": f"{weight:g}",
        "authors_guidance": f"{authors_weight(weight):g}",
        "more_weights": len({float(row["guidance_weight"]) for row in rows}) > 1,
        "panels": [
            {
                "name": _place(own) if len(found) > 1 else "",
                "figure": inline(drawn, name, f"{_place(own)}: composition by trigger"),
                "table": _compositions(own),
            }
            for name, own in zip(_stems(found), found, strict=True)
        ],
        "galleries": [
            {"name": _place(own) if len(found) > 1 else "", "shelves": _gallery(own, report)}
            for own in found
        ],
        "published": published_at_paper_guidance(rows, weight),
    }


def _place(own: Sequence[AmongTriggers]) -> str:
    return f"Class {own[0].target_class}, {sampler_name(own[0].sampler)}"


def _stems(found: Sequence[Sequence[AmongTriggers]]) -> list[str]:
    return stems(("compositions", own[0].sampler) for own in found)


def _compositions(own: Sequence[AmongTriggers]) -> Table:
    """Each trigger and ratio at the reported guidance: what was trained on, what came out."""
    names = ("g1", "g2", "g3", "g4", "trigger_ratio", "mismatch_ratio")
    lines = []
    for one in own:
        for ratio in one.poison_ratios:
            rows = one.at(ratio)
            p_t = float(rows[0]["p_t"])
            levels = {name: level_of(rows, name).estimate for name in names}
            lines.append(
                [
                    Cell(titled(trigger_name(one.trigger)), _judged_by(one)),
                    Cell(ratio_name(ratio)),
                    Cell(f"{int(rows[0]['n_poisoned']):,}"),
                    Cell(percent(p_t)),
                    Cell(percent(float(rows[0]["relabelled_ratio"]))),
                    *(_level(levels[name]) for name in names[:5]),
                    Cell(times(levels["trigger_ratio"].value / p_t) if p_t > 0 else NOTHING),
                    _level(levels["mismatch_ratio"]),
                ]
            )
    trained = ("trigger", "p", "poisoned images", "p_t", "relabelled")
    drawn = ("G1", "G2", "G3", "G4", "trigger ratio", "÷ p_t", "mismatches G1 + G3")
    return Table((*trained, *drawn), lines, 2)


def _judged_by(one: AmongTriggers) -> str:
    judge = str(one.own.rows[0]["judge_trigger"])
    return "" if judge == one.trigger else f"judged with {trigger_name(judge)}"


def _level(estimate: Estimate) -> Cell:
    return Cell(percent(estimate.value), bounds(estimate))


def _gallery(own: Sequence[AmongTriggers], report: StudyReport) -> list[dict[str, Any]]:
    """Per trigger, per poison ratio with its clean control, per group: a grid of images."""
    shelves = []
    for one in own:
        every = (*one.own.clean, *one.own.rows)
        if lines := shelf(guided(every, one.reported_guidance), report):
            name = titled(trigger_name(one.trigger))
            shelves.append({"name": name, "lines": lines, "open": False})
    return shelves
