"""Trigger amplification and the phase transition (section 4, Fig. 3, 4 and A7 of the paper).

Amplification compares the share of generations that carry the trigger with p_t = pN / (pN + N_t),
the share of training images under the target label that do.  The phase transition is where
mismatching triggers (G1) take over; the paper names no number for it, so there are two:

- p*_gap: the smallest poison ratio with G1(p) >= p_t(p), G1's gap of Fig. 4 turning positive;
- p*_dom: the smallest poison ratio with G1(p) >= G2(p), mismatches outnumbering matches.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from analysis.intervals import Estimate, percentile_interval
from analysis.rows import Row

DRAWS = 2000
"""Bootstrap draws behind each interval."""
SEEDS_FOR_BOOTSTRAP = 3
"""Fewest seeds whose resampling says something about training variance."""

Floats = npt.NDArray[np.float64]


def amplification_row(trigger_ratio: Estimate, p_t: float) -> dict[str, float | None]:
    """The amplification columns of a results row.

    Args:
        trigger_ratio: G1 + G2, fraction with its interval.
        p_t: Share of training images under the target label that carry the trigger, 0..1.

    Returns:
        ``amplification`` = trigger_ratio / p_t (None at p_t = 0, where it has no meaning) and
        ``amplification_difference`` = trigger_ratio - p_t, each with ``_low`` and ``_high``.

    Raises:
        ValueError: ``p_t`` outside 0..1.
    """
    if not 0 <= p_t <= 1:
        raise ValueError(f"p_t is a fraction, 0..1, got {p_t}")
    difference = trigger_ratio.shifted(-p_t)
    ratio = trigger_ratio.divided(p_t) if p_t > 0 else None
    return {
        "amplification": ratio.value if ratio else None,
        "amplification_low": ratio.low if ratio else None,
        "amplification_high": ratio.high if ratio else None,
        "amplification_difference": difference.value,
        "amplification_difference_low": difference.low,
        "amplification_difference_high": difference.high,
    }


@dataclass(frozen=True)
class Crossing:
    """Where a curve first reaches zero, with its bootstrap interval."""

    value: float | None
    """Poison ratio, a fraction; None when the curve stays below zero at every ratio measured."""
    at_first: bool
    """The curve is not below zero at the smallest ratio already: the crossing is there or below."""
    falls_back: bool
    """After reaching zero the curve is below it again at a larger ratio."""
    low: float | None
    """Lower bound; None when it lies above the largest ratio measured."""
    high: float | None
    """Upper bound; None when it lies above the largest ratio measured."""
    draws: int
    """Bootstrap draws."""
    draws_without: int
    """Draws in which the curve never reached zero."""


@dataclass(frozen=True)
class Transition:
    """Both phase-transition points of one trigger at one guidance weight."""

    poison_ratios: tuple[float, ...]
    """Ratios measured, ascending, fractions above 0."""
    gap_1: tuple[float, ...]
    """G1 - p_t at each ratio."""
    gap_2: tuple[float, ...]
    """G2 - p_t at each ratio."""
    gap: Crossing
    """p*_gap, where G1 reaches p_t."""
    dominance: Crossing
    """p*_dom, where G1 reaches G2."""
    resampled: Literal["seeds", "images"]
    """What the bootstrap drew again; with "images" the variance of training is left out."""
    seeds: int
    """Seeds whose mean the curves are."""


def transition(rows: Sequence[Row], *, seed: int = 0) -> Transition | None:
    """Locate both phase-transition points on one curve.

    With at least three seeds measured at every ratio, whole seeds are drawn again; with fewer,
    images are (a multinomial from the counts), and the variance of training is left out.

    Args:
        rows: One trigger, target, sampler and guidance weight; several ratios, one row a seed.
        seed: Draws the bootstrap.

    Returns:
        None with fewer than two poison ratios above 0, where there is nothing to interpolate.
    """
    table = {
        (float(row["poison_ratio"]), int(row["seed"])): row
        for row in rows
        if row["poison_ratio"] > 0
    }
    ratios = sorted({ratio for ratio, _ in table})
    if len(ratios) < 2:
        return None
    seeds = [
        seed
        for seed in sorted({seed for _, seed in table})
        if all((ratio, seed) in table for ratio in ratios)
    ]
    rng = np.random.default_rng(seed)
    resampled: Literal["seeds", "images"]
    if len(seeds) >= SEEDS_FOR_BOOTSTRAP:
        resampled = "seeds"
        cells = [[table[ratio, seed] for ratio in ratios] for seed in seeds]
        per_seed = np.array([[_shares(row) for row in line] for line in cells])
        shares = per_seed.mean(axis=0)
        drawn = per_seed[rng.integers(0, len(seeds), (DRAWS, len(seeds)))].mean(axis=1)
    else:
        resampled = "images"
        counts = np.array([_pooled(table, ratio) for ratio in ratios])
        totals = counts.sum(axis=1)
        shares = counts / totals[:, None]
        drawn = np.stack(
            [
                rng.multinomial(total, share, DRAWS) / total
                for total, share in zip(totals, shares, strict=True)
            ],
            axis=1,
        )
    p_t = np.array([_p_t(table, ratio) for ratio in ratios])
    log_ratios = np.array(ratios)
    return Transition(
        poison_ratios=tuple(ratios),
        gap_1=tuple((shares[:, 0] - p_t).tolist()),
        gap_2=tuple((shares[:, 1] - p_t).tolist()),
        gap=_crossing(log_ratios, shares[:, 0] - p_t, drawn[:, :, 0] - p_t),
        dominance=_crossing(
            log_ratios, shares[:, 0] - shares[:, 1], drawn[:, :, 0] - drawn[:, :, 1]
        ),
        resampled=resampled,
        seeds=max(len(seeds), 1),
    )


def first_crossing(poison_ratios: Floats, curves: Floats) -> Floats:
    """Where each curve first reaches zero from below, linear in log p between the ratios.

    Args:
        poison_ratios: float64, (P,), ascending, above 0.
        curves: float64, (B, P).

    Returns:
        float64, (B,): a poison ratio; the smallest one where the curve starts at or above zero,
        +inf where it never gets there.
    """
    reached = curves >= 0
    index = reached.argmax(axis=1)  # 0 as well where nothing is reached; masked at the end
    before = np.maximum(index - 1, 0)
    draw = np.arange(len(curves))
    start, stop = curves[draw, before], curves[draw, index]
    # From the second ratio on, start < 0 <= stop, so the step is never zero.
    along = -start / np.where(index > 0, stop - start, 1.0)
    log_p = np.log(poison_ratios)
    between = np.exp(log_p[before] + along * (log_p[index] - log_p[before]))
    crossing = np.where(index > 0, between, poison_ratios[0])
    return np.where(reached.any(axis=1), crossing, np.inf)


def _crossing(poison_ratios: Floats, curve: Floats, drawn: Floats) -> Crossing:
    value = float(first_crossing(poison_ratios, curve[None])[0])
    draws = first_crossing(poison_ratios, drawn)
    low, high = percentile_interval(draws)
    return Crossing(
        value=value if np.isfinite(value) else None,
        at_first=bool(curve[0] >= 0),
        falls_back=bool((np.diff((curve >= 0).astype(np.int8)) < 0).any()),
        low=low if np.isfinite(low) else None,
        high=high if np.isfinite(high) else None,
        draws=len(draws),
        draws_without=int(np.isinf(draws).sum()),
    )


def _counts(row: Row) -> list[int]:
    return [int(row[f"{group}_count"]) for group in ("g1", "g2", "g3", "g4")]


def _shares(row: Row) -> Floats:
    counts = np.array(_counts(row), dtype=np.float64)
    shares: Floats = counts / counts.sum()
    return shares


def _pooled(table: dict[tuple[float, int], Row], ratio: float) -> npt.NDArray[np.int64]:
    counts = [_counts(row) for (at, _), row in table.items() if at == ratio]
    total: npt.NDArray[np.int64] = np.array(counts, dtype=np.int64).sum(axis=0)
    return total


def _p_t(table: dict[tuple[float, int], Row], ratio: float) -> float:
    return float(np.mean([row["p_t"] for (at, _), row in table.items() if at == ratio]))
