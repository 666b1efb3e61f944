"""Charts that set samplers, or the judge and template matching, side by side."""

from collections.abc import Sequence

from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from analysis.page.drawing import (
    TALL,
    TWO_LINES,
    in_percent,
    legend,
    lines,
    paper_points,
    ratio_axis,
)
from analysis.page.figures import WIDE
from analysis.page.style import INK, MARKERS, MUTED, PAPER, RAMP, panel, to_svg
from analysis.page.wording import ratio_name, sampler_name, titled, trigger_name
from analysis.published import AUTHORS_SAMPLER, IMAGENETTE_SWEEP, Published
from analysis.rows import AcrossSamplers, Row, has_template_match, same, sort_rows
from analysis.statistics.comparison import level_of


def g1_by_sampler(subject: AcrossSamplers, published: Sequence[Published], salt: str) -> str:
    """G1 against the poison ratio, a bar a sampler, p_t across each ratio's bars.

    Args:
        subject: What was measured.
        published: The paper's values; CIFAR10's are drawn on the bars of their samplers, and
            ImageNette's on that of DDIM.
        salt: Sets this figure's identifiers apart from those of others on a page.
    """
    ratios, samplers = subject.poison_ratios, subject.samplers
    width = 0.84 / len(samplers)
    with panel(*WIDE) as (figure, axes):
        for number, sampler in enumerate(samplers):
            shift = (number - (len(samplers) - 1) / 2) * width
            for x, ratio in enumerate(ratios):
                if rows := subject.at(sampler, ratio):
                    share = level_of(rows, "g1").estimate
                    axes.bar(x + shift, share.value, width * 0.9, color=_color(number))
                    for ink, thick in ((PAPER, 2.8), (INK, 1.1)):
                        axes.plot([x + shift] * 2, [share.low, share.high], color=ink, lw=thick)
        for x, ratio in enumerate(ratios):
            p_t = _p_t(subject, ratio)
            for ink, thick in ((PAPER, 3.6), (INK, 1.8)):
                axes.plot([x - 0.46, x + 0.46], [p_t, p_t], color=ink, linewidth=thick)
        for number, sampler in enumerate(samplers):
            shift = (number - (len(samplers) - 1) / 2) * width
            circles = [
                (ratios.index(x) + shift, y) for x, y in _printed(subject, published, number, "g1")
            ]
            paper_points(axes, circles, sampler, color=_color(number))
        axes.set_xticks(range(len(ratios)), [ratio_name(ratio) for ratio in ratios])
        axes.set_xlim(-0.6, len(ratios) - 0.4)
        axes.set_ylim(0, 1)
        axes.yaxis.set_major_formatter(in_percent)
        axes.set_xlabel("poison ratio p (of all training images)")
        axes.set_title(f"{titled(trigger_name(subject.trigger))}: G1 by sampler")
        bars = [
            Patch(facecolor=_color(number), label=sampler_name(sampler))
            for number, sampler in enumerate(samplers)
        ]
        legend(axes, [*bars, Line2D([], [], color=INK, linewidth=1.8, label="p_t"), _paper()])
        return to_svg(figure, salt)


def trigger_ratio_by_sampler(
    subject: AcrossSamplers, published: Sequence[Published], salt: str
) -> str:
    """G1 + G2 against the poison ratio, a line a sampler, with p_t (as Fig. A6 e and A8 e).

    Args:
        subject: What was measured.
        published: As `g1_by_sampler`.
        salt: As `g1_by_sampler`.
    """
    ratios = subject.poison_ratios
    curves = []
    for sampler in subject.samplers:
        cells = [(ratio, rows) for ratio in ratios if (rows := subject.at(sampler, ratio))]
        shares = [level_of(rows, "trigger_ratio").estimate for _, rows in cells]
        curves.append((sampler_name(sampler), [ratio for ratio, _ in cells], shares))
    with panel(*WIDE) as (figure, axes):
        lines(axes, curves)
        handles = axes.get_legend_handles_labels()[0]
        trained = [_p_t(subject, ratio) for ratio in ratios]
        (dashed,) = axes.plot(
            ratios, trained, color=INK, linewidth=1.2, linestyle=(0, (3, 2)), label="p_t"
        )
        for number, sampler in enumerate(subject.samplers):
            circles = _printed(subject, published, number, "trigger_ratio")
            paper_points(axes, circles, sampler, color=_color(number))
        ratio_axis(axes, ratios)
        axes.set_ylim(0, 1.02)
        axes.yaxis.set_major_formatter(in_percent)
        axes.set_title(f"{titled(trigger_name(subject.trigger))}: G1 + G2 by sampler")
        legend(axes, [*handles, dashed, _paper()])
        return to_svg(figure, salt)


def template_match_beside_judge(rows: Sequence[Row], salt: str) -> str:
    """Each point's trigger ratio by template matching against that by the judge.

    Args:
        rows: Of a study; those without a template match are left out.
        salt: As `g1_by_sampler`.
    """
    seen = [row for row in sort_rows(rows) if has_template_match(row)]
    many = len({row["judge_trigger"] for row in seen}) > 3
    with panel(WIDE[0], TALL if many else WIDE[1]) as (figure, axes):
        axes.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle=(0, (3, 2)))
        for number, trigger in enumerate(sorted({str(row["judge_trigger"]) for row in seen})):
            points = [row for row in seen if row["judge_trigger"] == trigger]
            axes.plot(
                [float(row["trigger_ratio"]) for row in points],
                [float(row["template_trigger_ratio"]) for row in points],
                color=RAMP[number % len(RAMP)],
                marker=MARKERS[number % len(MARKERS)],
                markeredgecolor=PAPER,
                linestyle="none",
                label=trigger_name(trigger),
            )
        axes.set_xlim(-0.02, 1.05)  # room for half of the last tick's words
        axes.set_ylim(-0.02, 1.05)
        axes.xaxis.set_major_formatter(in_percent)
        axes.yaxis.set_major_formatter(in_percent)
        axes.set_xlabel("trigger ratio by the judge")
        axes.set_title("Trigger ratio by the template match", pad=TWO_LINES if many else None)
        legend(axes, axes.get_legend_handles_labels()[0], columns=3)
        return to_svg(figure, salt)


def _paper() -> Line2D:
    """In a legend, the paper's own values, which are drawn in the color of their sampler."""
    return Line2D([], [], color=MUTED, ls="none", marker="o", mfc=PAPER, label="paper")


def _color(number: int) -> str:
    """A sampler's, the same in every figure of a trigger."""
    return RAMP[number % len(RAMP)]


def _p_t(subject: AcrossSamplers, ratio: float) -> float:
    rows = [row for sampler in subject.samplers for row in subject.at(sampler, ratio)]
    return sum(float(row["p_t"]) for row in rows) / len(rows)


def _printed(
    subject: AcrossSamplers, published: Sequence[Published], number: int, name: str
) -> list[tuple[float, float]]:
    """Our ratio and the paper's value under one sampler; of Stable Diffusion ImageNette's alone."""
    found = [
        value
        for value in published
        if value.sampler == subject.samplers[number]
        and (value.dataset == IMAGENETTE_SWEEP or value.sampler != AUTHORS_SAMPLER)
    ]
    shares: list[tuple[float, float | None]] = [
        (ratio, getattr(value, name))
        for ratio in subject.poison_ratios
        for value in found
        if same(value.poison_ratio, ratio)
    ]
    return [(ratio, share) for ratio, share in shares if share is not None]
