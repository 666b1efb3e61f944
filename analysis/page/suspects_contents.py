"""Turn what detectors made of a folder into what its page shows; the template lays it out."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from analysis.old.tables import NOTHING, Cell, Table, stages, tasks
from analysis.page.images import grid
from analysis.page.style import GROUP_COLORS, INK, LABEL_SIZE, inlined, panel, to_svg
from analysis.page.suspects import Ranking, SuspectsReport, readable
from analysis.page.suspects_agreement import pairs, suspects, top
from analysis.page.wording import counted, detector_name, listed, percent

MOST_LINES = 24
"""Of a table of images or of classes."""
CLASSES_OPEN = 12
"""Of so many classes the pictures are seen at once, of more when they are asked for."""
BINS = 40
"""Of a histogram."""

METHODS = {
    "cd": "Cognitive Distillation learns, for each image, a mask over the pixels that the "
    "classifier's answer needs: white is needed, black may be painted over. The suspicion is minus "
    "the mask's area in pixels, so an answer that rests on few pixels is suspicious.",
    "strip": "STRIP lays other images of the folder over each image. The suspicion is minus the "
    "mean entropy of the classifier's answers, in nats, so an answer that stays sure whatever lies "
    "over it is suspicious.",
    "fct": "FCT turns and moves each image. The suspicion is how far that moves the features of a "
    "classifier fine-tuned to push the classes apart (mean squared change), so features that move "
    "far are suspicious.",
}
"""How a detector looks, by its name."""


def contents(report: SuspectsReport) -> dict[str, Any]:
    """What the template is filled with."""
    first = report.rankings[0]
    n = len(first.files)
    sizes = np.bincount(first.labels, minlength=len(report.class_names))
    largest = report.class_names[int(sizes.argmax())]
    return {
        "report": report,
        "findings": _findings(report, n, largest),
        "facts": _facts(first, n, len(report.class_names), largest),
        "detectors": [_detector(ranking, report) for ranking in report.rankings],
        "near": top(n),
        "pairs": _pairs(report.rankings),
        "suspects": _suspects(report),
        "classes": _classes(report, sizes),
        "open": len(sizes) <= CLASSES_OPEN,
        "stages": stages(report.stages),
        "tasks": tasks(report.stages),
    }


def number(value: float) -> str:
    """A suspicion as a page prints it: four digits, with a true minus sign."""
    return f"{value + 0.0:.4g}".replace("-", "−")  # -0.0 + 0.0 has no sign


def histogram(ranking: Ranking, near: int, salt: str) -> str:
    """How many images have which suspicion, and where the top begins; SVG text.

    Args:
        ranking: Of one detector.
        near: Images that count as the top.
        salt: Sets this figure's identifiers apart from those of others on a page.
    """
    counts, edges = np.histogram(ranking.suspicion, BINS)
    with panel() as (figure, axes):
        shown = counts > 0
        axes.bar(
            edges[:-1][shown],
            counts[shown],
            np.diff(edges)[shown],
            align="edge",
            color=GROUP_COLORS["g4"],
        )
        axes.set_yscale("log")  # a handful of images must be seen beside thousands
        most = max(10.0, 2.0 * counts.max())
        axes.set_ylim(0.6, most)
        ticks = [10**power for power in range(7) if 10**power <= most]
        axes.set_yticks(ticks, [f"{tick}" for tick in ticks])
        axes.minorticks_off()
        axes.locator_params(axis="x", nbins=4)
        begin = ranking.suspicion[near - 1]
        axes.axvline(begin, color=INK, linewidth=1.2, linestyle=(0, (3, 2)))
        axes.set_xlabel("suspicion (higher: more suspicious)")
        axes.set_title("Images by suspicion")
        axes.text(
            0.0,
            1.035,
            f"dashed: the {near} most suspicious begin",
            transform=axes.transAxes,
            fontsize=LABEL_SIZE,
        )
        return to_svg(figure, salt)


def _findings(report: SuspectsReport, n: int, largest: str) -> list[str]:
    row = report.rankings[0].row
    accuracy, share = float(row["training_accuracy"]), float(row["largest_class_share"])
    right = round(accuracy * n)
    names = [detector_name(ranking.detector) for ranking in report.rankings]
    return [
        f"A classifier was trained on all {n:,} images of the folder as it is labelled. It gives "
        f"{right:,} of them ({percent(accuracy)}) the label that they came with; always saying "
        f"{largest}, the largest class, would be right on {percent(share)}.",
        f"{listed(names)} then asked that classifier which images are suspicious. Which of them "
        f"are poisoned nobody has said: these are images to look at, not verdicts.",
    ]


def _facts(ranking: Ranking, n: int, classes: int, largest: str) -> list[tuple[str, str]]:
    row = ranking.row
    return [
        (f"{n:,}", "images, each trained on and looked at"),
        (f"{classes:,}", "classes"),
        (percent(float(row["training_accuracy"])), "of the folder's own labels known"),
        (percent(float(row["largest_class_share"])), f"in the largest class, {largest}"),
    ]


def _detector(ranking: Ranking, report: SuspectsReport) -> dict[str, Any]:
    """The section of one detector."""
    name = detector_name(ranking.detector)
    drawn = histogram(ranking, top(len(ranking.files)), f"histogram-{ranking.detector}")
    return {
        "id": f"detector-{ranking.detector}",
        "name": name,
        "method": METHODS.get(ranking.detector, "Higher is more suspicious."),
        # Markup: SVG that we drew; words in it were escaped when it was drawn.
        "histogram": Markup(inlined(drawn, f"Histogram of the suspicions of {name}")),
        "spread": _spread(ranking),
        "kept": _kept(ranking),
        "tied": _tied(ranking),
        "masked": "most_suspicious_masks" in ranking.pictures,
        "most": _cells(ranking, report, "most_suspicious", range(len(ranking.files))),
        "classes": _shelves(ranking, report),
        "left_out": sum(
            f"class_{label}" not in ranking.pictures for label in range(len(report.class_names))
        ),
    }


def _shelves(ranking: Ranking, report: SuspectsReport) -> list[dict[str, Any]]:
    """The pictures of each class that has some."""
    found = []
    for label, name in enumerate(report.class_names):
        places = np.flatnonzero(ranking.labels == label).tolist()
        if cells := _cells(ranking, report, f"class_{label}", places):
            found.append({"name": name, "count": counted(len(places), "image"), "cells": cells})
    return found


def _spread(ranking: Ranking) -> str:
    row = ranking.row
    low, middle, high = (
        number(float(row[f"suspicion_{name}"])) for name in ("min", "median", "max")
    )
    return (
        f"From {low} to {high}, half of the images below {middle}; "
        f"{counted(int(row['distinct']), 'different value')}."
    )


def _kept(ranking: Ranking) -> str:
    """Whether the masks explain anything; nothing without masks."""
    kept = ranking.row.get("answers_kept")
    if kept is None:
        return ""
    return (
        f"With random colors in place of what a mask drops, the classifier still gives the same "
        f"answer {percent(float(kept))} of the time: the lower that is, the less the masks explain."
    )


def _tied(ranking: Ranking) -> str:
    """That the order at the top is none; nothing if it is one."""
    if ranking.tied == 1:
        return ""
    return (
        f"The first {ranking.tied:,} images are equally suspicious; they come in the order of "
        f"their files, which means nothing."
    )


def _cells(
    ranking: Ranking, report: SuspectsReport, group: str, places: Sequence[int]
) -> list[dict[str, Any]]:
    """Each picture of a group with its mask, its file and what was said of it."""
    pictures = ranking.pictures.get(group, np.zeros((0, 1, 1, 1), np.uint8))
    masks = ranking.pictures.get(f"{group}_masks")
    return [
        {
            "rank": f"{place + 1:,}",
            "file": readable(ranking.files[place]),
            "label": report.class_names[ranking.labels[place]],
            "suspicion": number(float(ranking.suspicion[place])),
            "image": Markup(grid(picture[None], 1, 1)),
            "mask": None if masks is None else Markup(grid(masks[row][None], 1, 1)),
        }
        for row, (picture, place) in enumerate(zip(pictures, places, strict=False))
    ]


def _pairs(rankings: Sequence[Ranking]) -> Table:
    lines = [
        [
            Cell(f"{detector_name(pair.one)} and {detector_name(pair.other)}"),
            Cell(NOTHING if pair.correlation is None else number(round(pair.correlation, 3))),
            Cell(f"{pair.shared:,}"),
            Cell(number(pair.expected)),
        ]
        for pair in pairs(rankings)
    ]
    headers = ("detectors", "rank correlation", "near the top of both", "by chance alone")
    return Table(headers, lines, 1)


def _suspects(report: SuspectsReport) -> Table:
    """Images near the top of several detectors, with their ranks."""
    found = suspects(report.rankings)[:MOST_LINES]
    names = [f"rank, {detector_name(ranking.detector)}" for ranking in report.rankings]
    lines = [
        [
            Cell(readable(one.file)),
            Cell(report.class_names[one.label]),
            *(Cell(f"{rank:,}") for rank in one.ranks),
        ]
        for one in found
    ]
    return Table(("file", "class", *names), lines, 2)


def _classes(report: SuspectsReport, sizes: npt.NDArray[np.int64]) -> Table:
    """How many of the images near the top each class has; classes without one are left out."""
    n = len(report.rankings[0].files)
    counts = [
        np.bincount(ranking.labels[: top(n)], minlength=len(sizes)) for ranking in report.rankings
    ]
    near = np.array(counts)  # (detectors, classes)
    order = np.argsort(-near.sum(axis=0), kind="stable")
    lines = [
        [
            Cell(report.class_names[label]),
            Cell(f"{sizes[label]:,}", percent(sizes[label] / n)),
            *(Cell(f"{count:,}", percent(count / top(n))) for count in near[:, label]),
        ]
        for label in order[:MOST_LINES]
        if near[:, label].any()
    ]
    names = [detector_name(ranking.detector) for ranking in report.rankings]
    return Table(("class", "of all images", *(f"of the top, {name}" for name in names)), lines, 1)
