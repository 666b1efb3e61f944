"""The charts of a ``defense`` page, each one panel wide.

Every function gives SVG text, the same bytes for the same numbers.
"""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MultipleLocator

from analysis.old.drawing import TALL, TWO_LINES, in_percent, legend, ratio_axis
from analysis.old.figures import WIDE
from analysis.old.rows import Row
from analysis.page.style import INK, MARKERS, MUTED, PAPER, RAMP, SET_COLORS, panel, to_svg
from analysis.page.wording import classifier_name, titled, trigger_name
from analysis.statistics.intervals import Estimate
from orchestrator.studies.defense.published import IMAGENETTE, PublishedDefense
from orchestrator.studies.defense.rows import (
    ACCURACY,
    RATES,
    Defended,
    estimate,
    followed,
    rank_correlation,
)

GENERATION_COLORS = (SET_COLORS["generation"], RAMP[0], RAMP[4])
"""Ways of generating, the reported one first; as many of them are drawn."""
MARKS = "sD^"
"""Markers that go with `GENERATION_COLORS`; the training set's is a circle."""
STEP = 1.05
"""How far marks of one poison ratio stand from each other, on a logarithmic axis."""
DASHED, DOTTED = (0, (4, 2)), (0, (1, 1.6))

Points = Sequence[tuple[float, Sequence[Row]]]
"""Where along x, and the rows there, one a seed."""


def rate_by_ratio(
    subject: Defended, name: str, published: Sequence[tuple[float, PublishedDefense]], salt: str
) -> str:
    """TA or ASR against the poison ratio: the training set and each way of generating.

    Every seed is a small dot, the mean a large mark with its interval.  Thin lines are the
    controls: the corrected training set, and across the panel the clean pair.

    Args:
        subject: What was measured, at least one poison ratio.
        name: Column of the rate.
        published: The paper's with the ratio of ours to stand at: from the training set (open) to
            the generations.
        salt: Sets this figure's identifiers apart from those of others on a page.
    """
    ratios = subject.poison_ratios
    with panel(WIDE[0], TALL) as (figure, axes):
        for ratio, cell in published:
            _paper(axes, ratio, cell, name)
        curves = _curves(subject)
        for color, clean in _clean(subject, name):
            axes.axhline(clean.value, color=color, linewidth=1.1, linestyle=DOTTED)
        corrected = [(ratio, subject.at(ratio, None).corrected) for ratio in ratios]
        thin = [(x, found.value) for x, rows in corrected if (found := estimate(rows, name))]
        axes.plot(*_columns(thin), color=INK, linewidth=1, linestyle=DASHED, marker=".", ms=3)
        handles = []
        for number, (label, color, marker, points) in enumerate(curves):
            shift = STEP ** (number - (len(curves) - 1) / 2)
            _curve(axes, [(x * shift, rows) for x, rows in points], name, color, marker)
            handles.append(_handle(label, color, marker))
        if thin:
            handles.append(Line2D([], [], color=INK, lw=1, ls=DASHED, label="corrected"))
        if _clean(subject, name):
            handles.append(Line2D([], [], color=MUTED, lw=1.1, ls=DOTTED, label="clean pair"))
        if published:
            handles.append(Line2D([], [], color=MUTED, linewidth=1, label="paper"))
        ratio_axis(axes, ratios)
        axes.set_xlim(ratios[0] / 1.3, ratios[-1] * 1.3)
        _rate_axis(axes, name)
        about = f"{titled(trigger_name(subject.trigger))}, {classifier_name(subject.classifier)}"
        axes.set_title(f"{about}: {RATES[name]}", pad=TWO_LINES if len(handles) > 3 else None)
        legend(axes, handles, columns=3)
        return to_svg(figure, salt)


