"""What a page of detection shows of its own: Tab. 3 and Fig. A9, triggers x detectors."""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

from analysis.old.parts import inline, stems
from analysis.old.report import StudyReport
from analysis.old.rows import Row, row_key
from analysis.old.tables import Table
from analysis.page.wording import detector_name, ratio_name, titled, trigger_name
from orchestrator.studies.detection import curves, published, tables
from orchestrator.studies.detection import figures as charts
from orchestrator.studies.detection.answers import answers
from orchestrator.studies.detection.curves import Scores, has_both_kinds
from orchestrator.studies.detection.definitions import definitions
from orchestrator.studies.detection.finding import headline, sentences
from orchestrator.studies.detection.images import shelves
from orchestrator.studies.detection.rows import (
    Compared,
    Detected,
    detections,
    null_points,
    samplings,
)
from orchestrator.studies.headings import heading

DRAWN_DATASETS = (published.IMAGENETTE, published.CIFAR10)
"""Of the paper, beside ours in the figures; the table has all."""

AllScores = Mapping[tuple[Any, ...], Scores]
"""As `StudyReport.scores`."""


def figures(rows: Sequence[Row], scores: AllScores) -> dict[str, str]:
    """Every figure as SVG text, by its file's name without the suffix.

    Args:
        rows: Of the study.
        scores: By row; where a row's are missing, figures of scores are left out.
    """
    drawn: dict[str, str] = {}
    found = detections(rows)
    for start, subject in zip(_stems(found), found, strict=True):
        theirs = published.published(subject.detector, subject.trigger, DRAWN_DATASETS)
        name = f"{start}-auroc"
        drawn[name] = charts.area_by_ratio(subject, theirs, name)
        moved = [one for one in subject.reported if one.estimate("poisoned_shift")]
        if moved:
            name = f"{start}-what-moved"
            drawn[name] = charts.what_moved(moved, name)
        for one in subject.reported:
            drawn |= _of_scores(start, one, scores)
    null = null_points(rows)
    if any(row["null_low"] is not None for row in null.rows):
        drawn["null-test"] = charts.null_test(null, "null-test")
    return drawn


def contents(report: StudyReport, rows: Sequence[Row], drawn: Mapping[str, str]) -> dict[str, Any]:
    """What this study's template is filled with.

    Args:
        report: What to show.
        rows: The report's, sorted.
        drawn: As `figures` gives for them.
    """
    found = detections(rows)
    detectors, overview = tables.overview(rows)
    ways = samplings(rows)
    return {
        "findings": sentences(rows, areas=False) or ["No poisoned point has been measured yet."],
        "facts": headline(rows),
        "detectors": detectors,
        "overview": overview,
        "sampling": ways[0].name if ways else "",
        "more_samplings": len(ways) > 1,
        "more_seeds": len({row["seed"] for row in rows}) > 1,
        "triggers": _triggers(found, drawn),
        "answers": answers(rows),
        "definitions": definitions(rows, ema_decay=report.ema_decay),
        "null_test": inline(drawn, "null-test", "null points: AUROC with random flags"),
        "null_points": len(null_points(rows).rows),
        "published": tables.beside_the_paper(rows),
        "images": shelves(report, rows),
        "tables": [one for one in _tables(rows) if one[2].rows],
    }


def _tables(rows: Sequence[Row]) -> list[tuple[str, str, Table]]:
    """Title, a line of words and a table each, in reading order."""
    return [
        (
            "Detectors and sets of images",
            "G1 and G2 alone are the AUROCs of the mismatching and of the matching generations "
            "with a trigger, each against the same negatives.",
            tables.measurements(rows),
        ),
        (
            "The differences",
            "Generations minus training set, as the judge labels the generations, as the template "
            "match "
            "does, and with both sets cut to the same share of positives.",
            tables.gains(rows),
        ),
        (
            "What moved",
            "AUROC when only the positives, or only the negatives, are taken from the generations; "
            "and the chance that an image of the generations is more suspicious than one of its "
            "kind of the training set (0.5: unmoved).",
            tables.decomposition(rows),
        ),
        (
            "The masks",
            "Mean value of the masks, over the image and over the patch's own pixels; and how "
            "often the classifier's answer survives when random colors are painted around them.",
            tables.masks(rows),
        ),
        (
            "The classifiers",
            "What the detectors look at: one a poisoned training set.",
            tables.classifiers(rows),
        ),
        (
            "Errors of judge and template match",
            "They say which generations carry the trigger; measured on the test split.",
            tables.judges(rows),
        ),
    ]


