"""Turn a report into what its page shows, section by section; the template only lays it out."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from analysis import figures as charts
from analysis import paper
from analysis.amplification import Transition, transition
from analysis.claims import PAPER_GUIDANCE, Judgment, judge
from analysis.composition import GROUPS
from analysis.definitions import definitions
from analysis.grids import grid
from analysis.page import StudyReport
from analysis.results import headline, reported_guidance, summary
from analysis.rows import Family, Row, families, guided, row_key, same, sort_rows
from analysis.style import inlined
from analysis.tables import (
    corrections,
    judges,
    measurements,
    other_conditions,
    published,
    stages,
    tasks,
    transitions,
)
from analysis.verdicts import Verdict
from analysis.wording import percent, ratio_name, trigger_name

GALLERY_COLUMNS, GALLERY_ROWS = 6, 4
"""How many images of a group the gallery shows: 6 times 4."""

GROUP_WORDS = {
    "g1": "trigger, mismatch",
    "g2": "trigger, match",
    "g3": "no trigger, mismatch",
    "g4": "no trigger, match",
}


def figures(rows: Sequence[Row]) -> dict[str, str]:
    """Every figure of a page as SVG text, by its file's name without the suffix."""
    drawn: dict[str, str] = {}
    for number, family in enumerate(families(rows)):
        stem = _stem(number, family)
        theirs = paper.ratio_sweep(family.trigger, PAPER_GUIDANCE)
        sweep = paper.guidance_sweep(family.trigger, 0.1)
        for weight in family.guidance_weights:
            name = f"{stem}-composition-w{weight:g}"
            drawn[name] = charts.composition(family, weight, name)
        for name, difference in (("amplification", False), ("amplification-difference", True)):
            name = f"{stem}-{name}-by-ratio"
            drawn[name] = charts.amplification_by_ratio(family, theirs, difference, name)
        for name, amplified in (("trigger-ratio", False), ("amplification", True)):
            name = f"{stem}-{name}-by-guidance"
            drawn[name] = charts.trigger_by_guidance(family, sweep, amplified, name)
        for weight, curve in _transitions(family):
            name = f"{stem}-transition-w{weight:g}"
            drawn[name] = charts.transition_gaps(family, curve, weight, name)
    return drawn


def contents(report: StudyReport, drawn: Mapping[str, str]) -> dict[str, Any]:
    """What the template is filled with.

    Args:
        report: What to show.
        drawn: As `figures` gives for the report's rows.
    """
    rows = sort_rows(report.rows)
    judgments = judge(rows)
    found = families(rows)
    return {
        "report": report,
        "summary": summary(rows),
        "groups": [(group, group.upper(), GROUP_WORDS[group]) for group in GROUPS],
        "example": _example(report),
        "facts": [fact for family in found for fact in headline(family)],
        "verdicts": _verdict_counts(judgments),
        "families": [
            _family(number, family, report, drawn, judgments) for number, family in enumerate(found)
        ],
        "published": published(rows),
        "dashed_lines": _dashed_lines(),
        "measurements": measurements(rows),
        "corrections": corrections(rows),
        "judges": judges(rows),
        "others": other_conditions(rows),
        "definitions": definitions(
            images_per_point=sorted({int(row["n"]) for row in rows}),
            guidance_weights=sorted({float(row["guidance_weight"]) for row in rows}),
            ema_decay=report.ema_decay,
        ),
        "stages": stages(report.stages),
        "tasks": tasks(report.stages),
    }


