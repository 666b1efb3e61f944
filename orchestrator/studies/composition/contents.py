"""What a page of compositions shows of its own: Fig. 2, A6 and A8, triggers x samplers."""

from collections.abc import Mapping, Sequence
from typing import Any

from analysis import published
from analysis.page import figures as charts
from analysis.page.parts import inline, shelf, stems
from analysis.page.report import StudyReport
from analysis.page.sampler_figures import g1_by_sampler, trigger_ratio_by_sampler
from analysis.page.tables import NOTHING, Cell, Table, published_at_paper_guidance
from analysis.page.wording import (
    authors_weight,
    clip_name,
    percent,
    points,
    ratio_name,
    sampler_name,
    titled,
    trigger_name,
)
from analysis.rows import AcrossSamplers, Family, Row, across_samplers, guided
from analysis.statistics.comparison import between_points, level_of
from orchestrator.studies.composition.finding import clean_fact, headline
from orchestrator.studies.headings import heading


def figures(rows: Sequence[Row]) -> dict[str, str]:
    """Every figure as SVG text, by its file's name without the suffix."""
    drawn: dict[str, str] = {}
    found = across_samplers(rows)
    for start, subject in zip(_stems(found), found, strict=True):
        weight = subject.reported_guidance
        cells = [(name, family, _cell_name(family)) for name, family in _cells(start, subject)]
        for name, family in _thresholded(start, subject):
            title = f"{sampler_name(family.sampler)}, {clip_name(family.clip)}"  # more is cut off
            cells.append((name, family, title))
        for name, family, title in cells:
            if guided((*family.rows, *family.clean), weight):
                drawn[name] = charts.composition(family, weight, name, title)
        if subject.poison_ratios:
            theirs = [
                one for one in published.at_paper_guidance() if one.trigger == subject.trigger
            ]
            name = f"{start}-g1-by-sampler"
            drawn[name] = g1_by_sampler(subject, theirs, name)
            name = f"{start}-trigger-ratio-by-sampler"
            drawn[name] = trigger_ratio_by_sampler(subject, theirs, name)
    return drawn


def contents(report: StudyReport, rows: Sequence[Row], drawn: Mapping[str, str]) -> dict[str, Any]:
    """What this study's template is filled with.

    Args:
        report: What to show.
        rows: The report's, sorted.
        drawn: As `figures` gives for them.
    """
    found = across_samplers(rows)
    weight = found[0].reported_guidance if found else 5.0
    facts = [fact for subject in found for fact in headline(subject)]
    return {
        "facts": [*facts, *clean_fact(found)],
        "guidance": f"{weight:g}",
        "authors_guidance": f"{authors_weight(weight):g}",
        "more_weights": len({float(row["guidance_weight"]) for row in rows}) > 1,
        "subjects": [
            _subject(start, subject, report, drawn)
            for start, subject in zip(_stems(found), found, strict=True)
        ],
        "published": published_at_paper_guidance(rows, weight),
    }


def _subject(
    start: str, subject: AcrossSamplers, report: StudyReport, drawn: Mapping[str, str]
) -> dict[str, Any]:
    name = trigger_name(subject.trigger)
    cells = [
        inline(drawn, file, f"{name}, {sampler_name(family.sampler)}: composition by poison ratio")
        for file, family in _cells(start, subject)
    ]
    lines = [
        inline(drawn, f"{start}-{kind}-by-sampler", f"{name}: {words}")
        for kind, words in (
            ("g1", "G1 by sampler and poison ratio"),
            ("trigger-ratio", "trigger ratio by sampler and poison ratio"),
        )
    ]
    return {
        "name": heading(subject),
        "composition": [cell for cell in cells if cell],
        "samplers": [line for line in lines if line],
        "thresholded": [
            figure
            for file, family in _thresholded(start, subject)
            if (figure := inline(drawn, file, f"{name}, {_cell_name(family)}: composition"))
        ],
        "thresholding": thresholding(subject),
        "gallery": _gallery(subject, report),
    }


def thresholding(subject: AcrossSamplers) -> Table:
    """G1 and G2 with every way of thresholding, a line a sampler and poison ratio.

    Beneath a number is its difference from the first column's, which is of the usual way.
    """
    ways = list(dict.fromkeys(family.clip for family in subject.thresholded))
    weight, lines = subject.reported_guidance, []
    for family in subject.families:
        others = [
            next((one for one in subject.thresholded if (one.sampler, one.clip) == key), None)
            for key in ((family.sampler, way) for way in ways)
        ]
        for ratio in family.poison_ratios:
            own = family.at(ratio, weight)
            further = [other.at(ratio, weight) if other else [] for other in others]
            if not own or not any(further):
                continue
            cells = [Cell(sampler_name(family.sampler)), Cell(ratio_name(ratio))]
            for group in ("g1", "g2"):
                cells.append(Cell(percent(level_of(own, group).estimate.value)))
                cells += [_changed(rows, own, group) for rows in further]
            lines.append(cells)
    named = [clip_name(clip) or "unthresholded" for clip in (subject.families[0].clip, *ways)]
    headers = [f"{group}, {name}" for group in ("G1", "G2") for name in named]
    return Table(("sampler", "p", *headers), lines, 1)


def _changed(rows: Sequence[Row], own: Sequence[Row], group: str) -> Cell:
    if not rows:
        return Cell(NOTHING)
    change = between_points(rows, own, group).estimate
    return Cell(percent(level_of(rows, group).estimate.value), points(change))


def _gallery(subject: AcrossSamplers, report: StudyReport) -> list[dict[str, Any]]:
    """Per sampler, per poison ratio with the controls, per group: a grid of images."""
    shelves = []
    for family in (*subject.families, *subject.thresholded):
        every = (*family.clean, *family.rows, *family.relabel_only)
        if lines := shelf(guided(every, subject.reported_guidance), report):
            shelves.append({"name": _cell_name(family), "lines": lines, "open": False})
    return shelves


def _cell_name(family: Family) -> str:
    words = [trigger_name(family.trigger), sampler_name(family.sampler), clip_name(family.clip)]
    return titled(", ".join(word for word in words if word))


def _stems(found: Sequence[AcrossSamplers]) -> list[str]:
    return stems((subject.trigger,) for subject in found)


def _cells(start: str, subject: AcrossSamplers) -> list[tuple[str, Family]]:
    """A trigger's families with the file names of their figures."""
    names = stems((start, family.sampler, "composition") for family in subject.families)
    return list(zip(names, subject.families, strict=True))


def _thresholded(start: str, subject: AcrossSamplers) -> list[tuple[str, Family]]:
    """The same of its families that were thresholded in other ways."""
    found = subject.thresholded
    names = stems((start, family.sampler, family.clip, "composition") for family in found)
    return list(zip(names, found, strict=True))
