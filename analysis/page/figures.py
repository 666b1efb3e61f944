"""The charts of a report, each one panel wide: a page lays them out, so they read on a phone.

Every function takes rows (or a curve) and gives SVG text, the same bytes for the same numbers.
"""

from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from analysis.page.drawing import (
    in_percent,
    in_points,
    legend,
    lines,
    paper_points,
    ratio_axis,
    stack,
    times_axis,
)
from analysis.page.style import (
    GROUP_COLORS,
    INK,
    LABEL_SIZE,
    PAPER,
    panel,
    panels,
    to_svg,
)
from analysis.page.wording import crossing_place, ratio_name, trigger_name
from analysis.published import Published
from analysis.rows import Family, Row, guided, same
from analysis.statistics.comparison import above_constant, level_of
from analysis.statistics.composition import GROUPS
from analysis.statistics.intervals import Estimate
from analysis.statistics.transition import Crossing, Transition

WIDE = (3.5, 3.1)
"""Inches of the panels of which two stand side by side."""


def composition(family: Family, guidance_weight: float, salt: str, title: str = "") -> str:
    """Stacked G1..G4, a bar a poison ratio with both controls, and p_t drawn across each bar.

    Args:
        family: What was measured.
        guidance_weight: The panel's.
        salt: Sets this figure's identifiers apart from those of others on a page.
        title: The panel's; by default its guidance weight.
    """
    bars = _bars(family, guidance_weight)
    with panel(tick_lines=1 + any("\n" in name for name, _ in bars)) as (figure, axes):
        for x, (_, rows) in enumerate(bars):
            stack(axes, x, rows)
        axes.set_xticks(range(len(bars)), [name for name, _ in bars])
        axes.set_xlim(-0.6, len(bars) - 0.4)
        axes.set_ylim(0, 1)
        axes.yaxis.set_major_formatter(in_percent)
        axes.set_title(title or f"Guidance w = {guidance_weight:g}")
        axes.set_xlabel("poison ratio p (of all training images)")
        legend(axes, _group_handles())
        return to_svg(figure, salt)


def amplification_by_ratio(
    family: Family, published: Sequence[Published], difference: bool, salt: str
) -> str:
    """Trigger ratio over p_t (or minus it) against the poison ratio, a line a guidance weight.

    Args:
        family: What was measured.
        published: The paper's values to draw beside ours.
        difference: Minus p_t instead of over it.
        salt: As `composition`.
    """
    curves = [
        (
            f"w = {weight:g}",
            *_curve(guided(family.rows, weight), "poison_ratio", _amplify(difference)),
        )
        for weight in family.guidance_weights
    ]
    theirs = [
        (value.poison_ratio, value.trigger_ratio, value.p_t)
        for value in published
        if value.trigger_ratio is not None and value.p_t is not None
    ]
    points = [(ratio, share - p_t if difference else share / p_t) for ratio, share, p_t in theirs]
    with panel(*WIDE) as (figure, axes):
        lines(axes, curves)
        paper_points(axes, points, "paper")
        axes.axhline(0 if difference else 1, color=INK, linewidth=1, linestyle=(0, (3, 2)))
        ratio_axis(axes, [*family.poison_ratios, *(ratio for ratio, _ in points)])
        if difference:
            axes.set_title("Trigger ratio − p_t (points)")
            axes.yaxis.set_major_formatter(in_points)
        else:
            axes.set_title("Trigger ratio ÷ p_t")
            times_axis(axes)
        legend(axes, axes.get_legend_handles_labels()[0])
        return to_svg(figure, salt)


def trigger_by_guidance(
    family: Family, published: Sequence[Published], amplified: bool, salt: str
) -> str:
    """Trigger ratio (or its multiple of p_t) against guidance, a line a poison ratio.

    Args:
        family: What was measured.
        published: The paper's Fig. A7, drawn beside ours.
        amplified: Over p_t instead of plain.
        salt: As `composition`.
    """
    measure = (
        _amplify(False) if amplified else lambda rows: level_of(rows, "trigger_ratio").estimate
    )
    curves = [
        (
            ratio_name(ratio) if number else f"p = {ratio_name(ratio)}",
            *_curve(
                [row for row in family.rows if same(row["poison_ratio"], ratio)],
                "guidance_weight",
                measure,
            ),
        )
        for number, ratio in enumerate(family.poison_ratios)
    ]
    points = [
        (
            value.guidance_weight,
            value.trigger_ratio / value.p_t if amplified else value.trigger_ratio,
        )
        for value in published
        if value.trigger_ratio is not None and value.p_t is not None
    ]
    with panel(*WIDE) as (figure, axes):
        lines(axes, curves)
        paper_points(axes, points, "paper", joined=True)
        weights = sorted({*family.guidance_weights, *(weight for weight, _ in points)})
        axes.set_xscale("log")
        axes.set_xticks(weights, [f"{weight:g}" for weight in weights])
        axes.minorticks_off()
        axes.set_xlabel("guidance weight w")
        if amplified:
            axes.set_title("Trigger ratio ÷ p_t")
            axes.axhline(1, color=INK, linewidth=1, linestyle=(0, (3, 2)))
            times_axis(axes)
        else:
            axes.set_title("Trigger ratio")
            axes.set_ylim(0, 1)
            axes.yaxis.set_major_formatter(in_percent)
        legend(axes, axes.get_legend_handles_labels()[0])
        return to_svg(figure, salt)


