"""Pieces that the pages of several studies show: headings, figures in the page, image shelves."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from analysis.classification_rows import Areas, Classified
from analysis.composition import GROUPS
from analysis.defense_rows import Defended
from analysis.detection_rows import Detected, NullPoints
from analysis.grids import grid
from analysis.page import StudyReport
from analysis.rows import AcrossSamplers, AmongTriggers, Family, Row, row_key
from analysis.style import inlined
from analysis.wording import (
    classifier_name,
    detector_name,
    noise_model_name,
    percent,
    ratio_name,
    sampler_name,
    titled,
    trigger_name,
)

GALLERY_COLUMNS, GALLERY_ROWS = 6, 4
"""How many images of a group a shelf shows: 6 times 4."""


Subject = (
    Family | AcrossSamplers | AmongTriggers | Detected | NullPoints | Defended | Classified | Areas
)
"""The rows that a claim may be about."""


def heading(subject: Subject) -> str:
    """What some rows are about: trigger, target class and one sampler, detector or model."""
    if isinstance(subject, NullPoints):
        return "Clean data with random flags"
    stamp = subject.stamp if isinstance(subject, Classified) else trigger_name(subject.trigger)
    words = [f"{stamp}s by size" if isinstance(subject, Areas) else stamp]
    words += [f"class {subject.target_class}"]
    if isinstance(subject, Family | AmongTriggers):
        words.append(sampler_name(subject.sampler))
    if isinstance(subject, Detected):
        words.append(detector_name(subject.detector))
    if isinstance(subject, Defended):
        words.append(classifier_name(subject.classifier))
    if isinstance(subject, Classified | Areas):
        words.append(noise_model_name(subject.noise_model))
    return titled(", ".join(words))


def stems(names: Iterable[Sequence[str]]) -> list[str]:
    """A start of file names for each list of words, numbered where two come out alike."""
    made: list[str] = []
    for words in names:
        safe = re.sub(r"[^a-z0-9_-]", "-", "-".join(words).lower())
        name, number = safe, 1
        while name in made:
            number += 1
            name = f"{safe}-{number}"
        made.append(name)
    return made


def inline(drawn: Mapping[str, str], name: str, description: str) -> Markup | None:
    """A figure as an element of the page; None when it was not drawn."""
    # Markup: SVG that we drew; words in it were escaped when it was drawn.
    return Markup(inlined(drawn[name], description)) if name in drawn else None


def shelf(rows: Iterable[Row], report: StudyReport) -> list[dict[str, Any]]:
    """A line a row that has images: per group a grid of them, of several seeds the first."""
    rows = list(rows)
    first_seed = min((row["seed"] for row in rows), default=0)
    return [
        {"name": _point_name(row), "cells": _cells(row, images)}
        for row in rows
        if row["seed"] == first_seed and (images := report.groups.get(row_key(row))) is not None
    ]


def _point_name(row: Row) -> str:
    ratio = ratio_name(float(row["poison_ratio"]))
    names = {"none": "clean, p = 0", "relabel_only": f"relabel-only, {ratio}"}
    return names.get(row["trigger"], f"p = {ratio}")


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
