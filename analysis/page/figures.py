"""Charts of frames: lines with intervals, bars and scatter plots, each one panel wide.

Equal rows give equal bytes.  A page lays panels out side by side, so they read on a phone.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from analysis.names import name, place
from analysis.page import style
from analysis.page.style import INK, MARKERS, MUTED, PAPER, RAMP
from analysis.rows import Rows, groups
from analysis.statistics.intervals import Estimate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SOLID: Any = "solid"
DASHED: Any = (0, (3, 2))
DOTTED: Any = (0, (1, 1.6))
WIDE, TALL = (3.5, 3.1), (3.5, 3.8)
"""Inches of a panel beside another one, and of one with a legend in two lines."""
TWO_LINES = 38.0
"""Points between the panel and its title that such a legend takes."""
STEP = 0.12
"""How far two curves stand apart where they have a place in common, in distances of places."""
TITLES = {
    "poison_ratio": "poison ratio p (of all training images)",
    "guidance_weight": "guidance weight w",
    "filter_ratio": "share of the losses dropped",
}
"""What stands along x, by column."""


class Figure(NamedTuple):
    """A drawn chart: its file's name without a suffix, its text, and words for screen readers."""

    name: str
    svg: str
    words: str


@dataclass(frozen=True, kw_only=True)
class Curve:
    """What is drawn in one color: marks with intervals, joined by a line."""

    label: str
    points: Sequence[tuple[float, Estimate]]
    """Where along x, and what was measured there."""
    dots: Sequence[tuple[float, float]] = ()
    """Single seeds, drawn small."""
    color: str = ""
    marker: str = ""
    """By default the next of `RAMP` and of `MARKERS`."""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A thin line without intervals: a control, or what training or chance would give."""

    label: str
    value: float | Sequence[tuple[float, float]]
    """Across the panel at this height, or through these points."""
    color: str = INK
    dash: Any = DASHED
    band: Estimate | None = None
    """Its interval, drawn as a band across the panel."""


@dataclass(frozen=True, kw_only=True)
class Printed:
    """Numbers of the paper, drawn as open circles."""

    points: Sequence[tuple[float, float]]
    ends: Sequence[float] = ()
    """A second height for each, drawn filled and joined to the first."""
    label: str = "paper"
    joined: bool = False
    color: str = MUTED
    marker: str = "o"
    beside: float = 0.0
    """How far to the right of its place, in the distance between two curves."""


def curve(
    label: str, rows: Rows, x: str, measure: Callable[[Rows], Estimate | None], **look: Any
) -> Curve:
    """A curve with a point for each value of column ``x``; ``look`` are other fields of `Curve`."""
    found = [(float(at[x]), measure(own)) for at, own in groups(rows, x) if at[x] is not None]
    points = [(where, estimate) for where, estimate in found if estimate is not None]
    return Curve(label=label, points=points, **look)


def curves_by(
    column: str, rows: Rows, x: str, measure: Callable[[Rows], Estimate | None]
) -> list[Curve]:
    """A `curve` for each value of a column, with short labels: "p = 1%", "2%"."""
    return [
        curve(name(column, at[column]) if number else place(**at), own, x, measure)
        for number, (at, own) in enumerate(groups(rows, column))
    ]


def lines(
    file: str,
    title: str,
    curves: Sequence[Curve],
    *,
    x: str,
    y: str = "share",
    references: Sequence[Reference] = (),
    printed: Sequence[Printed] = (),
    mark: "Callable[[Axes], None] | None" = None,
    size: tuple[float, float] = WIDE,
) -> Figure:
    """Lines with intervals against a ratio or a weight.

    Args:
        file: The figure's name.
        title: Above the panel.
        curves: Drawn side by side where they have a place in common.
        x: The column along x: ``filter_ratio`` at equal distances, others on a logarithmic axis.
        y: ``share`` (0 to 100%), ``accuracy`` (from a whole 10%), ``area`` (AUROC), ``times``
            (logarithmic) or ``points``.
        references: Behind the curves.
        printed: The paper's numbers, also at values of x where nothing was measured.
        mark: Draws more into the panel.
        size: Inches; `TALL` gives a long legend two lines.
    """
    theirs = {where for one in printed for where, _ in one.points}
    places = sorted(theirs.union(where for one in curves for where, _ in one.points))
    even = x == "filter_ratio"
    with style.panel(*size) as (figure, axes):
        at = _beside(places) if even else float
        _draw_references(axes, references, at)
        for number, one in enumerate(curves):
            _draw_curve(axes, one, number, _moved(at, number - (len(curves) - 1) / 2, even))
        for circles in printed:
            _draw_printed(axes, circles, _moved(at, circles.beside, even))
        _along(axes, x, places, even)
        _upwards(axes, y)
        if mark:
            mark(axes)
        tall = size == TALL
        axes.set_title(title, pad=TWO_LINES if tall else None)
        legend(axes, _once(axes), 3 if tall else 5)
        return Figure(file, style.to_svg(figure, file), title)


def bars(
    file: str,
    title: str,
    series: Sequence[Curve],
    *,
    across: Mapping[float, float],
    printed: Sequence[Printed] = (),
) -> Figure:
    """Bars side by side at each poison ratio, a color for each of ``series``.

    A line lies ``across`` each group of bars, p_t by poison ratio; ``printed`` is by series too.
    """
    ratios = sorted(across)
    width = 0.84 / max(1, len(series))
    with style.panel(*WIDE) as (figure, axes):
        for number, one in enumerate(series):
            shift = (number - (len(series) - 1) / 2) * width
            color = RAMP[number % len(RAMP)]
            for ratio, share in one.points:
                x = ratios.index(ratio) + shift
                axes.bar(x, share.value, width * 0.9, color=color, label=one.label)
                outlined(axes, [x] * 2, [share.low, share.high], 1.1)
            for circles in printed[number : number + 1]:
                _draw_printed(axes, circles, _beside(ratios, shift))
        for x, ratio in enumerate(ratios):
            outlined(axes, [x - 0.46, x + 0.46], [across[ratio]] * 2, 1.8, label="p_t")
        axes.set_xticks(range(len(ratios)), [name("poison_ratio", ratio) for ratio in ratios])
        axes.set_xlim(-0.6, len(ratios) - 0.4)
        _upwards(axes, "share")
        axes.set_xlabel(TITLES["poison_ratio"])
        axes.set_title(title)
        handles = _once(axes)
        split = len(handles) - len(series)
        legend(axes, [*handles[split:], *handles[:split][::-1]])
        return Figure(file, style.to_svg(figure, file), title)


def scatter(
    file: str,
    title: str,
    series: Sequence[tuple[str, Sequence[tuple[float, float]]]],
    *,
    along: str,
    diagonal: bool = False,
) -> Figure:
    """Two shares of the same things: ``along`` x, ``title`` upwards, points for each label."""
    most = max((x for _, points in series for x, _ in points), default=1.0) or 1.0
    many = len(series) > 3
    with style.panel(*(TALL if many else WIDE)) as (figure, axes):
        if diagonal:
            axes.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle=DASHED)
            most = 1.0
        for number, (label, points) in enumerate(series):
            look: Any = {"color": RAMP[number % len(RAMP)], "markeredgecolor": PAPER}
            look |= {"marker": MARKERS[number % len(MARKERS)], "linestyle": "none"}
            axes.plot([x for x, _ in points], [y for _, y in points], label=label, **look)
        axes.set_xlim(-0.02 * most, 1.05 * most)  # room for half of the last tick's words
        axes.set_ylim(-0.02, 1.05)
        axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.3g}%")
        axes.yaxis.set_major_formatter(percent)
        axes.set_xlabel(along)
        axes.set_title(title, pad=TWO_LINES if many else None)
        legend(axes, _once(axes), 3)
        return Figure(file, style.to_svg(figure, file), title)


def legend(axes: "Axes", handles: Iterable[object], columns: int = 5) -> None:
    """A legend between title and axes, in one line unless it has more than ``columns``."""
    found = list(handles)
    if found:
        axes.legend(handles=found, loc="lower left", bbox_to_anchor=(-0.01, 1.025), ncols=columns)


def _once(axes: "Axes") -> list[object]:
    """What has a label, each label once."""
    found: dict[str, object] = {}
    for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
        found.setdefault(label, handle)
    return [*found.values()]


def _moved(at: Callable[[float], float], by: float, even: bool) -> Callable[[float], float]:
    """Marks side by side: intervals of several curves at one place would hide each other."""
    return lambda where: at(where) + STEP * by if even else at(where) * 1.018**by


def _draw_curve(axes: "Axes", one: Curve, number: int, at: Callable[[float], float]) -> None:
    color = one.color or RAMP[number % len(RAMP)]
    places, dots = ([at(x) for x, _ in found] for found in (one.points, one.dots))
    for x, (_, estimate) in zip(places, one.points, strict=True):
        axes.plot([x] * 2, [estimate.low, estimate.high], color=color, linewidth=1.2)
    axes.plot(dots, [y for _, y in one.dots], ".", color=color, ms=3.5, mew=0)
    look: Any = {"markeredgecolor": PAPER, "markeredgewidth": 0.8, "label": one.label}
    look["marker"] = one.marker or MARKERS[number % len(MARKERS)]
    axes.plot(places, [estimate.value for _, estimate in one.points], color=color, **look)


def _beside(places: Sequence[float], by: float = 0.0) -> Callable[[float], float]:
    return lambda where: places.index(where) + by


def _draw_references(
    axes: "Axes", references: Iterable[Reference], at: Callable[[float], float]
) -> None:
    for one in references:
        look: Any = {"color": one.color, "linewidth": 1.1, "linestyle": one.dash}
        if one.band:
            axes.axhspan(one.band.low, one.band.high, color=style.LINE, linewidth=0)
        if isinstance(one.value, (int, float)):
            axes.axhline(one.value, label=one.label or None, **look)
        else:
            points = [(at(x), y) for x, y in one.value]
            look |= {"marker": ".", "markersize": 3}  # a single point has no line
            axes.plot([x for x, _ in points], [y for _, y in points], label=one.label, **look)


def _draw_printed(axes: "Axes", one: Printed, at: Callable[[float], float]) -> None:
    places = [at(x) for x, _ in one.points]
    look: Any = {"color": one.color, "marker": one.marker, "linewidth": 1.1, "ms": 4.5}
    joined = DOTTED if one.joined else "none"
    for x, (_, y), end in zip(places, one.points, one.ends, strict=False):
        axes.plot([x, x], [y, end], color=one.color, linewidth=0.9)
        axes.plot([x], [end], **look)
    heights = [y for _, y in one.points]
    axes.plot(places, heights, markerfacecolor=PAPER, linestyle=joined, label=one.label, **look)


def _along(axes: "Axes", x: str, places: Sequence[float], even: bool) -> None:
    if even:
        axes.set_xticks(range(len(places)), [name(x, where) for where in places])
        axes.set_xlim(-0.45, len(places) - 0.55)
    elif places:
        axes.set_xscale("log")
        axes.set_xticks(places, [name(x, where) for where in places])
        axes.minorticks_off()
        axes.set_xlim(places[0] / 1.18, max(places[-1] * 1.18, axes.dataLim.x1 * 1.08))
    axes.set_xlabel(TITLES.get(x, x.replace("_", " ")))


def _upwards(axes: "Axes", y: str) -> None:
    low, high = axes.dataLim.ymin, axes.dataLim.ymax
    if y == "times":
        # A count of zero would pull a logarithmic axis to nothing; below a twentieth it is cut off.
        low, high = max(0.05, min(0.85, 0.85 * low)), max(1.3, 1.15 * high)
        axes.set_yscale("log")
        axes.set_ylim(low, high)
        ticks = [tick for tick in (0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50) if low <= tick <= high]
        axes.set_yticks(ticks, [f"×{tick:g}" for tick in ticks])
        axes.minorticks_off()
    elif y == "area":
        axes.set_ylim(-0.02, 1.04)
        axes.set_yticks((0, 0.25, 0.5, 0.75, 1), ("0", ".25", ".5", ".75", "1"))
    elif y == "points":
        axes.yaxis.set_major_formatter(
            lambda value, _: f"{100 * value:+.0f}".replace("-", "−").replace("+0", "0")
        )
    elif y == "accuracy":
        low = int(10 * max(0.0, min(float(low), 0.9))) / 10
        axes.set_ylim(low - 0.03 * (1 - low), 1 + 0.03 * (1 - low))
        step = next(step for step in (0.02, 0.05, 0.1, 0.2) if 1 - low < 6.5 * step)
        axes.set_yticks(np.arange(low, 1 + step / 2, step))
        axes.yaxis.set_major_formatter(percent)
    elif y == "share":
        axes.set_ylim(0, 1.02)
        axes.yaxis.set_major_formatter(percent)


def percent(value: float, _: object) -> str:
    """A tick that is a fraction."""
    return f"{100 * value:.0f}%"


def outlined(
    axes: "Axes", x: Sequence[float], y: Sequence[float], width: float, **look: Any
) -> None:
    """A dark line with a light edge, seen on every color."""
    axes.plot(x, y, color=PAPER, linewidth=width + 1.7)
    axes.plot(x, y, color=INK, linewidth=width, **look)


def stems(names: Iterable[Sequence[str]]) -> list[str]:
    """A start of file names for each list of words, numbered where two come out alike."""
    made: list[str] = []
    for words in names:
        said = "-".join(word for word in words if word != "none").lower()
        found = safe = re.sub(r"[^a-z0-9_-]", "-", said)
        number = 1
        while found in made:
            number += 1
            found = f"{safe}-{number}"
        made.append(found)
    return made
