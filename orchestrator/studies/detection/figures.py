"""The charts of a ``detection`` page that are drawn from rows, each one panel wide.

Every function gives SVG text, the same bytes for the same numbers.
"""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from analysis.old.drawing import legend, ratio_axis
from analysis.old.rows import same
from analysis.old.verdicts import Verdict
from analysis.page.style import (
    GROUP_COLORS,
    INK,
    MARKERS,
    MUTED,
    PAPER,
    RAMP,
    SET_COLORS,
    panel,
    to_svg,
)
from analysis.page.wording import detector_name, ratio_name, trigger_name
from analysis.statistics.intervals import Estimate
from orchestrator.studies.detection.claims import NULL_MARGIN, at_chance, null_names
from orchestrator.studies.detection.published import PublishedDetection
from orchestrator.studies.detection.rows import CHANCE, Compared, Detected, NullPoints, level_of

GENERATION_COLORS = (SET_COLORS["generation"], RAMP[0], RAMP[4], RAMP[3])
"""Ways of generating, the reported one first; none is the training set's color."""
MARKS = "sD^v"
"""Markers that go with `GENERATION_COLORS`; the training set's is a circle."""
MOVED = (
    "training set",
    "positives moved",
    "negatives moved",
    "generations",
    "shift of positives",
    "shift of negatives",
)
"""Lines of `what_moved`, from top to bottom."""
SHIFTS = 4
"""The first of them that is a shift."""
AREAS, AREA_WORDS = (0, 0.25, 0.5, 0.75, 1), ("0", ".25", ".5", ".75", "1")
"""Ticks of an axis of AUROCs."""
STEP = 1.05
"""How far marks of one poison ratio stand from each other, on a logarithmic axis."""


def area_by_ratio(subject: Detected, published: Sequence[PublishedDetection], salt: str) -> str:
    """AUROC against the poison ratio: the training set and each way of generating.

    Args:
        subject: What was measured.
        published: The paper's, drawn beside ours: from the training set (open) to the generations.
        salt: Sets this figure's identifiers apart from those of others on a page.
    """
    ratios = subject.poison_ratios
    with panel() as (figure, axes):
        _chance(axes)
        for cell in published:
            place = _near(cell.poison_ratio, ratios)
            if place is not None:
                _paper(axes, place * STEP**2.2, cell)
        handles = []
        for number, (label, color, marker, points) in enumerate(_curves(subject)):
            moved = [(ratio * STEP ** (number - 0.5), estimate) for ratio, estimate in points]
            _line(axes, moved, color, marker)
            handles.append(_handle(label, color, marker))
        if published:
            handles.append(Line2D([], [], color=MUTED, linewidth=1, label="paper"))
        ratio_axis(axes, ratios)
        axes.set_xlim(ratios[0] / 1.3, ratios[-1] * 1.3)
        # All of it, so that panels can be compared.
        axes.set_ylim(-0.02, 1.04)
        axes.set_yticks(AREAS, AREA_WORDS)
        axes.set_title(f"{_name(subject.trigger, subject.detector)}: AUROC")
        legend(axes, handles)
        return to_svg(figure, salt)


def what_moved(compared: Sequence[Compared], salt: str) -> str:
    """AUROC with one kind of score from the generations, and both shifts; a mark a poison ratio.

    Args:
        compared: Of one trigger and detector, one a poison ratio, at least one.
        salt: As `area_by_ratio`.
    """
    with panel(left=0.34) as (figure, axes):
        axes.axvline(CHANCE, color=INK, linewidth=1, linestyle=(0, (3, 2)))
        axes.axhline(SHIFTS - 0.5, color=MUTED, linewidth=0.8)
        handles = []
        for number, one in enumerate(compared):
            color, marker = RAMP[number % len(RAMP)], MARKERS[number % len(MARKERS)]
            shift = (number - (len(compared) - 1) / 2) * 0.2
            for place, estimate in enumerate(_moved(one)):
                if estimate:
                    _across(axes, place + shift, estimate, color, marker)
            name = ratio_name(one.poison_ratio)
            handles.append(_handle(name if number else f"p = {name}", color, marker))
        axes.set_yticks(range(len(MOVED)), MOVED)
        axes.set_ylim(len(MOVED) - 0.5, -0.5)
        axes.grid(visible=False)
        axes.set_xlim(-0.03, 1.05)
        axes.set_xticks(AREAS, AREA_WORDS)
        axes.set_xlabel("AUROC; chance of a higher score")
        axes.set_title(_name(compared[0].trigger, compared[0].detector))
        legend(axes, handles)
        return to_svg(figure, salt)