def attack_by_mismatches(rows: Sequence[Row], salt: str) -> str:
    """ASR against the share of G1 in the generation set, a mark a classifier of generations.

    Args:
        rows: Of the study, at least one that has both.
        salt: As `rate_by_ratio`.
    """
    points = followed(rows)
    triggers = list(dict.fromkeys(str(row["trigger"]) for _, _, row in points))
    rank, n = rank_correlation(rows)
    with panel(WIDE[0], TALL) as (figure, axes):
        for number, trigger in enumerate(triggers):
            own = [(x, y) for x, y, row in points if row["trigger"] == trigger]
            axes.plot(
                *_columns(own),
                color=RAMP[number % len(RAMP)],
                marker=MARKERS[number % len(MARKERS)],
                markeredgecolor=PAPER,
                linestyle="none",
                label=trigger_name(trigger),
            )
        most = max(x for x, _, _ in points)
        axes.set_xlim(-0.04 * (most or 1), 1.1 * (most or 1))
        axes.set_ylim(-0.03, 1.05)
        axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.3g}%")
        axes.yaxis.set_major_formatter(in_percent)
        axes.set_xlabel("G1 among all images of the generation set")
        said = "" if rank is None else f" (ρ = {rank:+.2f}, n = {n})".replace("-", "−")
        axes.set_title(f"ASR by G1{said}", pad=TWO_LINES)
        legend(axes, axes.get_legend_handles_labels()[0], columns=3)
        return to_svg(figure, salt)


def _curves(subject: Defended) -> list[tuple[str, str, str, Points]]:
    """The training set and each way of generating: label, color, marker, and rows by ratio."""
    ratios = subject.poison_ratios
    training = [(ratio, subject.at(ratio, None).training) for ratio in ratios]
    curves: list[tuple[str, str, str, Points]] = [
        ("training set", SET_COLORS["training"], "o", training)
    ]
    ways = subject.samplings[: len(MARKS)]
    for way, color, marker in zip(ways, GENERATION_COLORS, MARKS, strict=False):
        label = way.name if len(ways) > 1 else "generations"
        points = [(ratio, subject.at(ratio, way).generation) for ratio in ratios]
        curves.append((label, color, marker, points))
    return curves


def _clean(subject: Defended, name: str) -> list[tuple[str, Estimate]]:
    """The clean pair: the training set's rate and the reported generations', with their colors."""
    pair = subject.at(0.0, next(iter(subject.samplings), None))
    found = ((SET_COLORS["training"], pair.before(name)), (GENERATION_COLORS[0], pair.after(name)))
    return [(color, level) for color, level in found if level]


def _curve(axes: Axes, points: Points, name: str, color: str, marker: str) -> None:
    for x, rows in points:
        if len(rows) > 1:
            values = [float(row[name]) for row in rows if row.get(name) is not None]
            beside = [x * STEP**0.4] * len(values)
            axes.plot(beside, values, color=color, ls="none", marker=".", ms=3.5, mew=0)
    means = [(x, found) for x, rows in points if (found := estimate(rows, name))]
    for x, level in means:
        axes.plot([x, x], [level.low, level.high], color=color, linewidth=1.3)
    axes.plot(
        *_columns([(x, level.value) for x, level in means]),
        color=color,
        marker=marker,
        markeredgecolor=PAPER,
        markeredgewidth=0.8,
        linewidth=1.4,
    )


def _paper(axes: Axes, ratio: float, cell: PublishedDefense, name: str) -> None:
    """From the training set, open, to the generations; a circle for ImageNette, else a square."""
    circle = cell.dataset == IMAGENETTE
    x, marker = ratio * STEP ** (2.4 if circle else 3.4), "o" if circle else "s"
    before, after = (
        (cell.training_accuracy, cell.generation_accuracy)
        if name == ACCURACY
        else (cell.training_attack, cell.generation_attack)
    )
    axes.plot([x, x], [before, after], color=MUTED, linewidth=0.9)
    axes.plot([x], [before], color=MUTED, marker=marker, mfc=PAPER, ms=3.2, mew=0.9)
    axes.plot([x], [after], color=MUTED, marker=marker, ms=3.2, mew=0.9)


def _rate_axis(axes: Axes, name: str) -> None:
    """All of an ASR, so that panels can be compared; of a TA what is drawn, from a whole ten on."""
    low = 0.0
    if name == ACCURACY:
        low = int(10 * max(0.0, min(float(axes.dataLim.ymin), 0.9))) / 10
    margin = 0.03 * (1 - low)
    axes.set_ylim(low - margin, 1 + margin)
    step = next(step for step in (0.02, 0.05, 0.1, 0.2) if 1 - low < 6.5 * step)
    axes.yaxis.set_major_locator(MultipleLocator(step))
    axes.yaxis.set_major_formatter(in_percent)


def _columns(points: Sequence[tuple[float, float]]) -> tuple[list[float], list[float]]:
    return [x for x, _ in points], [y for _, y in points]


def _handle(label: str, color: str, marker: str) -> Line2D:
    return Line2D([], [], color=color, marker=marker, markeredgecolor=PAPER, label=label)
