"""What the pages of all studies show whose points are split into G1..G4."""

from collections.abc import Mapping, Sequence
from typing import Any

from analysis import published
from analysis.page.parts import inline
from analysis.page.sampler_figures import template_match_beside_judge
from analysis.page.tables import (
    corrections,
    judges,
    measurements,
    other_conditions,
    template_matches,
)
from analysis.page.wording import percent, ratio_name
from analysis.rows import Row, has_template_match
from analysis.statistics.composition import GROUPS

TEMPLATE_MATCH = "template_match"
"""Name of the figure that sets the template match beside the judge."""

GROUP_WORDS = {
    "g1": "trigger, mismatch",
    "g2": "trigger, match",
    "g3": "no trigger, mismatch",
    "g4": "no trigger, match",
}


def figures(rows: Sequence[Row]) -> dict[str, str]:
    """The figures that all of these pages have, as SVG text by name."""
    return (
        {TEMPLATE_MATCH: template_match_beside_judge(rows, TEMPLATE_MATCH)}
        if any(map(has_template_match, rows))
        else {}
    )


def contents(rows: Sequence[Row], drawn: Mapping[str, str]) -> dict[str, Any]:
    """What ``groups.html`` is filled with.

    Args:
        rows: Sorted.
        drawn: Figures by name, `figures` of these rows among them.
    """
    return {
        "groups": [(group, group.upper(), GROUP_WORDS[group]) for group in GROUPS],
        "dashed_lines": _dashed_lines(),
        "measurements": measurements(rows),
        "template_match": inline(
            drawn, TEMPLATE_MATCH, "trigger ratios by the template match and by the judge"
        ),
        "template_matches": template_matches(rows),
        "corrections": corrections(rows),
        "judges": judges(rows),
        "others": other_conditions(rows),
    }


def _dashed_lines() -> list[tuple[str, list[tuple[str, str]]]]:
    return [
        (dataset, [(ratio_name(ratio), percent(p_t)) for ratio, p_t in lines.items()])
        for dataset, lines in published.DASHED_LINES.items()
    ]