def null_test(subject: NullPoints, salt: str) -> str:
    """Each null point's AUROC with the interval that should lie around 0.5.

    Args:
        subject: At least one null point that has an AUROC.
        salt: As `area_by_ratio`.
    """
    named = zip(subject.rows, null_names(subject), strict=True)
    measured = [(row, name) for row, name in named if row["null_low"] is not None]
    rows = [row for row, _ in measured]
    with panel(height=max(3.1, 1.5 + 0.22 * len(rows)), left=0.42) as (figure, axes):
        axes.axvline(CHANCE, color=INK, linewidth=1, linestyle=(0, (3, 2)))
        axes.axvspan(CHANCE - NULL_MARGIN, CHANCE + NULL_MARGIN, color=MUTED, alpha=0.12, lw=0)
        for place, row in enumerate(rows):
            estimate = Estimate(
                float(row["auroc"]), float(row["null_low"]), float(row["null_high"])
            )
            held = at_chance(row) is not Verdict.FAILED
            color = SET_COLORS[str(row["image_set"])] if held else GROUP_COLORS["g1"]
            _across(axes, place, estimate, color, "o" if held else "X")
        axes.set_yticks(range(len(rows)), [name for _, name in measured])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.grid(visible=False)
        reach = max(
            abs(float(row[end]) - CHANCE) for row in rows for end in ("null_low", "null_high")
        )
        half = 1.15 * max(NULL_MARGIN, reach)
        axes.set_xlim(CHANCE - half, CHANCE + half)
        axes.set_xticks([0.5 - 0.7 * half, 0.5, 0.5 + 0.7 * half])
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:.2f}")
        axes.set_xlabel("interval at level 1 − 0.05/k")
        axes.set_title("Random flags: AUROC")
        return to_svg(figure, salt)


def _curves(subject: Detected) -> list[tuple[str, str, str, list[tuple[float, Estimate]]]]:
    """The training set and each way of generating: label, color, marker and points."""
    training = [
        (ratio, found.estimate)
        for ratio in subject.poison_ratios
        if (found := level_of(subject.at(ratio, None).training, "auroc"))
    ]
    curves = [("training set", SET_COLORS["training"], "o", training)]
    several = len(subject.samplings) > 1
    for number, sampling in enumerate(subject.samplings):
        points = [
            (ratio, estimate)
            for ratio in subject.poison_ratios
            if (estimate := subject.at(ratio, sampling).after)
        ]
        label = sampling.name if several else "generations"
        place = number % len(MARKS)
        curves.append((label, GENERATION_COLORS[place], MARKS[place], points))
    return curves


def _line(axes: Axes, points: Sequence[tuple[float, Estimate]], color: str, marker: str) -> None:
    for x, estimate in points:
        axes.plot([x, x], [estimate.low, estimate.high], color=color, linewidth=1.3)
    axes.plot(
        [x for x, _ in points],
        [estimate.value for _, estimate in points],
        color=color,
        marker=marker,
        markeredgecolor=PAPER,
        markeredgewidth=0.8,
        linewidth=1.4,
    )


def _across(axes: Axes, y: float, estimate: Estimate, color: str, marker: str) -> None:
    axes.plot([estimate.low, estimate.high], [y, y], color=color, linewidth=1.3)
    axes.plot([estimate.value], [y], color=color, marker=marker, markeredgecolor=PAPER)


def _paper(axes: Axes, x: float, cell: PublishedDetection) -> None:
    """From the training set, open, to the generations; faint."""
    axes.plot([x, x], [cell.training, cell.generation], color=MUTED, linewidth=0.9)
    axes.plot([x], [cell.training], color=MUTED, marker="o", mfc=PAPER, ms=3.2, mew=0.9)
    axes.plot([x], [cell.generation], color=MUTED, marker="o", ms=3.2, mew=0.9)


def _near(ratio: float, ratios: Sequence[float]) -> float | None:
    return next((one for one in ratios if same(one, ratio)), None)


def _chance(axes: Axes) -> None:
    axes.axhline(CHANCE, color=INK, linewidth=1, linestyle=(0, (3, 2)))


def _moved(one: Compared) -> tuple[Estimate | None, ...]:
    """What `MOVED` names, None where it is undefined."""
    return (
        one.before,
        one.estimate("auroc_poisoned_moved"),
        one.estimate("auroc_clean_moved"),
        one.after,
        one.estimate("poisoned_shift"),
        one.estimate("clean_shift"),
    )


def _handle(label: str, color: str, marker: str) -> Line2D:
    return Line2D([], [], color=color, marker=marker, markeredgecolor=PAPER, label=label)


def _name(trigger: str, detector: str) -> str:
    return f"{detector_name(detector)} on {trigger_name(trigger)}"
