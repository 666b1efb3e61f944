"""The page of ``castlewalls detect``: what detectors made of a folder."""

from collections.abc import Sequence
from math import isnan
from pathlib import Path

import numpy as np
import numpy.typing as npt

from analysis.names import about, name
from analysis.page.figures import Figure
from analysis.page.images import grid
from analysis.page.page import (
    Block,
    CaptionedImage,
    Fold,
    Heading,
    Page,
    Panels,
    Pictures,
    Report,
    Section,
    Text,
    render,
)
from analysis.page.style import GROUP_COLORS, INK, LABEL_SIZE, panel, to_svg
from analysis.page.suspects import Ranking, pairs, readable, suspects, to_csv, top
from analysis.page.tables import NOTHING, Cell, Table
from analysis.wording import counted, listed, percent

MOST_LINES = 24
"""Of a table of images or of classes."""
CLASSES_OPEN = 12
"""Up to so many classes, the pictures of each are open from the start."""
BINS = 40
TIED = (
    "The first {:,} images are equally suspicious; they come in the order of their files, which "
    "means nothing."
)
LIMITS = (
    "_There is no threshold_. A suspicion compares the images of this folder with each other, in a "
    "unit of the detector's own. It is no probability, and it compares neither folders nor "
    "detectors.",
    "_There is no ground truth_. Nobody said which images are poisoned, so how well a detector "
    "does here is not known. A clean folder has a most suspicious image too: look for something "
    "that keeps coming back (a patch, a pattern, a color) or for labels that are plainly wrong.",
    "_A detector can be upside down_. On some data it finds poisoned images less suspicious than "
    "clean ones: Cognitive Distillation had an AUROC below 0.5 on digits of 8 by 8 pixels. "
    "`suspicion.csv` beside this file has the other end of the order too.",
    "_What is rare is not poisoned_. An unusual, damaged or mislabelled picture can be as "
    "suspicious as one with a trigger.",
    "_The classifier has seen every image_, the poisoned ones among them: its accuracy is on what "
    "it was trained on.",
)


def write(folder: Path, report: Report, rankings: Sequence[Ranking]) -> Path:
    """Write ``index.html``, whose path it returns, and ``suspicion.csv``.

    Args:
        folder: Is made.
        report: Its title is that of the page; its question is shown as remarks.
        rankings: At least one, all of the same images.
    """
    first, names = rankings[0], report.class_names
    n = len(first.files)
    sizes = np.bincount(first.labels, minlength=len(names))
    largest = names[int(sizes.argmax())]
    known, share = (float(first.row[one]) for one in ("training_accuracy", "largest_class_share"))
    page = Page(
        facts=[
            (f"{n:,}", "images, each trained on and looked at"),
            (f"{len(sizes):,}", "classes"),
            (percent(known), "of the folder's own labels known"),
            (percent(share), f"in the largest class, {largest}"),
        ],
        sections=[
            Section("limits", "What this page does not say", "", [Text(one) for one in LIMITS]),
            *(_detector(ranking, names) for ranking in rankings),
            _agreement(rankings, names, sizes),
        ],
    )
    findings = [
        f"A classifier trained on all {n:,} images gives {round(known * n):,} of them "
        f"({percent(known)}) their own label; always saying {largest}, the largest class, would be "
        f"right on {percent(share)}.",
        f"{listed([_name(ranking) for ranking in rankings])} asked that classifier which "
        "images are suspicious: these are images to look at, not verdicts.",
    ]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "suspicion.csv").write_bytes(to_csv(rankings, names).encode())
    shown = {"title": report.title, "question": report.question, "findings": findings}
    path = folder / "index.html"
    path.write_text(render(page_of=page, report=report, kind="detect", **shown), encoding="utf-8")
    return path


def number(value: float) -> str:
    """A suspicion as a page prints it: four digits, with a true minus sign."""
    return f"{value + 0.0:.4g}".replace("-", "−")  # -0.0 + 0.0 has no sign


def histogram(ranking: Ranking, near: int) -> Figure:
    """How many images have which suspicion, and where the ``near`` most suspicious begin."""
    counts, edges = np.histogram(ranking.suspicion, BINS)
    with panel() as (figure, axes):
        shown = counts > 0
        bars = (edges[:-1][shown], counts[shown], np.diff(edges)[shown])
        axes.bar(*bars, align="edge", color=GROUP_COLORS["g4"])
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
        words = f"dashed: the {near} most suspicious begin"
        axes.text(0, 1.035, words, transform=axes.transAxes, fontsize=LABEL_SIZE)
        file = f"histogram-{ranking.detector}"
        words = f"Histogram of the suspicions of {_name(ranking)}"
        return Figure(file, to_svg(figure, file), words)


def _name(ranking: Ranking) -> str:
    return name("detector", ranking.detector)


