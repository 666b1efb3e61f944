"""Charts of G1..G4: stacked shares, a bar for each point."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from analysis.names import name
from analysis.page import style
from analysis.page.figures import DOTTED, SOLID, TITLES, Figure, legend, outlined, percent
from analysis.page.style import GROUP_COLORS, GROUP_LABEL_COLORS, INK, LABEL_SIZE, PAPER
from analysis.rows import Row, Rows, groups, records, select, values
from analysis.statistics.comparison import level_of
from analysis.statistics.composition import GROUPS

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def stacks(file: str, title: str, bars: Sequence[tuple[str, Rows]]) -> Figure:
    """Stacked shares of G1..G4 with p_t drawn across: a label and a point's rows for each bar."""
    with style.panel(tick_lines=1 + any("\n" in label for label, _ in bars)) as (figure, axes):
        _stack_all(axes, bars, title)
        axes.set_xlabel(TITLES["poison_ratio"])
        legend(axes, _group_handles())
        return Figure(file, style.to_svg(figure, file), f"{title}: composition by poison ratio")


def stack_row(file: str, panels: Sequence[tuple[str, Sequence[tuple[str, Rows]]]]) -> Figure:
    """Several small panels of `stacks`, each with its title, side by side at one height."""
    with style.panels(len(panels)) as (figure, row):
        for axes, (title, bars) in zip(row, panels, strict=True):
            _stack_all(axes, bars, title)
        row[0].set_xlabel("poison ratio p")
        legend(row[0], _group_handles())
        return Figure(file, style.to_svg(figure, file), "Composition by trigger and poison ratio")


def composition_bars(rows: Rows, weight: float) -> list[tuple[str, Rows]]:
    """The bars of a trigger at one guidance weight: clean, each ratio, then relabel-only."""
    at_weight = select(rows, guidance_weight=weight)
    bars = []
    order = {"none": 0, "relabel_only": 2}
    for trigger in sorted(values(at_weight, "trigger"), key=lambda name: order.get(name, 1)):
        for at, own in groups(select(at_weight, trigger=trigger), "poison_ratio"):
            below = "\nrelabel" if trigger == "relabel_only" else ""
            bars.append((name("poison_ratio", at["poison_ratio"]) + below, own))
    return bars


def _group_handles() -> list[object]:
    from matplotlib.lines import Line2D
    from matplotlib.patches import Patch

    patches = [
        Patch(facecolor=GROUP_COLORS[group], edgecolor="none", label=group.upper())
        for group in GROUPS
    ]
    return [*patches, Line2D([], [], color=INK, linewidth=1.8, label="p_t")]


def _stack_all(axes: "Axes", bars: Sequence[tuple[str, Rows]], title: str) -> None:
    for x, (_, rows) in enumerate(bars):
        _stack(axes, x, records(rows))
    axes.set_xticks(range(len(bars)), [label for label, _ in bars])
    axes.set_xlim(-0.6, max(len(bars), 1) - 0.4)
    axes.set_ylim(0, 1)
    axes.yaxis.set_major_formatter(percent)
    axes.set_title(title)


def _stack(axes: "Axes", x: int, rows: Sequence[Row]) -> None:
    """One point's groups on top of each other, with intervals and p_t across."""
    relabelled = rows[0]["trigger"] == "relabel_only"
    p_t = float(rows[0]["relabelled_ratio"] if relabelled else rows[0]["p_t"])
    bottom = 0.0
    for group in GROUPS:
        share = float(np.mean([row[group] for row in rows]))
        axes.bar(x, share, 0.78, bottom, color=GROUP_COLORS[group], edgecolor=PAPER, linewidth=0.7)
        height = _clear_of(p_t, bottom, share)
        if height is not None:
            words: Any = {"ha": "center", "va": "center_baseline", "fontsize": LABEL_SIZE}
            axes.text(x, height, f"{100 * share:.0f}", color=GROUP_LABEL_COLORS[group], **words)
        bottom += share
    for metric, shift in (("g1", -0.29), ("trigger_ratio", 0.29)):
        bounds = level_of(rows, metric).estimate
        outlined(axes, [x + shift] * 2, [bounds.low, bounds.high], 1.1)
    if p_t > 0:
        dash = DOTTED if relabelled else SOLID
        outlined(axes, [x - 0.44, x + 0.44], [p_t, p_t], 1.8, linestyle=dash)


def _clear_of(line: float, bottom: float, share: float) -> float | None:
    """Height for a bar segment's number: its middle, beside a line through it, or no room."""
    middle, room, half_a_digit = bottom + share / 2, 0.05, 0.03
    if share < 2 * half_a_digit:
        return None
    if abs(middle - line) >= room:
        return middle
    moved = line + room if middle >= line else line - room
    return moved if abs(moved - middle) <= share / 2 - half_a_digit else None
