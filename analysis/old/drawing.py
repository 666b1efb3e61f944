"""Pieces that several charts are drawn with: stacked bars, lines with intervals, axes, legends."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from analysis.old.rows import Row
from analysis.page.style import (
    GROUP_COLORS,
    GROUP_LABEL_COLORS,
    INK,
    LABEL_SIZE,
    MARKERS,
    MUTED,
    PAPER,
    RAMP,
)
from analysis.page.wording import ratio_name
from analysis.statistics.comparison import level_of
from analysis.statistics.composition import GROUPS
from analysis.statistics.intervals import Estimate

Curve = tuple[str, Sequence[float], Sequence[Estimate]]
"""A line: its label, where along x, and what was measured there."""


def stack(axes: Axes, x: int, rows: Sequence[Row]) -> None:
    """One point's G1..G4 on top of each other at ``x``, with intervals and p_t across."""
    relabelled = rows[0]["trigger"] == "relabel_only"
    p_t = float(rows[0]["relabelled_ratio"] if relabelled else rows[0]["p_t"])
    bottom = 0.0
    for group in GROUPS:
        share = float(np.mean([row[group] for row in rows]))
        axes.bar(x, share, 0.78, bottom, color=GROUP_COLORS[group], edgecolor=PAPER, linewidth=0.7)
        height = _clear_of(p_t, bottom, share)
        if height is not None:
            axes.text(
                x,
                height,
                f"{100 * share:.0f}",
                ha="center",
                va="center_baseline",
                color=GROUP_LABEL_COLORS[group],
                fontsize=LABEL_SIZE,
            )
        bottom += share
    for name, shift in (("g1", -0.29), ("trigger_ratio", 0.29)):
        bounds = level_of(rows, name).estimate
        axes.plot([x + shift] * 2, [bounds.low, bounds.high], color=PAPER, linewidth=2.6)
        axes.plot([x + shift] * 2, [bounds.low, bounds.high], color=INK, linewidth=1.1)
    if p_t > 0:
        style = (0, (1.2, 1.2)) if relabelled else "solid"
        axes.plot([x - 0.44, x + 0.44], [p_t, p_t], color=PAPER, linewidth=3.6)
        axes.plot([x - 0.44, x + 0.44], [p_t, p_t], color=INK, linewidth=1.8, linestyle=style)


def _clear_of(line: float, bottom: float, share: float) -> float | None:
    """Height for a bar segment's number: its middle, beside a line through it, or no room."""
    middle, room, half_a_digit = bottom + share / 2, 0.05, 0.03
    if share < 2 * half_a_digit:
        return None
    if abs(middle - line) >= room:
        return middle
    moved = line + room if middle >= line else line - room
    return moved if abs(moved - middle) <= share / 2 - half_a_digit else None


def lines(axes: Axes, curves: Sequence[Curve]) -> None:
    """A line with markers and intervals a curve, along a logarithmic x."""
    for number, (label, places, estimates) in enumerate(curves):
        color, marker = RAMP[number % len(RAMP)], MARKERS[number % len(MARKERS)]
        # Markers side by side: intervals of several lines at one place would hide each other.
        moved = [place * 1.018 ** (number - (len(curves) - 1) / 2) for place in places]
        for x, estimate in zip(moved, estimates, strict=True):
            axes.plot([x, x], [estimate.low, estimate.high], color=color, linewidth=1.1)
        values = [estimate.value for estimate in estimates]
        axes.plot(
            moved,
            values,
            color=color,
            marker=marker,
            markeredgecolor=PAPER,
            markeredgewidth=0.8,
            label=label,
        )


def paper_points(
    axes: Axes,
    points: Sequence[tuple[float, float]],
    label: str,
    joined: bool = False,
    color: str = MUTED,
) -> None:
    """The paper's values as open circles, joined by a dotted line or not."""
    if points:
        axes.plot(
            [x for x, _ in points],
            [y for _, y in points],
            color=color,
            linestyle=(0, (1, 2)) if joined else "none",
            linewidth=1.2,
            marker="o",
            markerfacecolor=PAPER,
            markeredgecolor=color,
            label=label,
        )


def ratio_axis(axes: Axes, ratios: Sequence[float]) -> None:
    """A logarithmic x of poison ratios, a tick each."""
    ticks = sorted(set(ratios))
    axes.set_xscale("log")
    axes.set_xticks(ticks, [ratio_name(ratio) for ratio in ticks])
    axes.minorticks_off()
    axes.set_xlim(ticks[0] / 1.18, ticks[-1] * 1.18)
    axes.set_xlabel("poison ratio p (of all training images)")


def times_axis(axes: Axes) -> None:
    """A logarithmic y of multiples, around what is drawn."""
    # A count of zero would pull a logarithmic axis to nothing; below a twentieth it is cut off.
    low = max(0.05, min(0.85, 0.85 * axes.dataLim.ymin))
    high = max(1.3, 1.15 * axes.dataLim.ymax)
    axes.set_yscale("log")
    axes.set_ylim(low, high)
    ticks = [tick for tick in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50) if low <= tick <= high]
    axes.set_yticks(ticks, [f"×{tick:g}" for tick in ticks])
    axes.minorticks_off()


TWO_LINES = 38.0
"""Points between axes and title that a legend in two lines takes; the panel must be `TALL`."""
TALL = 3.8
"""Inches of a panel with such a legend."""


def legend(axes: Axes, handles: Sequence[object], columns: int = 5) -> None:
    """A legend between title and axes, in one line unless it has more than ``columns``."""
    axes.legend(
        handles=list(handles),
        loc="lower left",
        bbox_to_anchor=(-0.01, 1.025),
        ncols=columns,
    )


def in_percent(value: float, _: object) -> str:
    """A tick that is a fraction."""
    return f"{100 * value:.0f}%"


def in_points(value: float, _: object) -> str:
    """A tick that is a difference of fractions."""
    return f"{100 * value:+.0f}".replace("-", "−").replace("+0", "0")