def _detector(ranking: Ranking, names: Sequence[str]) -> Section:
    masked = "most_suspicious_masks" in ranking.pictures
    tied = int((ranking.suspicion == ranking.suspicion[0]).sum())
    blocks: list[Block] = [
        Text(_spread(ranking)),
        Panels([histogram(ranking, top(len(ranking.files)))], "one"),
        *([Text(TIED.format(tied))] if tied > 1 else []),
        Heading("Of all images, each with its mask" if masked else "Of all images"),
        _pictures(ranking, names, "most_suspicious", range(len(ranking.files))),
        Heading("Of each class"),
    ]
    left_out = 0
    for label, title in enumerate(names):
        places = np.flatnonzero(ranking.labels == label).tolist()
        group = f"class_{label}"
        left_out += group not in ranking.pictures
        if len(ranking.pictures.get(group, ())) and places:
            shown = _pictures(ranking, names, group, places)
            heading = f"{title}: {counted(len(places), 'image')}"
            blocks.append(Fold(heading, [shown], len(names) <= CLASSES_OPEN))
    if left_out:
        words = "The classes with the most suspicious images are shown; `suspicion.csv` has "
        blocks.append(Text(f"{words}{left_out} more."))
    return Section(
        f"detector-{ranking.detector}",
        f"{_name(ranking)}: the most suspicious images",
        about("detector", ranking.detector) or "Higher is more suspicious.",
        blocks,
        _name(ranking),
    )


def _agreement(
    rankings: Sequence[Ranking], names: Sequence[str], sizes: npt.NDArray[np.int64]
) -> Section:
    near = top(len(rankings[0].files))
    classes: list[Block] = [
        Heading("Classes near the top"),
        Text(
            f"How the {near} most suspicious images spread over the classes. Poison is labelled as "
            "the class that an attacker wants, so a class with far more than its share deserves a "
            "look; so may a class that is merely unusual."
        ),
        _classes(rankings, names, sizes),
    ]
    if len(rankings) == 1:
        return Section("agreement", "Which classes are near the top?", "", classes, "Classes")
    words = (
        "Spearman's rank correlation over all images: 1 is the same order, 0 none, −1 the reverse. "
        f"Near the top are the {near} most suspicious images of a detector, 1% of all but not "
        "fewer than ten; by chance alone is how many of them two unrelated orders would share. "
        "That detectors agree does not make them right: all of them ask the same classifier."
    )
    several = Heading("Images near the top of several detectors")
    blocks = [_pairs(rankings), several, _suspects(rankings, names), *classes]
    return Section("agreement", "Do the detectors agree?", words, blocks, "Agreement")


def _spread(ranking: Ranking) -> str:
    """Where the suspicions lie, and whether masks, if there are any, explain the answers."""
    row = ranking.row
    low, middle, high = (number(float(row[f"suspicion_{one}"])) for one in ("min", "median", "max"))
    distinct = counted(int(row["distinct"]), "different value")
    said = f"From {low} to {high}, half of the images below {middle}; {distinct}."
    if row.get("answers_kept") is None:
        return said
    return (
        f"{said} With random colors in place of what a mask drops, the classifier still gives the "
        f"same answer {percent(float(row['answers_kept']))} of the time: the lower that is, the "
        "less the masks explain."
    )


def _pictures(
    ranking: Ranking, names: Sequence[str], group: str, places: Sequence[int]
) -> Pictures:
    """Each picture of a group with its mask, its file and what was said of it."""
    pictures = ranking.pictures.get(group, np.zeros((0, 1, 1, 1), np.uint8))
    masks = ranking.pictures.get(f"{group}_masks")
    shown = []
    for row, (picture, place) in enumerate(zip(pictures, places, strict=False)):
        both = [picture] if masks is None else [picture, masks[row]]
        shown.append(
            CaptionedImage(
                [grid(one[None], 1, 1) for one in both],
                f"{place + 1:,}",
                names[ranking.labels[place]],
                small=readable(ranking.files[place]),
                aside=f"suspicion {number(float(ranking.suspicion[place]))}",
            )
        )
    return Pictures(shown, layout="strip" if masks is None else "masked")


def _pairs(rankings: Sequence[Ranking]) -> Table:
    lines = [
        [
            Cell(f"{name('detector', one)} and {name('detector', other)}"),
            Cell(NOTHING if isnan(correlation) else number(round(correlation, 3))),
            Cell(f"{shared:,}"),
            Cell(number(expected)),
        ]
        for one, other, correlation, shared, expected in pairs(rankings)
    ]
    headers = ("detectors", "rank correlation", "near the top of both", "by chance alone")
    return Table(headers, lines)


def _suspects(rankings: Sequence[Ranking], names: Sequence[str]) -> Table:
    """Images near the top of several detectors, with their ranks."""
    first = rankings[0]
    classes = dict(zip(first.files, first.labels.tolist(), strict=True))
    lines = [
        [Cell(readable(file)), Cell(names[classes[file]]), *(Cell(f"{rank:,}") for rank in ranks)]
        for file, ranks in suspects(rankings)[:MOST_LINES]
    ]
    return Table(("file", "class", *(f"rank, {_name(one)}" for one in rankings)), lines, 2)


def _classes(
    rankings: Sequence[Ranking], names: Sequence[str], sizes: npt.NDArray[np.int64]
) -> Table:
    """How many of the images near the top each class has; classes without one are left out."""
    n = len(rankings[0].files)
    tops = [ranking.labels[: top(n)] for ranking in rankings]
    near = np.array([np.bincount(one, minlength=len(sizes)) for one in tops])
    order = np.argsort(-near.sum(axis=0), kind="stable")
    lines = [
        [
            Cell(names[label]),
            Cell(f"{sizes[label]:,}", percent(sizes[label] / n)),
            *(Cell(f"{count:,}", percent(count / top(n))) for count in near[:, label]),
        ]
        for label in order[:MOST_LINES]
        if near[:, label].any()
    ]
    headers = [f"of the top, {_name(ranking)}" for ranking in rankings]
    return Table(("class", "of all images", *headers), lines)
