"""The most and the least suspicious images of a ``detection`` page, flagged, with their masks."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from analysis.old.report import StudyReport
from analysis.old.rows import Row, row_key
from analysis.page.images import framed
from analysis.page.style import GROUP_COLORS
from analysis.page.wording import detector_name, image_set_name, titled, trigger_name
from orchestrator.studies.detection.curves import Scores
from orchestrator.studies.detection.rows import Compared, Detected, detections

COLUMNS = 6
"""Images a line."""
ENDS = (("most_suspicious", "most suspicious"), ("least_suspicious", "least suspicious"))
"""The two ends of a ranking, and what they are called."""


def shelves(report: StudyReport, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """A shelf a trigger and detector; on it a line a poison ratio and set of images.

    Of several seeds and ways of generating the first; the highest poison ratio comes first.  The
    first shelf of a detector with masks is open, or without one the first.
    """
    found = [(subject, _lines(subject, report)) for subject in detections(rows)]
    made = [
        {
            "name": titled(f"{trigger_name(subject.trigger)}, {detector_name(subject.detector)}"),
            "lines": lines,
            "masked": any(line["masked"] for line in lines),
            "open": False,
        }
        for subject, lines in found
        if lines
    ]
    for shelf in sorted(made, key=lambda shelf: not shelf["masked"])[:1]:
        shelf["open"] = True
    return made


def flags_of(scores: Scores, k: int) -> dict[str, npt.NDArray[np.bool_]]:
    """Which of the k most and of the k least suspicious images are positives, bool, (k,) each.

    Both from the extreme inwards; of equally suspicious images the first is the more suspicious.
    """
    order = np.argsort(-scores["suspicion"], kind="stable")
    return {
        "most_suspicious": scores["poisoned"][order[:k]],
        "least_suspicious": scores["poisoned"][order[::-1][:k]],
    }


def _lines(subject: Detected, report: StudyReport) -> list[dict[str, Any]]:
    lines = []
    for one in subject.reported[::-1]:
        for rows in (one.training, one.generation):
            if rows and (pictures := report.groups.get(row_key(rows[0]))) is not None:
                cells = _cells(pictures, report.scores.get(row_key(rows[0])))
                lines.append(
                    {
                        "name": _line_name(one, rows[0]),
                        "cells": cells,
                        "masked": f"{ENDS[0][0]}_masks" in pictures,
                    }
                )
    return lines


def _line_name(one: Compared, row: Row) -> str:
    return f"{one.place}, {image_set_name(str(row['image_set']))}"


def _cells(pictures: Mapping[str, Any], scores: Scores | None) -> list[dict[str, Any]]:
    cells = []
    for name, words in ENDS:
        images, masks = pictures.get(name), pictures.get(f"{name}_masks")
        if images is None or not len(images):
            cells.append({"name": titled(words), "said": "", "image": None, "described": ""})
            continue
        flags = None if scores is None else flags_of(scores, len(images))[name]
        said = "" if flags is None else f"{int(flags.sum())} of {len(flags)} poisoned"
        image = Markup(framed(images, _colors(flags, len(images)), COLUMNS, masks))
        cells.append(
            {
                "name": titled(words),
                "said": said,
                "image": image,
                "described": _described(words, flags, masks is not None),
            }
        )
    return cells


def _described(words: str, flags: npt.NDArray[np.bool_] | None, masked: bool) -> str:
    """What a screen reader says."""
    beneath = " with their masks" if masked else ""
    if flags is None:
        return f"the {words} images{beneath}"
    kinds = ", ".join("poisoned" if flag else "clean" for flag in flags)
    return f"the {words} images{beneath}: {kinds}"


def _colors(flags: npt.NDArray[np.bool_] | None, k: int) -> list[tuple[int, int, int]]:
    """A frame's color an image: red for poisoned, blue for clean, grey where it is not known."""
    if flags is None:
        return [_rgb(GROUP_COLORS["g3"])] * k
    return [_rgb(GROUP_COLORS["g1" if flag else "g4"]) for flag in flags]


def _rgb(color: str) -> tuple[int, int, int]:
    red, green, blue = (int(color[place : place + 2], 16) for place in (1, 3, 5))
    return red, green, blue
