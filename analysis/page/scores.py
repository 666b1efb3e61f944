"""Charts of scores: intervals along a line, ROC curves, and where two kinds of images lie."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from analysis.names import name
from analysis.page import style
from analysis.page.figures import DASHED, DOTTED, Figure, legend
from analysis.page.images import framed
from analysis.page.page import Arrays, CaptionedImage, Pictures, Report
from analysis.page.style import GROUP_COLORS, INK, MARKERS, MUTED, PAPER, RAMP, SET_COLORS
from analysis.rows import Rows, groups, records
from analysis.statistics.auroc import roc_curve
from analysis.statistics.intervals import Estimate
from analysis.wording import titled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats = npt.NDArray[np.float64]
LOWEST = 1e-3
"""False positive rate at which the logarithmic axis begins."""
BINS = 48
OUTER = 0.5
"""Percent of the images beyond each end of the axis; the outermost bins hold them."""
KINDS = (("clean", GROUP_COLORS["g4"]), ("poisoned", GROUP_COLORS["g1"]))


class Scored(NamedTuple):
    """A set of N images: what it is called, (N,) suspicions and flags, and its curve's color."""

    label: str
    suspicion: Floats
    poisoned: npt.NDArray[np.bool_]
    color: str


def across(
    file: str,
    title: str,
    labels: Sequence[str],
    series: Mapping[str, Sequence[Estimate | None]],
    *,
    along: str,
    center: float,
    looks: Sequence[tuple[str, str]] = (),
    band: float = 0.0,
    rule: float | None = None,
) -> Figure:
    """Marks with intervals on horizontal lines, such as AUROCs by detector.

    Args:
        file: The figure's name.
        title: Above the panel.
        labels: Of the lines, from top to bottom.
        series: By label of a color, an estimate for each line; an empty label has no legend.
        along: What stands along x.
        center: Where the dashed line is, such as chance.
        looks: A color and a marker for each line of the only series.
        band: Half of a shaded band around ``center``; the axis is around it then, else from 0 to 1.
        rule: Where a line separates two kinds of lines.
    """
    height = max(3.4, 1.5 + 0.22 * len(labels))
    with style.panel(height=height, left=0.42 if looks else 0.34) as (figure, axes):
        axes.axvline(center, color=INK, linewidth=1, linestyle=DASHED)
        if band:
            axes.axvspan(center - band, center + band, color=MUTED, alpha=0.12, linewidth=0)
        if rule is not None:
            axes.axhline(rule, color=MUTED, linewidth=0.8)
        for number, (label, estimates) in enumerate(series.items()):
            shift = (number - (len(series) - 1) / 2) * 0.2
            plain = RAMP[number % len(RAMP)], MARKERS[number % len(MARKERS)]
            for line, one in enumerate(estimates):
                if one is None:
                    continue
                color, marker = looks[line] if looks else plain
                axes.plot([one.low, one.high], [line + shift] * 2, color=color, linewidth=1.3)
                look: Any = {"color": color, "marker": marker, "markeredgecolor": PAPER}
                axes.plot([one.value], [line + shift], label=label or None, **look)
        axes.set_yticks(range(len(labels)), labels)
        axes.set_ylim(len(labels) - 0.5, -0.5)
        axes.grid(visible=False)
        if band:
            shown = [one for own in series.values() for one in own if one is not None]
            reach = max(abs(end - center) for one in shown for end in (one.low, one.high))
            half = 1.15 * max(band, reach)
            axes.set_xlim(center - half, center + half)
            axes.set_xticks([center - 0.7 * half, center, center + 0.7 * half])
            axes.xaxis.set_major_formatter(lambda value, _: f"{value:.2f}")
        else:
            axes.set_xlim(-0.03, 1.05)
            axes.set_xticks((0, 0.25, 0.5, 0.75, 1), ("0", ".25", ".5", ".75", "1"))
        axes.set_xlabel(along)
        axes.set_title(title)
        handles = dict(zip(*axes.get_legend_handles_labels()[::-1], strict=True))
        legend(axes, handles.values())
        return Figure(file, style.to_svg(figure, file), title)


def roc(file: str, title: str, sets: Sequence[Scored]) -> Figure:
    """True against false positive rate, a curve for each set; each has images of both kinds."""
    grid = np.geomspace(LOWEST, 1, 121)
    with style.panel() as (figure, axes):
        for rate in (0.01, 0.05):
            axes.axvline(rate, color=MUTED, linewidth=0.9, linestyle=DOTTED)
        axes.plot(grid, grid, color=INK, linewidth=1, linestyle=DASHED)
        for one in sets:
            look: Any = {"color": one.color, "drawstyle": "steps-post", "label": one.label}
            axes.plot(grid, _reached(one, grid), **look)
        axes.set_xscale("log")
        axes.set_xlim(LOWEST, 1.9)  # room for half of the last tick's words
        axes.set_xticks([0.001, 0.01, 0.05, 1], ["0.1%", "1%", "5%", "100%"])
        axes.minorticks_off()
        axes.set_ylim(-0.02, 1.02)
        axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "25%", "50%", "75%", "100%"])
        axes.set_xlabel("false positive rate")
        axes.set_title(title)
        legend(axes, axes.get_legend_handles_labels()[0])
        return Figure(file, style.to_svg(figure, file), f"{title}: ROC curves")