def _triggers(found: Sequence[Detected], drawn: Mapping[str, str]) -> list[dict[str, Any]]:
    """The figures of each trigger and target class, a detector after the other."""
    starts = dict(zip(map(id, found), _stems(found), strict=True))
    return [
        {
            "name": _trigger_heading(own[0]),
            "areas": _shown(own, starts, drawn, "auroc", "AUROC by poison ratio"),
            "moved": _shown(own, starts, drawn, "what-moved", "what moved"),
            "curves": _by_ratio(own, starts, drawn, "roc", "ROC curves"),
            "distributions": _by_ratio(own, starts, drawn, "scores", "distributions of suspicion"),
        }
        for own in _by_trigger(found)
    ]


def _by_trigger(found: Sequence[Detected]) -> list[list[Detected]]:
    places = dict.fromkeys((subject.trigger, subject.target_class) for subject in found)
    return [
        [subject for subject in found if (subject.trigger, subject.target_class) == place]
        for place in places
    ]


def _trigger_heading(subject: Detected) -> str:
    return heading(subject).removesuffix(f", {detector_name(subject.detector)}")


def _shown(
    own: Sequence[Detected],
    starts: Mapping[int, str],
    drawn: Mapping[str, str],
    kind: str,
    words: str,
) -> list[Markup]:
    pictures = [
        inline(drawn, f"{starts[id(subject)]}-{kind}", f"{_called(subject)}: {words}")
        for subject in own
    ]
    return [picture for picture in pictures if picture]


def _by_ratio(
    own: Sequence[Detected],
    starts: Mapping[int, str],
    drawn: Mapping[str, str],
    kind: str,
    words: str,
) -> list[tuple[str, list[Markup]]]:
    """A line of panels a poison ratio, the highest first."""
    lines = []
    for ratio in sorted({ratio for subject in own for ratio in subject.poison_ratios})[::-1]:
        where = f"p = {ratio_name(ratio)}"
        pictures = [
            inline(
                drawn,
                f"{starts[id(subject)]}-p{ratio:g}-{kind}",
                f"{_called(subject)}, {where}: {words}",
            )
            for subject in own
        ]
        if shown := [picture for picture in pictures if picture]:
            lines.append((where, shown))
    return lines


def _of_scores(start: str, one: Compared, scores: AllScores) -> dict[str, str]:
    """The ROC curves and the distributions at one poison ratio; of several seeds the first."""
    sets = {
        str(rows[0]["image_set"]): own
        for rows in (one.training, one.generation)
        if rows and (own := scores.get(row_key(rows[0]))) is not None and len(own["suspicion"])
    }
    title = f"{detector_name(one.detector)}, {trigger_name(one.trigger)}, {one.place}"
    names = [f"{start}-p{one.poison_ratio:g}-{kind}" for kind in ("roc", "scores")]
    curved = {name: own for name, own in sets.items() if has_both_kinds(own)}
    drawn = {}
    if curved:
        drawn[names[0]] = curves.roc(curved, title, names[0])
    if sets:
        drawn[names[1]] = curves.distributions(sets, title, names[1])
    return drawn


def _stems(found: Sequence[Detected]) -> list[str]:
    return stems((subject.trigger, subject.detector) for subject in found)


def _called(subject: Detected) -> str:
    return titled(f"{trigger_name(subject.trigger)}, {detector_name(subject.detector)}")
