"""Turn a report into what its page shows; the template only lays it out.

What every page has is here, what pages of G1..G4 have in ``groups_contents``, and what a study
shows of its own in ``amplification_contents``, ``composition_contents``, ``detection_contents``.
"""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from markupsafe import Markup

from analysis import (
    amplification_contents,
    composition_contents,
    detection_contents,
    groups_contents,
)
from analysis.claims import judge
from analysis.definitions import definitions
from analysis.detection_contents import AllScores
from analysis.grids import grid
from analysis.page import StudyReport
from analysis.results import sentences
from analysis.rows import COMPOSITION, DETECTION, Row, sort_rows
from analysis.shown import heading
from analysis.tables import stages, tasks
from analysis.verdicts import Judgment, counts
from analysis.wording import trigger_name

EXAMPLES = 6
"""Most training images shown of a trigger, clean and stamped."""
NO_SCORES: AllScores = MappingProxyType({})


def template(study: str) -> str:
    """File name of a study's page; one without a page of its own has that of amplification."""
    return f"{study}.html" if study in (COMPOSITION, DETECTION) else "amplification.html"


def figures(study: str, rows: Sequence[Row], scores: AllScores = NO_SCORES) -> dict[str, str]:
    """Every figure of a study's page as SVG text, by its file's name without the suffix.

    Args:
        study: Its name.
        rows: What was measured.
        scores: As `StudyReport.scores`; of a study of detection.
    """
    if study == DETECTION:
        return detection_contents.figures(rows, scores)
    own = composition_contents if study == COMPOSITION else amplification_contents
    return {**own.figures(rows), **groups_contents.figures(rows)}


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
        **_own(report, rows, drawn),
    }


def _own(report: StudyReport, rows: Sequence[Row], drawn: Mapping[str, str]) -> dict[str, Any]:
    """What is of this study's page alone."""
    if report.study == DETECTION:
        return detection_contents.contents(report, rows, drawn)
    own = composition_contents if report.study == COMPOSITION else amplification_contents
    return {
        "definitions": definitions(rows, ema_decay=report.ema_decay),
        **groups_contents.contents(rows, drawn),
        **own.contents(report, rows, drawn),
    }


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
