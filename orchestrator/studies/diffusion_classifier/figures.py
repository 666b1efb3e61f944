"""The charts of a ``diffusion_classifier`` page, each one panel wide.

Every function gives SVG text, the same bytes for the same numbers.  Filter ratios stand at equal
distances, 0 first: their scale is neither linear nor logarithmic.
"""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MultipleLocator

from analysis.old.drawing import TALL, TWO_LINES, in_percent, legend
from analysis.old.figures import WIDE
from analysis.old.rows import same
from analysis.page.style import INK, LINE, MARKERS, MUTED, PAPER, RAMP, panel, to_svg
from analysis.page.wording import classifier_name, noise_model_name, ratio_name, stamp_name, titled
from analysis.statistics.comparison import Comparison
from orchestrator.studies.diffusion_classifier.published import (
    FILTER_RATIOS,
    PublishedClassification,
)
from orchestrator.studies.diffusion_classifier.rows import (
    ACCURACY,
    ON_TARGET,
    ON_TRUE,
    RATES,
    Point,
    noise_model_rank,
)

COLORS, MARKS = (RAMP[0], RAMP[4], RAMP[1]), "os^"
"""Of the noise models, in their order."""
OWN_COLOR, TARGET_COLOR = RAMP[3], RAMP[1]
"""An image's own class, and the target class."""
STEP = 0.12
"""How far marks of one filter ratio stand from each other, in ticks."""
DASHED, DOTTED = (0, (4, 2)), (0, (1, 1.6))

Marks = Sequence[tuple[float, Comparison]]
"""Where along x, and what was measured there."""


def rate_by_filter(
    found: Sequence[Point], name: str, published: PublishedClassification | None, salt: str
) -> str:
    """TA or ASR against the filter ratio, a line a noise model, and the ordinary classifier across.

    Every seed is a small dot, the mean a large mark with its interval.

    Args:
        found: One trigger at one poison ratio, a noise model each, at least one.
        name: `ACCURACY` or `ATTACK`.
        published: The paper's Tab. 5 at this poison ratio: its EDM as open circles, its ResNet-18
            as a line across.
        salt: Sets this figure's identifiers apart from those of others on a page.
    """
    ratios = sorted({ratio for point in found for ratio in point.filter_ratios})
    with panel(WIDE[0], TALL) as (figure, axes):
        handles = _paper(axes, published, name, ratios)
        handles = [*_ordinary(axes, found, name), *handles]
        for number, point in enumerate(found):
            place = noise_model_rank(point.noise_model)[0] % len(COLORS)
            shift = STEP * (number - (len(found) - 1) / 2)
            _line(axes, point, name, ratios, shift, COLORS[place], MARKS[place])
            label = noise_model_name(point.noise_model)
            handles.insert(number, _handle(label, COLORS[place], MARKS[place]))
        _filter_axis(axes, ratios)
        _rate_axis(axes, name)
        stamp = titled(stamp_name(found[0].trigger, found[0].trigger_pixels))
        axes.set_title(f"{RATES[name]}: {stamp}, {found[0].place}", pad=TWO_LINES)
        legend(axes, handles, columns=3)
        return to_svg(figure, salt)


def rate_by_area(sizes: Sequence[Point], name: str, salt: str) -> str:
    """TA or ASR against the filter ratio, a line a size of the trigger.

    A ring marks the first filter that drops as many values as the trigger has.

    Args:
        sizes: One trigger, noise model and poison ratio, from small to large.
        name: As `rate_by_filter`.
        salt: As `rate_by_filter`.
    """
    ratios = sorted({ratio for point in sizes for ratio in point.filter_ratios})
    with panel(WIDE[0], TALL) as (figure, axes):
        handles = []
        for number, point in enumerate(sizes):
            color, marker = RAMP[number % len(RAMP)], MARKERS[number % len(MARKERS)]
            shift = STEP * (number - (len(sizes) - 1) / 2)
            _line(axes, point, name, ratios, shift, color, marker)
            handles.append(_handle(_size(point), color, marker))
            _covered(axes, point, name, ratios, shift)
        ring: dict[str, Any] = {"marker": "o", "mfc": "none", "mec": INK, "ms": 8.5, "ls": "none"}
        handles.append(Line2D([], [], label="covered", **ring))
        _filter_axis(axes, ratios)
        _rate_axis(axes, name)
        first = sizes[0]
        about = f"{titled(first.trigger)}s, {noise_model_name(first.noise_model)}, {first.place}"
        axes.set_title(f"{RATES[name]}: {about}", pad=TWO_LINES)
        legend(axes, handles, columns=3)
        return to_svg(figure, salt)