def transition_gaps(family: Family, curve: Transition, guidance_weight: float, salt: str) -> str:
    """G1 and G2 minus p_t against the poison ratio, with both p* and their intervals marked.

    Args:
        family: What was measured.
        curve: The transition at this guidance weight.
        guidance_weight: The panel's.
        salt: As `composition`.
    """
    with panel() as (figure, axes):
        axes.axhline(0, color=INK, linewidth=1, linestyle=(0, (3, 2)))
        for group, gaps, marker in (("g1", curve.gap_1, "o"), ("g2", curve.gap_2, "s")):
            color = GROUP_COLORS[group]
            for ratio in curve.poison_ratios:
                gap = above_constant(family.at(ratio, guidance_weight), group, "p_t").estimate
                axes.plot([ratio, ratio], [gap.low, gap.high], color=color, linewidth=1.1)
            axes.plot(
                curve.poison_ratios,
                gaps,
                color=color,
                marker=marker,
                markeredgecolor=PAPER,
                label=f"{group.upper()} − p_t",
            )
        ratio_axis(axes, curve.poison_ratios)
        low, high = axes.get_ylim()
        axes.set_ylim(low - 0.22 * (high - low), high)
        _mark(axes, curve, curve.gap, "p*_gap", 0.12)
        _mark(axes, curve, curve.dominance, "p*_dom", 0.035)
        axes.yaxis.set_major_formatter(in_points)
        axes.set_title(f"Guidance w = {guidance_weight:g}")
        legend(axes, axes.get_legend_handles_labels()[0])
        return to_svg(figure, salt)


def compositions(found: Sequence[Family], guidance_weight: float, salt: str) -> str:
    """A small `composition` a trigger, side by side at one height.

    Args:
        found: At least one; relabelling alone may be a family of its own.
        guidance_weight: Of all of them.
        salt: As `composition`.
    """
    with panels(len(found)) as (figure, row):
        for axes, family in zip(row, found, strict=True):
            bars = _bars(family, guidance_weight)
            for x, (_, rows) in enumerate(bars):
                stack(axes, x, rows)
            axes.set_xticks(range(len(bars)), [name for name, _ in bars])
            axes.set_xlim(-0.6, max(len(bars), 1) - 0.4)
            axes.set_title(trigger_name(family.trigger))
        row[0].set_ylim(0, 1)
        row[0].yaxis.set_major_formatter(in_percent)
        row[0].set_xlabel("poison ratio p")
        legend(row[0], _group_handles())
        return to_svg(figure, salt)


def _group_handles() -> list[Patch | Line2D]:
    """What the colors and the line of a stacked bar mean."""
    handles = [
        Patch(facecolor=GROUP_COLORS[group], edgecolor="none", label=group.upper())
        for group in GROUPS
    ]
    return [*handles, Line2D([], [], color=INK, linewidth=1.8, label="p_t")]


def _bars(family: Family, weight: float) -> list[tuple[str, list[Row]]]:
    """The bars of one panel, left to right: clean, each poison ratio, relabel-only."""
    clean = guided(family.clean, weight)
    bars = [("0%", clean)] if clean else []
    for ratio in family.poison_ratios:
        if rows := family.at(ratio, weight):
            bars.append((ratio_name(ratio), rows))
    relabelled = guided(family.relabel_only, weight)
    for ratio in sorted({float(row["poison_ratio"]) for row in relabelled}):
        rows = [row for row in relabelled if same(row["poison_ratio"], ratio)]
        bars.append((f"{ratio_name(ratio)}\nrelabel", rows))
    return bars


def _amplify(difference: bool) -> Callable[[Sequence[Row]], Estimate]:
    def measure(rows: Sequence[Row]) -> Estimate:
        share = level_of(rows, "trigger_ratio").estimate
        p_t = float(np.mean([row["p_t"] for row in rows]))
        return share.shifted(-p_t) if difference else share.divided(p_t)

    return measure


def _curve(
    rows: Sequence[Row], column: str, measure: Callable[[Sequence[Row]], Estimate]
) -> tuple[list[float], list[Estimate]]:
    places = sorted({float(row[column]) for row in rows})
    return places, [measure([row for row in rows if same(row[column], x)]) for x in places]


def _mark(axes: Axes, curve: Transition, crossing: Crossing, name: str, height: float) -> None:
    """A p* with its interval, low in the panel: a dot, or an arrow when past the sweep."""
    first, last = curve.poison_ratios[0], curve.poison_ratios[-1]
    across = axes.get_xaxis_transform()
    place = min(crossing.value, last * 1.12)
    low, high = (min(bound, last * 1.12) for bound in crossing.interval or (place, place))
    axes.plot([low, high], [height] * 2, color=INK, linewidth=1.4, transform=across)
    marker = ">" if place > last else "<" if crossing.at_first else "o"
    axes.plot([place], [height], color=INK, marker=marker, markersize=4.5, transform=across)
    left = place > (first * last) ** 0.5
    axes.annotate(
        f"{name} {crossing_place(crossing, curve.poison_ratios)}",
        (low if left else high, height),
        xycoords=across,
        xytext=(-6 if left else 7, 0),
        textcoords="offset points",
        ha="right" if left else "left",
        va="center",
        fontsize=LABEL_SIZE,
        color=INK,
    )