def distributions(file: str, title: str, sets: Sequence[Scored]) -> Figure:
    """Where poisoned and clean images lie, set above set on one axis, each with an image at least.

    Each outline is scaled to its own peak, so that a handful of poisoned images is seen beside a
    thousand clean ones; strokes beneath mark the medians.
    """
    from matplotlib.patches import Patch

    low, high = np.percentile(
        np.concatenate([one.suspicion for one in sets]), [OUTER, 100 - OUTER]
    ).tolist()
    edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
    with style.panel() as (figure, axes):
        for place, one in enumerate(reversed(sets)):
            _ridge(axes, 1.3 * place, one, edges)
            where: Any = {"transform": axes.get_yaxis_transform(), "fontsize": style.LABEL_SIZE}
            axes.text(0.0, 1.3 * place + 1.06, one.label, color=INK, **where)
        axes.set_ylim(-0.12, 1.3 * len(sets))
        axes.set_yticks([])
        few_ticks(axes, edges)
        axes.set_xlabel("suspicion (right: more suspicious)")
        axes.set_title(title)
        legend(axes, [Patch(facecolor=color, label=kind) for kind, color in KINDS[::-1]])
        return Figure(file, style.to_svg(figure, file), f"{title}: suspicions")


def few_ticks(axes: "Axes", edges: Floats) -> None:
    """Round ticks that keep clear of the ends, where their words would be cut off."""
    from matplotlib.ticker import MaxNLocator

    low, high = float(edges[0]), float(edges[-1])
    axes.set_xlim(low, high)
    margin = 0.07 * (high - low)
    places = MaxNLocator(4).tick_values(low, high)
    kept = [place for place in places if low + margin <= place <= high - margin]
    axes.set_xticks(kept, [f"{place:g}".replace("-", "−") for place in kept])


def _reached(one: Scored, grid: Floats) -> Floats:
    """The largest true positive rate at a false positive rate of at most each of ``grid``."""
    false, true = roc_curve(one.suspicion[one.poisoned], one.suspicion[~one.poisoned])
    reached: Floats = true[np.searchsorted(false, grid * (1 + 1e-12), side="right") - 1]
    return reached


def _ridge(axes: "Axes", base: float, one: Scored, edges: Floats) -> None:
    for wanted, (_, color) in zip((False, True), KINDS, strict=True):
        values = one.suspicion[one.poisoned == wanted]
        if not len(values):
            continue
        counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
        heights = counts / counts.max() + base
        axes.stairs(heights, edges, baseline=base, fill=True, color=color, alpha=0.28)
        axes.stairs(heights, edges, baseline=base, color=color, linewidth=1.2)
        middle = float(np.clip(np.median(values), edges[0], edges[-1]))
        axes.plot([middle] * 2, [base - 0.09, base], color=color, linewidth=2.4)
    axes.axhline(base, color=MUTED, linewidth=0.8)


def scored(report: Report, rows: Rows) -> list[tuple[Scored, Arrays]]:
    """The scores of each set of images of a point, and the pictures beside them.

    Of several seeds the first; sets of images without scores are left out.
    """
    found = []
    for at, own in groups(rows, "image_set"):
        row, kind = records(own)[0], at["image_set"]
        scores = report.of("scores", row)
        if scores is not None and len(scores["suspicion"]):
            seen = scores["suspicion"], scores["poisoned"]
            one = Scored(name("image_set", kind), *seen, SET_COLORS[kind])
            found.append((one, report.of("groups", row) or {}))
    return found


def ends(words: str, one: Scored, arrays: Arrays) -> Pictures:
    """The most and the least suspicious images of a set, in red and blue frames with their masks.

    Args:
        words: To the left of them.
        one: The scores of all images of the set; of two alike the first is the more suspicious.
        arrays: ``most_suspicious`` and ``least_suspicious``, each from the extreme inwards, uint8,
            (k, H, W, 1 or 3); of a detector with masks also ``<name>_masks``, (k, H, W, 1).
    """
    order = np.argsort(-one.suspicion, kind="stable")
    shown = []
    for end, ranked in (("most_suspicious", order), ("least_suspicious", order[::-1])):
        flags = one.poisoned[ranked[: len(arrays[end])]]
        colors = [KINDS[int(flag)][1] for flag in flags]
        drawn = [framed(arrays[end], colors, 6, arrays.get(f"{end}_masks"))] if colors else []
        counted = f"{int(flags.sum())} of {len(flags)} poisoned"
        shown.append(CaptionedImage(drawn, titled(end.replace("_", " ")), counted))
    return Pictures(shown, words, "pair")
