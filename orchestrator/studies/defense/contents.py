"""What a page of defense shows of its own: Tab. 4 and A3, triggers x networks."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from analysis.old.parts import inline, stems
from analysis.old.report import StudyReport
from analysis.old.rows import Row
from analysis.old.strips import strip
from analysis.old.tables import Table
from analysis.page.wording import classifier_name, titled, trigger_name
from orchestrator.studies.defense import figures as charts
from orchestrator.studies.defense import tables as tables
from orchestrator.studies.defense.definitions import definitions
from orchestrator.studies.defense.finding import headline, signed
from orchestrator.studies.defense.published import printed_in
from orchestrator.studies.defense.rows import (
    ACCURACY,
    ATTACK,
    FRESH_ATTACK,
    RATES,
    Defended,
    defended,
    followed,
    rank_correlation,
)
from orchestrator.studies.detection.rows import samplings
from orchestrator.studies.headings import heading

DRAWN_TABLE = "Tab. 4"
"""Of the paper, beside ours in the figures; the table has both."""
FILES = {ACCURACY: "accuracy", ATTACK: "attack", FRESH_ATTACK: "fresh-attack"}
SCATTER = "attack-by-g1"


def figures(rows: Sequence[Row]) -> dict[str, str]:
    """Every figure as SVG text, by its file's name without the suffix."""
    drawn: dict[str, str] = {}
    found = [subject for subject in defended(rows) if subject.rows]
    for start, subject in zip(_stems(found), found, strict=True):
        theirs = printed_in(DRAWN_TABLE, subject.trigger, subject.poison_ratios)
        for rate, file in FILES.items():
            if any(row.get(rate) is not None for row in subject.rows):
                name = f"{start}-{file}"
                printed = [] if rate == FRESH_ATTACK else theirs
                drawn[name] = charts.rate_by_ratio(subject, rate, printed, name)
    if followed(rows):
        drawn[SCATTER] = charts.attack_by_mismatches(rows, SCATTER)
    return drawn


def contents(report: StudyReport, rows: Sequence[Row], drawn: Mapping[str, str]) -> dict[str, Any]:
    """What this study's template is filled with.

    Args:
        report: What to show.
        rows: The report's, sorted.
        drawn: As `figures` gives for them.
    """
    found = [subject for subject in defended(rows) if subject.rows]
    ways = samplings(rows)
    rank, n = rank_correlation(rows)
    return {
        "facts": headline(rows),
        "examples": [],  # the strip has them all
        "strip": strip(report.strip),
        "overview": tables.overview(rows),
        "sampling": ways[0].name if ways else "",
        "more_samplings": len(ways) > 1,
        "subjects": [
            {"name": heading(subject), "rates": _shown(start, subject, drawn)}
            for start, subject in zip(_stems(found), found, strict=True)
        ],
        "scatter": inline(drawn, SCATTER, "ASR against the share of G1 in the generation set"),
        "rank": "" if rank is None else signed(rank),
        "rank_points": n,
        "networks": tables.networks(rows),
        "definitions": definitions(rows, ema_decay=report.ema_decay),
        "published": tables.beside_the_paper(rows),
        "tables": [one for one in _tables(rows) if one[2].rows],
    }


def _tables(rows: Sequence[Row]) -> list[tuple[str, str, Table]]:
    """Title, a line of words and a table each, in reading order."""
    return [
        (
            "The changes",
            "Generations minus training set, over the seeds; lower or higher where the whole "
            "interval lies on one side of 0.",
            tables.changes(rows),
        ),
        (
            "What was trained on what",
            "Every set of images and network: mean over the seeds, standard deviation (sd) and "
            "interval.",
            tables.measurements(rows),
        ),
        (
            "Every classifier",
            "One by one, with the counts; changes are paired with the training set's classifier of "
            "the same seed.",
            tables.by_seed(rows),
        ),
    ]


def _shown(start: str, subject: Defended, drawn: Mapping[str, str]) -> list[Markup]:
    about = f"{titled(trigger_name(subject.trigger))}, {classifier_name(subject.classifier)}"
    pictures = [
        inline(drawn, f"{start}-{file}", f"{about}: {RATES[rate]} by poison ratio")
        for rate, file in FILES.items()
    ]
    return [picture for picture in pictures if picture]


def _stems(found: Sequence[Defended]) -> list[str]:
    return stems((subject.trigger, subject.classifier) for subject in found)