def on_trigger(point: Point, salt: str, sized: bool = False) -> str:
    """Share of the dropped values that lie on the trigger, under the own and the target class.

    Args:
        point: At least one filter ratio above 0, of a trigger that is a patch.
        salt: As `rate_by_filter`.
        sized: Say the size, as the trigger comes in several.
    """
    ratios = point.filters
    with panel(WIDE[0], TALL) as (figure, axes):
        area, values = point.area or 0.0, point.trigger_values or 0
        axes.axhline(area, color=INK, linewidth=1, linestyle=DASHED)
        most = [
            min(1.0, values / dropped) if (dropped := point.dropped(ratio)) else 1.0
            for ratio in ratios
        ]
        axes.plot(range(len(ratios)), most, color=MUTED, linewidth=1.1, linestyle=DOTTED)
        handles = []
        kinds = ((ON_TRUE, "own class", OWN_COLOR, "o"), (ON_TARGET, "target", TARGET_COLOR, "s"))
        for number, (name, label, color, marker) in enumerate(kinds):
            _line(axes, point, name, ratios, STEP * (number - 0.5), color, marker)
            handles.append(_handle(label, color, marker))
        handles.append(Line2D([], [], color=INK, lw=1, ls=DASHED, label="area"))
        handles.append(Line2D([], [], color=MUTED, lw=1.1, ls=DOTTED, label="most possible"))
        _filter_axis(axes, ratios)
        axes.set_ylim(-0.03, 1.03)
        axes.yaxis.set_major_formatter(in_percent)
        size = f"{point.trigger_pixels} px, " if sized else ""
        title = f"{size}{noise_model_name(point.noise_model)}, {point.place}"
        axes.set_title(title, pad=TWO_LINES)
        legend(axes, handles, columns=3)
        return to_svg(figure, salt)


def _line(
    axes: Axes,
    point: Point,
    name: str,
    ratios: Sequence[float],
    shift: float,
    color: str,
    marker: str,
) -> None:
    means: list[tuple[float, Comparison]] = []
    for x, ratio in enumerate(ratios):
        rows = point.at(ratio)
        values = [float(row[name]) for row in rows if row.get(name) is not None]
        if len(values) > 1:
            beside = [x + shift + 0.4 * STEP] * len(values)
            axes.plot(beside, values, color=color, ls="none", marker=".", ms=3.5, mew=0)
        if found := point.level(name, ratio):
            means.append((x + shift, found))
    for at, found in means:
        axes.plot([at, at], [found.estimate.low, found.estimate.high], color=color, linewidth=1.3)
    axes.plot(
        [at for at, _ in means],
        [found.estimate.value for _, found in means],
        color=color,
        marker=marker,
        markeredgecolor=PAPER,
        markeredgewidth=0.8,
        linewidth=1.4,
    )


def _ordinary(axes: Axes, found: Sequence[Point], name: str) -> list[Line2D]:
    """The ordinary classifier across the panel, its interval a band."""
    level = next((level for point in found if (level := point.beside(name))), None)
    if level is None:
        return []
    axes.axhspan(level.estimate.low, level.estimate.high, color=LINE, linewidth=0)
    axes.axhline(level.estimate.value, color=INK, linewidth=1.2, linestyle=DASHED)
    label = classifier_name(str(found[0].rows[0]["classifier"]))
    return [Line2D([], [], color=INK, linewidth=1.2, linestyle=DASHED, label=label)]


def _paper(
    axes: Axes, published: PublishedClassification | None, name: str, ratios: Sequence[float]
) -> list[Line2D]:
    if published is None:
        return []
    accuracy = name == ACCURACY
    network = published.classifier_accuracy if accuracy else published.classifier_attack
    theirs = published.accuracy if accuracy else published.attack
    points = [
        (x, share)
        for x, ratio in enumerate(ratios)
        for printed, share in zip(FILTER_RATIOS, theirs, strict=True)
        if same(ratio, printed)
    ]
    axes.axhline(network, color=MUTED, linewidth=0.9, linestyle=DOTTED)
    look: dict[str, Any] = {
        "color": MUTED,
        "lw": 0.9,
        "ls": DOTTED,
        "marker": "o",
        "mfc": PAPER,
        "ms": 4,
    }
    axes.plot([x for x, _ in points], [y for _, y in points], **look)
    return [
        Line2D([], [], label="paper, EDM", **look),
        Line2D([], [], color=MUTED, linewidth=0.9, linestyle=DOTTED, label="paper, ResNet-18"),
    ]


def _covered(axes: Axes, point: Point, name: str, ratios: Sequence[float], shift: float) -> None:
    for x, ratio in enumerate(ratios):
        if point.at(ratio) and point.dropped(ratio) >= (point.trigger_values or 0):
            if found := point.level(name, ratio):
                look: dict[str, Any] = {
                    "marker": "o",
                    "mfc": "none",
                    "mec": INK,
                    "ms": 9,
                    "mew": 1.0,
                }
                axes.plot([x + shift], [found.estimate.value], ls="none", **look)
            return


def _size(point: Point) -> str:
    pixels = point.trigger_pixels or 0
    return f"{pixels} px ({100 * (point.area or 0):.1f}%)"


def _filter_axis(axes: Axes, ratios: Sequence[float]) -> None:
    axes.set_xticks(range(len(ratios)), [ratio_name(ratio) for ratio in ratios])
    axes.set_xlim(-0.45, len(ratios) - 0.55)
    axes.set_xlabel("share of the losses dropped")


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


def _handle(label: str, color: str, marker: str) -> Line2D:
    return Line2D([], [], color=color, marker=marker, markeredgecolor=PAPER, label=label)
