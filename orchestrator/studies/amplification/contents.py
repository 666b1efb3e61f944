"""What a page of trigger amplification shows of its own: Fig. 3, 4 and A7, a family at a time."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from analysis import published as paper
from analysis.page import figures as charts
from analysis.page.parts import inline, shelf, stems
from analysis.page.report import StudyReport
from analysis.page.tables import published, transitions
from analysis.page.wording import trigger_name
from analysis.rows import PAPER_GUIDANCE, Family, Row, families, guided, same
from analysis.statistics.transition import Transition, transition
from orchestrator.studies.amplification.finding import headline
from orchestrator.studies.headings import heading


def figures(rows: Sequence[Row]) -> dict[str, str]:
    """Every figure as SVG text, by its file's name without the suffix."""
    drawn: dict[str, str] = {}
    found = families(rows)
    for start, family in zip(_stems(found), found, strict=True):
        theirs = paper.ratio_sweep(family.trigger, PAPER_GUIDANCE)
        sweep = paper.guidance_sweep(family.trigger, 0.1)
        for weight in family.guidance_weights:
            name = f"{start}-composition-w{weight:g}"
            drawn[name] = charts.composition(family, weight, name)
        for name, difference in (("amplification", False), ("amplification-difference", True)):
            name = f"{start}-{name}-by-ratio"
            drawn[name] = charts.amplification_by_ratio(family, theirs, difference, name)
        for name, amplified in (("trigger-ratio", False), ("amplification", True)):
            name = f"{start}-{name}-by-guidance"
            drawn[name] = charts.trigger_by_guidance(family, sweep, amplified, name)
        for weight, curve in _transitions(family):
            name = f"{start}-transition-w{weight:g}"
            drawn[name] = charts.transition_gaps(family, curve, weight, name)
    return drawn


def contents(report: StudyReport, rows: Sequence[Row], drawn: Mapping[str, str]) -> dict[str, Any]:
    """What this study's template is filled with.

    Args:
        report: What to show.
        rows: The report's, sorted.
        drawn: As `figures` gives for them.
    """
    found = families(rows)
    several = len(found) > 1
    return {
        "facts": [fact for family in found for fact in headline(family, several)],
        "families": [
            _family(start, family, report, drawn)
            for start, family in zip(_stems(found), found, strict=True)
        ],
        "published": published(rows),
    }


def _family(
    start: str, family: Family, report: StudyReport, drawn: Mapping[str, str]
) -> dict[str, Any]:
    name = trigger_name(family.trigger)
    curves = _transitions(family)

    def shown(*kinds: str) -> list[Markup]:
        return [
            picture
            for kind in kinds
            for file in drawn
            if re.fullmatch(f"{re.escape(start)}-{kind}", file)
            and (picture := inline(drawn, file, _described(name, file.removeprefix(start))))
        ]

    return {
        "name": heading(family),
        "composition": shown(r"composition-w.*"),
        "amplification": shown(
            "amplification-by-ratio",
            "amplification-difference-by-ratio",
            "trigger-ratio-by-guidance",
            "amplification-by-guidance",
        ),
        "transition": shown(r"transition-w.*"),
        "transitions": transitions(curves),
        "few_seeds": any(curve.gap.interval is None for _, curve in curves),
        "gallery": _gallery(family, report),
    }


def _stems(found: Sequence[Family]) -> list[str]:
    return stems((family.trigger, family.sampler) for family in found)


def _described(name: str, file: str) -> str:
    return f"{name}: {file.removeprefix('-').replace('-', ' ')}"


def _transitions(family: Family) -> list[tuple[float, Transition]]:
    curves = [
        (weight, transition(guided(family.rows, weight))) for weight in family.guidance_weights
    ]
    return [(weight, curve) for weight, curve in curves if curve is not None]


def _gallery(family: Family, report: StudyReport) -> list[dict[str, Any]]:
    """Per guidance weight, per poison ratio with both controls, per group: a grid of images."""
    shelves = []
    for weight in family.guidance_weights:
        every = (*family.clean, *family.rows, *family.relabel_only)
        if lines := shelf(guided(every, weight), report):
            name = f"Guidance w = {weight:g}"
            is_open = same(weight, family.reported_guidance)
            shelves.append({"name": name, "lines": lines, "open": is_open})
    return shelves
