"""Turn a report into what its page shows; the template only lays it out.

What every page has is here, what a study shows of its own in ``amplification_contents`` and
``composition_contents``.
"""

from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from markupsafe import Markup

from analysis import amplification_contents, composition_contents, paper
from analysis.claims import judge
from analysis.composition import GROUPS
from analysis.definitions import definitions
from analysis.grids import grid
from analysis.page import StudyReport
from analysis.results import sentences
from analysis.rows import COMPOSITION, Row, has_witness, sort_rows
from analysis.sampler_figures import witness_beside_judge
from analysis.shown import heading, inline
from analysis.tables import (
    corrections,
    judges,
    measurements,
    other_conditions,
    stages,
    tasks,
    witnesses,
)
from analysis.verdicts import Judgment, counts
from analysis.wording import percent, ratio_name, trigger_name

EXAMPLES = 6
"""Most training images shown of a trigger, clean and stamped."""
WITNESS = "witness"
"""Name of the figure that sets the witness beside the judge."""

GROUP_WORDS = {
    "g1": "trigger, mismatch",
    "g2": "trigger, match",
    "g3": "no trigger, mismatch",
    "g4": "no trigger, match",
}


def template(study: str) -> str:
    """File name of a study's page."""
    return "composition.html" if study == COMPOSITION else "amplification.html"


def figures(study: str, rows: Sequence[Row]) -> dict[str, str]:
    """Every figure of a study's page as SVG text, by its file's name without the suffix."""
    drawn: dict[str, str] = _own(study).figures(rows)
    if any(map(has_witness, rows)):
        drawn[WITNESS] = witness_beside_judge(rows, WITNESS)
    return drawn


def contents(report: StudyReport, drawn: Mapping[str, str]) -> dict[str, Any]:
    """What the template is filled with.

    Args:
        report: What to show.
        drawn: As `figures` gives for the report's rows.
    """
    rows = sort_rows(report.rows)
    judgments = judge(rows)
    return {
        **_own(report.study).contents(report, rows, drawn),
        "report": report,
        "findings": sentences(rows),
        "groups": [(group, group.upper(), GROUP_WORDS[group]) for group in GROUPS],
        "examples": _examples(report),
        "verdicts": [
            (verdict.value, verdict.name.lower(), count)
            for verdict, count in counts([judgment.verdict for judgment in judgments])
        ],
        "claims": _claims(judgments),
        "dashed_lines": _dashed_lines(),
        "measurements": measurements(rows),
        "witness": inline(drawn, WITNESS, "trigger ratios by the witness and by the judge"),
        "witnesses": witnesses(rows),
        "corrections": corrections(rows),
        "judges": judges(rows),
        "others": other_conditions(rows),
        "definitions": definitions(rows, ema_decay=report.ema_decay),
        "stages": stages(report.stages),
        "tasks": tasks(report.stages),
    }


def _own(study: str) -> ModuleType:
    """What is of one study alone; a study without a page of its own has that of amplification."""
    return composition_contents if study == COMPOSITION else amplification_contents


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


def _dashed_lines() -> list[tuple[str, list[tuple[str, str]]]]:
    return [
        (dataset, [(ratio_name(ratio), percent(p_t)) for ratio, p_t in lines.items()])
        for dataset, lines in paper.DASHED_LINES.items()
    ]
