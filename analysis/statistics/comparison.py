"""Compare what was counted at different points, with the interval that fits the data.

With at least three seeds an interval is Student's over the seeds, which includes the variance of
training, but no narrower than the seeds' own.  With fewer the images of all seeds are pooled and
the interval is conditional on the trained models; ``basis`` says which, and every verdict repeats
it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from analysis.rows import Row, Rows, records
from analysis.statistics.intervals import (
    LEVEL,
    Estimate,
    difference_of_proportions,
    difference_of_shares,
    log_ratio_of_proportions,
    mean_of_independent,
    mean_over_seeds,
    proportion,
    ratio_of_proportions,
)

Seeds: TypeAlias = "Rows | Sequence[Row]"
"""The rows of one point, one for each seed, at least one."""

SEEDS_FOR_SPREAD = 3
"""Fewest seeds whose spread is used in place of the counts."""

_COUNTED = {
    **{group: (f"{group}_count",) for group in ("g1", "g2", "g3", "g4")},
    "trigger_ratio": ("g1_count", "g2_count"),
    "mismatch_ratio": ("g1_count", "g3_count"),
    "template_g1": ("template_g1_count",),
    "template_g2": ("template_g2_count",),
    "template_trigger_ratio": ("template_g1_count", "template_g2_count"),
}
_TRIALS = {
    "other_match_ratio": "other_n",
    "other_trigger_ratio": "other_n",
    "other_template_ratio": "other_n",
    "trigger_false_positive_rate": "trigger_n_clean",
    "template_agreement": "n",
}


@dataclass(frozen=True)
class Comparison:
    """An estimate and what its interval rests on."""

    estimate: Estimate
    """The compared quantity with its interval."""
    basis: str
    """Readable, such as "500 images of one model" or "5 seeds"."""


def counted(row: Row, name: str) -> tuple[int, int]:
    """How many images of how many a fraction of a row stands for.

    The fraction's column is one of those named above.
    """
    if name in _COUNTED:
        return sum(int(row[column]) for column in _COUNTED[name]), int(row["n"])
    trials = int(row[_TRIALS[name]])
    return round(float(row[name]) * trials), trials


def pooled(rows: Seeds, name: str) -> tuple[int, int]:
    """`counted`, added up over seeds."""
    rows = records(rows)
    counts = [counted(row, name) for row in rows]
    return sum(count for count, _ in counts), sum(n for _, n in counts)


def level_of(rows: Seeds, name: str) -> Comparison:
    """One fraction, as `counted` takes it, at one point."""
    return _over_images(rows, name, lambda own: proportion(*pooled(own, name)), lowest=0)


def bounded(rows: Seeds, name: str, lowest: float = 0) -> Comparison | None:
    """One number with bounds of its own in every row, such as an AUROC; None where no row has it.

    The interval of one seed is its own, and two are joined, conditional on the trained models; from
    three on it is Student's over the seeds.

    Args:
        rows: The point's rows; seeds without the number are left out.
        name: Its column; the bounds are in ``<name>_low`` and ``<name>_high``.
        lowest: The smallest value that is possible: -1 for a difference of fractions.
    """
    rows = records(rows)
    found = [
        Estimate(*(float(row[f"{name}{end}"]) for end in ("", "_low", "_high")))
        for row in rows
        if row.get(name) is not None
    ]
    if not found:
        return None
    seeds = f"{len(found)}" if len(found) == len(rows) else f"{len(found)} of {len(rows)}"
    basis = f"{seeds} seed{'s' if len(rows) > 1 else ''}"
    return _of_models(found, basis, lowest)


def between_models(rows: Seeds, others: Seeds, count: str, n: str) -> Comparison | None:
    """A share of test images under one point's models minus the share under another's.

    Both points answer the same test images, but no row pairs their answers: the two shares of a
    seed count as independent, which is cautious.  Seeds are joined as in `bounded`; those that one
    point lacks are left out, and None is returned when no seed has both.

    Args:
        rows: One point's rows.
        others: The other point's rows.
        count: The column with the number of images in question.
        n: The column with the number of all test images.
    """
    pairs = _paired(
        *([row for row in records(one) if row.get(count) is not None] for one in (rows, others))
    )
    if not pairs:
        return None
    found = [
        difference_of_proportions(int(row[count]), int(row[n]), int(other[count]), int(other[n]))
        for row, other in pairs
    ]
    return _of_models(found, f"{len(found)} seed{'s' if len(found) > 1 else ''}", -1)


def _of_models(found: Sequence[Estimate], basis: str, lowest: float) -> Comparison:
    several = len(found) >= SEEDS_FOR_SPREAD
    joined = mean_over_seeds(found).within(lowest, 1) if several else mean_of_independent(found)
    return Comparison(joined, basis)


def above_constant(rows: Seeds, name: str, column: str) -> Comparison:
    """A fraction minus a number that carries no sampling error, such as p_t, at one point."""

    def above(own: Sequence[Row]) -> Estimate:
        constant = sum(float(row[column]) for row in own) / len(own)
        return proportion(*pooled(own, name)).shifted(-constant)

    return _over_images(rows, name, above)


def between_groups(rows: Seeds, first: str, second: str) -> Comparison:
    """First group minus second of the same images; both are among g1..g4."""

    def between(own: Sequence[Row]) -> Estimate:
        (a, n), (b, _) = pooled(own, first), pooled(own, second)
        return difference_of_shares(a, b, n)

    return _over_images(rows, first, between)


def above_false_positives(rows: Seeds, name: str) -> Comparison:
    """A trigger fraction minus the trigger judge's false-positive rate.

    The judge is one for all seeds: pooled, its own test images are counted once; over seeds, its
    error is in each seed's interval, and the mean's is no narrower than these.
    """
    errors = counted(records(rows)[0], "trigger_false_positive_rate")
    return _over_images(
        rows, name, lambda own: difference_of_proportions(*pooled(own, name), *errors)
    )


def between_points(rows: Seeds, others: Seeds, name: str, level: float = LEVEL) -> Comparison:
    """A fraction at one point minus the same fraction at another.

    Seeds that both points have are paired when there are enough of them; otherwise the two sets
    of images count as independent.  Those of one seed start from the same noise and are not: on the
    digits the verdicts of one model's images correlate by 0.4 to 0.8 under one sampler and hardly
    across samplers, so the interval is cautious there; those of two models by -0.36 to 0.83, so it
    can be up to a sixth too narrow as well.
    """
    rows, others = records(rows), records(others)
    pairs = _paired(rows, others)
    if len(pairs) >= SEEDS_FOR_SPREAD:
        each = [
            difference_of_proportions(*counted(row, name), *counted(other, name), level)
            for row, other in pairs
        ]
        return _over_seeds(each, level)
    (a, n), (b, m) = pooled(rows, name), pooled(others, name)
    return Comparison(difference_of_proportions(a, n, b, m, level), f"{n} and {m} images")


def ratio_of_points(rows: Seeds, others: Seeds, name: str) -> Comparison:
    """A fraction at one point over the same fraction at another.

    Over seeds it is the mean of the ratios' logarithms, half a count added everywhere: the ratio of
    a seed that counts zero has none otherwise.
    """
    rows, others = records(rows), records(others)
    pairs = _paired(rows, others)
    if len(pairs) >= SEEDS_FOR_SPREAD:
        each = [
            log_ratio_of_proportions(*counted(row, name), *counted(other, name))
            for row, other in pairs
        ]
        return Comparison(mean_over_seeds(each).exponential(), f"{len(pairs)} seeds")
    (a, n), (b, m) = pooled(rows, name), pooled(others, name)
    return Comparison(ratio_of_proportions(a, n, b, m), f"{n} and {m} images")


def _over_images(
    rows: Seeds, name: str, of: Callable[[Sequence[Row]], Estimate], lowest: float = -1
) -> Comparison:
    """An estimate of each seed's rows joined over enough seeds, else of all rows together."""
    rows = records(rows)
    if len(rows) >= SEEDS_FOR_SPREAD:
        return _over_seeds([of([row]) for row in rows], lowest=lowest)
    models = "one model" if len(rows) == 1 else f"{len(rows)} models, pooled"
    return Comparison(of(rows), f"{pooled(rows, name)[1]} images of {models}")


def _over_seeds(
    estimates: Sequence[Estimate], level: float = LEVEL, *, lowest: float = -1
) -> Comparison:
    found = mean_over_seeds(estimates, level).within(lowest, 1)
    return Comparison(found, f"{len(estimates)} seeds")


def _paired(rows: Sequence[Row], others: Sequence[Row]) -> list[tuple[Row, Row]]:
    """Rows of two points that have the seed in common."""
    by_seed = {other["seed"]: other for other in others}
    return [(row, by_seed[row["seed"]]) for row in rows if row["seed"] in by_seed]
