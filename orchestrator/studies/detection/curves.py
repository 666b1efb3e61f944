"""The charts of a ``detection`` page that are drawn from scores: ROC curves and distributions.

Scores are the mappings that `analysis.old.report.StudyReport` has: ``suspicion`` and ``poisoned``.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from analysis.old.drawing import legend
from analysis.page.style import GROUP_COLORS, INK, LABEL_SIZE, MUTED, SET_COLORS, panel, to_svg
from analysis.statistics.auroc import roc_curve

Scores = Mapping[str, npt.NDArray[Any]]
"""One row's."""

LOWEST = 1e-3
"""False positive rate at which the logarithmic axis begins."""
MARKED = (0.01, 0.05)
"""False positive rates that tables give the true positive rate of."""
KINDS = (("clean", GROUP_COLORS["g4"]), ("poisoned", GROUP_COLORS["g1"]))
"""Negatives and positives, and their colors."""
BINS = 48
"""Of a distribution."""
OUTER = 0.5
"""Percent of the images beyond each end of the axis; the outermost bins hold them."""
SETS = (("training", "training set"), ("generation", "generations"))
"""Sets of images from top to bottom, as they are called."""


def has_both_kinds(scores: Scores | None) -> bool:
    """Whether there are scores of positives and of negatives."""
    return scores is not None and 0 < int(scores["poisoned"].sum()) < len(scores["poisoned"])


def roc(sets: Mapping[str, Scores], title: str, salt: str) -> str:
    """True against false positive rate, a curve a set of images, low rates spread out.

    Args:
        sets: By image set, each with images of both kinds.
        title: The panel's.
        salt: Sets this figure's identifiers apart from those of others on a page.
    """
    with panel() as (figure, axes):
        grid = np.geomspace(LOWEST, 1, 121)
        for rate in MARKED:
            axes.axvline(rate, color=MUTED, linewidth=0.9, linestyle=(0, (1, 2)))
        axes.plot(grid, grid, color=INK, linewidth=1, linestyle=(0, (3, 2)))
        handles = []
        for image_set, label in SETS:
            if image_set in sets:
                color = SET_COLORS[image_set]
                reached = _reached(sets[image_set], grid)
                axes.plot(grid, reached, color=color, drawstyle="steps-post")
                handles.append(Line2D([], [], color=color, label=label))
        axes.set_xscale("log")
        axes.set_xlim(LOWEST, 1.9)  # room for half of the last tick's words
        axes.set_xticks([0.001, 0.01, 0.05, 1], ["0.1%", "1%", "5%", "100%"])
        axes.minorticks_off()
        axes.set_ylim(-0.02, 1.02)
        axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "25%", "50%", "75%", "100%"])
        axes.set_xlabel("false positive rate")
        axes.set_title(title)
        legend(axes, handles)
        return to_svg(figure, salt)


def distributions(sets: Mapping[str, Scores], title: str, salt: str) -> str:
    """Where poisoned and clean images lie on the detector's scale (Fig. A9), set above set.

    Both sets share one axis.  Each outline is scaled to its own peak, so that a handful of poisoned
    images is seen beside a thousand clean ones; strokes beneath mark the medians.

    Args:
        sets: By image set, each with at least one image.
        title: The panel's.
        salt: As `roc`.
    """
    every = np.concatenate([scores["suspicion"] for scores in sets.values()])
    low, high = np.percentile(every, [OUTER, 100 - OUTER]).tolist()
    edges = np.linspace(low, high if high > low else low + 1, BINS + 1)
    shown = [(name, label) for name, label in SETS if name in sets]
    with panel() as (figure, axes):
        for place, (image_set, label) in enumerate(reversed(shown)):
            _ridge(axes, 1.3 * place, sets[image_set], edges)
            axes.text(
                0.0,
                1.3 * place + 1.06,
                label,
                transform=axes.get_yaxis_transform(),
                color=INK,
                fontsize=LABEL_SIZE,
            )
        axes.set_ylim(-0.12, 1.3 * len(shown))
        axes.set_yticks([])
        axes.set_xlim(edges[0], edges[-1])
        _few_ticks(axes, edges)
        axes.set_xlabel("suspicion (right: more suspicious)")
        axes.set_title(title)
        legend(axes, [Patch(facecolor=color, label=kind) for kind, color in KINDS[::-1]])
        return to_svg(figure, salt)


def _reached(scores: Scores, grid: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The largest true positive rate at a false positive rate of at most each of ``grid``."""
    poisoned = scores["poisoned"]
    false, true = roc_curve(scores["suspicion"][poisoned], scores["suspicion"][~poisoned])
    places = np.searchsorted(false, grid * (1 + 1e-12), side="right") - 1
    reached: npt.NDArray[np.float64] = true[places]
    return reached


def _ridge(axes: Axes, base: float, scores: Scores, edges: npt.NDArray[np.float64]) -> None:
    for wanted, (_, color) in zip((False, True), KINDS, strict=True):
        values = scores["suspicion"][scores["poisoned"] == wanted]
        if not len(values):
            continue
        counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
        heights = counts / counts.max()
        axes.stairs(heights + base, edges, baseline=base, fill=True, color=color, alpha=0.28)
        axes.stairs(heights + base, edges, baseline=base, color=color, linewidth=1.2)
        middle = float(np.clip(np.median(values), edges[0], edges[-1]))
        axes.plot([middle] * 2, [base - 0.09, base], color=color, linewidth=2.4)
    axes.axhline(base, color=MUTED, linewidth=0.8)


def _few_ticks(axes: Axes, edges: npt.NDArray[np.float64]) -> None:
    """Round ticks that keep clear of the ends, where their words would be cut off."""
    low, high = float(edges[0]), float(edges[-1])
    margin = 0.07 * (high - low)
    places = MaxNLocator(4).tick_values(low, high)
    kept = [place for place in places if low + margin <= place <= high - margin]
    axes.set_xticks(kept, [f"{place:g}".replace("-", "−") for place in kept])
