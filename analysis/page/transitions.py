"""Where mismatches take over: the curves of the phase transition, and both p* in a table."""

from functools import partial
from math import inf
from typing import TYPE_CHECKING

from analysis.names import name
from analysis.page.figures import Figure, Reference, curve, lines
from analysis.page.style import GROUP_COLORS, INK, LABEL_SIZE
from analysis.page.tables import NOTHING, Cell, Table
from analysis.rows import Rows, groups
from analysis.statistics.comparison import above_constant
from analysis.statistics.intervals import Estimate
from analysis.statistics.transition import Crossing, Transition, transition
from analysis.wording import percent

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def transitions(start: str, rows: Rows) -> tuple[list[Figure], Table]:
    """G1 and G2 minus p_t against the ratio, a panel for each weight, and a table of both p*.

    The rows are of one trigger, target class and sampler; figures' names begin with ``start``.
    """
    drawn, cells = [], []
    for at, own in groups(rows, "guidance_weight"):
        found, weight = transition(own), f"{at['guidance_weight']:g}"
        if found is None:
            continue
        curves = []
        for group in ("g1", "g2"):
            label, look = f"{group.upper()} − p_t", {"color": GROUP_COLORS[group]}
            curves.append(curve(label, own, "poison_ratio", partial(_gap, group), **look))
        drawn.append(
            lines(
                f"{start}-transition-w{weight}",
                f"Guidance w = {weight}",
                curves,
                x="poison_ratio",
                y="points",
                references=[Reference(label="", value=0)],
                mark=partial(_mark, found),
                size=(3.5, 3.4),
            )
        )
        line = [Cell(weight)]
        for crossing in (found.gap, found.dominance):
            again = "and not at every larger p" if crossing.falls_back else ""
            line += [Cell(_place(crossing.value, found), again), Cell(_interval(crossing, found))]
        cells.append([*line, Cell(str(found.seeds))])
    headers = ("w", "p*_gap", "95% interval", "p*_dom", "95% interval", "seeds")
    return drawn, Table(headers, cells)


def _gap(group: str, rows: Rows) -> Estimate:
    return above_constant(rows, group, "p_t").estimate


def _mark(found: Transition, axes: "Axes") -> None:
    """Both p* low in the panel, with their intervals; an arrow where one lies outside."""
    bottom, top = axes.get_ylim()
    axes.set_ylim(bottom - 0.22 * (top - bottom), top)
    first, last = found.poison_ratios[0], found.poison_ratios[-1]
    across = axes.get_xaxis_transform()
    marked = ((found.gap, "p*_gap", 0.12), (found.dominance, "p*_dom", 0.035))
    for crossing, label, height in marked:
        place = min(crossing.value, last * 1.12)
        low, high = (min(bound, last * 1.12) for bound in crossing.interval or (place, place))
        axes.plot([low, high], [height] * 2, color=INK, linewidth=1.4, transform=across)
        marker = ">" if place > last else "<" if crossing.at_first else "o"
        axes.plot([place], [height], color=INK, marker=marker, markersize=4.5, transform=across)
        left = place > (first * last) ** 0.5
        axes.annotate(
            f"{label} {_place(crossing.value, found)}",
            (low if left else high, height),
            xycoords=across,
            xytext=(-6 if left else 7, 0),
            textcoords="offset points",
            ha="right" if left else "left",
            va="center",
            fontsize=LABEL_SIZE,
            color=INK,
        )


def _place(ratio: float, found: Transition) -> str:
    """Where a p* lies: "6.2%", "≤ 1%" when there already, "> 10%" when not reached."""
    first, last = found.poison_ratios[0], found.poison_ratios[-1]
    if ratio == inf:
        return f"> {name('poison_ratio', last)}"
    return f"≤ {name('poison_ratio', first)}" if ratio <= first else percent(ratio)


def _interval(crossing: Crossing, found: Transition) -> str:
    if crossing.interval is None:
        return NOTHING
    return " to ".join(dict.fromkeys(_place(end, found) for end in crossing.interval))
