"""Pieces that the pages of several studies show: headings, figures in the page, image shelves."""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from analysis.old.report import StudyReport
from analysis.old.rows import Row, row_key
from analysis.page.images import grid
from analysis.page.style import inlined
from analysis.page.wording import (
    percent,
    ratio_name,
)
from analysis.statistics.composition import GROUPS

GALLERY_COLUMNS, GALLERY_ROWS = 6, 4
"""How many images of a group a shelf shows: 6 times 4."""


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