def _family(
    number: int,
    family: Family,
    report: StudyReport,
    drawn: Mapping[str, str],
    judgments: Sequence[Judgment],
) -> dict[str, Any]:
    stem = _stem(number, family)
    name = trigger_name(family.trigger)
    curves = _transitions(family)

    def shown(*kinds: str) -> list[Markup]:
        # Markup: SVG that we drew; words in it were escaped when it was drawn.
        return [
            Markup(inlined(svg, f"{name}: {file.removeprefix(stem + '-').replace('-', ' ')}"))
            for kind in kinds
            for file, svg in drawn.items()
            if re.fullmatch(f"{re.escape(stem)}-{kind}", file)
        ]

    return {
        "name": name,
        "target": family.target_class,
        "sampler": family.sampler,
        "composition": shown(r"composition-w.*"),
        "amplification": shown(
            "amplification-by-ratio",
            "amplification-difference-by-ratio",
            "trigger-ratio-by-guidance",
            "amplification-by-guidance",
        ),
        "transition": shown(r"transition-w.*"),
        "transitions": transitions(curves),
        "over_images": any(curve.resampled == "images" for _, curve in curves),
        "gallery": _gallery(family, report),
        "judgments": [
            {
                "verdict": judgment.verdict.value,
                "kind": judgment.verdict.name.lower(),
                "claim": judgment.claim,
                "parts": judgment.parts,
            }
            for judgment in judgments
            if judgment.family == family
        ],
    }


def _transitions(family: Family) -> list[tuple[float, Transition]]:
    curves = [
        (weight, transition(guided(family.rows, weight))) for weight in family.guidance_weights
    ]
    return [(weight, curve) for weight, curve in curves if curve is not None]


def _gallery(family: Family, report: StudyReport) -> list[dict[str, Any]]:
    """Per guidance weight, per poison ratio with both controls, per group: a grid of images."""
    shelves = []
    first_seed = min(row["seed"] for row in family.rows)
    for weight in family.guidance_weights:
        lines = []
        for row in (
            *guided(family.clean, weight),
            *guided(family.rows, weight),
            *guided(family.relabel_only, weight),
        ):
            if row["seed"] != first_seed:
                continue
            images = report.groups.get(row_key(row))
            if images is not None:
                lines.append({"name": _point_name(row), "cells": _cells(row, images)})
        if lines:
            shelves.append(
                {
                    "weight": f"{weight:g}",
                    "lines": lines,
                    "open": same(weight, reported_guidance(family)),
                }
            )
    return shelves


def _point_name(row: Row) -> str:
    names = {"none": "clean, p = 0", "relabel_only": f"relabel-only, {_ratio(row)}"}
    return names.get(row["trigger"], f"p = {_ratio(row)}")


def _ratio(row: Row) -> str:
    return ratio_name(float(row["poison_ratio"]))


def _cells(row: Row, images: Mapping[str, Any]) -> list[dict[str, Any]]:
    cells = []
    for group in GROUPS:
        shown = images.get(group)
        cell = {
            "group": group,
            "name": group.upper(),
            "share": percent(float(row[group])),
            "count": int(row[f"{group}_count"]),
            "image": None,
        }
        if shown is not None and len(shown):
            lines = min(GALLERY_ROWS, -(-len(shown) // GALLERY_COLUMNS))
            cell["image"] = Markup(grid(shown, GALLERY_COLUMNS, lines))
        cells.append(cell)
    return cells


def _example(report: StudyReport) -> list[tuple[Markup, Markup]]:
    if report.trigger_example is None:
        return []
    clean, stamped = report.trigger_example
    return [
        (Markup(grid(before[None], 1, 1)), Markup(grid(after[None], 1, 1)))
        for before, after in zip(clean[:6], stamped[:6], strict=True)
    ]


def _verdict_counts(judgments: Sequence[Judgment]) -> list[tuple[str, str, int]]:
    verdicts = [judgment.verdict for judgment in judgments]
    return [
        (verdict.value, verdict.name.lower(), verdicts.count(verdict))
        for verdict in Verdict
        if verdict in verdicts
    ]


def _dashed_lines() -> list[tuple[str, list[tuple[str, str]]]]:
    return [
        (dataset, [(ratio_name(ratio), percent(p_t)) for ratio, p_t in lines.items()])
        for dataset, lines in paper.DASHED_LINES.items()
    ]


def _stem(number: int, family: Family) -> str:
    """Start of a family's file names; its number keeps two apart whose words come out alike."""
    words = f"{family.trigger}-{family.sampler}"
    safe = re.sub(r"[^a-z0-9_-]", "-", words.lower())
    return safe if number == 0 else f"{safe}-{number + 1}"
