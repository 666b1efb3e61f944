"""Turn a report into what its page shows; the template only lays it out.

What every page has is here, what pages of G1..G4 have in ``groups_contents``, and what a study
shows of its own in ``X_contents``; ``PAGES`` has a line a study.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from markupsafe import Markup

from analysis.old.report import StudyReport, render
from analysis.old.rows import (
    CLASSIFICATION,
    DEFENSE,
    Row,
    sort_rows,
)
from analysis.old.tables import stages, tasks
from analysis.old.verdicts import Judgment, counts
from analysis.page.images import grid
from analysis.page.wording import trigger_name
from orchestrator.studies.claims import judge
from orchestrator.studies.defense import contents as defense_contents
from orchestrator.studies.diffusion_classifier import contents as classification_contents
from orchestrator.studies.headings import heading
from orchestrator.studies.results import sentences, write_csv

EXAMPLES = 6
"""Most training images shown of a trigger, clean and stamped."""
AllScores = Mapping[tuple[Any, ...], Mapping[str, Any]]
NO_SCORES: AllScores = MappingProxyType({})

Figures = Callable[[Sequence[Row]], dict[str, str]]
Contents = Callable[[StudyReport, Sequence[Row], Mapping[str, str]], dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Page:
    """What a study's page is made with, beside what all pages have."""

    template: str
    """A file of ``templates``."""
    figures: Callable[[Sequence[Row], AllScores], dict[str, str]]
    """Every figure as SVG text, by its file's name without the suffix."""
    contents: Contents
    """What the template is filled with."""


PAGES = {
    DEFENSE: Page(
        template="defense.html",
        figures=lambda rows, _: defense_contents.figures(rows),
        contents=defense_contents.contents,
    ),
    CLASSIFICATION: Page(
        template="diffusion_classifier.html",
        figures=lambda rows, _: classification_contents.figures(rows),
        contents=classification_contents.contents,
    ),
}


def template(study: str) -> str:
    """File name of a study's page."""
    return _page(study).template


def figures(study: str, rows: Sequence[Row], scores: AllScores = NO_SCORES) -> dict[str, str]:
    """Every figure of a study's page as SVG text, by its file's name without the suffix.

    Args:
        study: Its name.
        rows: What was measured.
        scores: As `StudyReport.scores`; of a study of detection.
    """
    return _page(study).figures(rows, scores)


def contents(report: StudyReport, drawn: Mapping[str, str]) -> dict[str, Any]:
    """What the template is filled with.

    Args:
        report: What to show.
        drawn: As `figures` gives for the report's rows.
    """
    rows = sort_rows(report.rows)
    judgments = judge(rows)
    return {
        "report": report,
        "findings": sentences(rows),
        "examples": _examples(report),
        "verdicts": [
            (verdict.value, verdict.name.lower(), count)
            for verdict, count in counts([judgment.verdict for judgment in judgments])
        ],
        "claims": _claims(judgments),
        "stages": stages(report.stages),
        "tasks": tasks(report.stages),
        **_page(report.study).contents(report, rows, drawn),
    }


def _page(study: str) -> Page:
    return PAGES[study]


def _claims(judgments: Sequence[Judgment[Any]]) -> list[dict[str, Any]]:
    """The judgments by what they are about; the name is left out where there is only one."""
    subjects = list({id(judgment.subject): judgment.subject for judgment in judgments}.values())
    return [
        {
            "name": heading(subject) if len(subjects) > 1 else "",
            "suffix": f"-{number}" if len(subjects) > 1 else "",
            "judgments": [
                {
                    "verdict": judgment.verdict.value,
                    "kind": judgment.verdict.name.lower(),
                    "claim": judgment.claim,
                    "parts": judgment.parts,
                }
                for judgment in judgments
                if judgment.subject is subject
            ],
        }
        for number, subject in enumerate(subjects, 1)
    ]


def _examples(report: StudyReport) -> list[tuple[str, list[tuple[Markup, Markup]]]]:
    """Each trigger's name with pairs of one picture clean and the same one stamped."""
    return [
        (
            trigger_name(trigger),
            [
                (Markup(grid(before[None], 1, 1)), Markup(grid(after[None], 1, 1)))
                for before, after in zip(clean[:EXAMPLES], stamped[:EXAMPLES], strict=True)
            ],
        )
        for trigger, (clean, stamped) in report.trigger_examples.items()
    ]


def write(folder: Path, report: StudyReport) -> Path:
    """Write ``index.html``, ``results.csv`` and ``figures/*.svg``.

    Args:
        folder: Made when it is not there; figures of an earlier page are removed.
        report: What to show.

    Returns:
        The path of ``index.html``.
    """
    drawn = figures(report.study, report.rows, report.scores)
    pictures = folder / "figures"
    pictures.mkdir(parents=True, exist_ok=True)
    for stale in pictures.glob("*.svg"):
        if stale.stem not in drawn:
            stale.unlink()
    for name, svg in drawn.items():
        (pictures / f"{name}.svg").write_text(svg, encoding="utf-8")
    write_csv(folder / "results.csv", report.rows)
    page = folder / "index.html"
    page.write_text(render(template(report.study), contents(report, drawn)), encoding="utf-8")
    return page
