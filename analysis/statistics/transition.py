"""Trigger amplification and the phase transition (section 4, Fig. 3, 4 and A7 of the paper).

Amplification compares the share of generations that carry the trigger with p_t = pN / (pN + N_t),
the share of training images under the target label that do.  The phase transition is where
mismatching triggers (G1) take over; the paper names no number for it, so there are two:

- p*_gap: the smallest poison ratio with G1(p) >= p_t(p), G1's gap of Fig. 4 turning positive;
- p*_dom: the smallest poison ratio with G1(p) >= G2(p), mismatches outnumbering matches.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import exp, inf, log

from analysis.rows import records
from analysis.statistics.comparison import SEEDS_FOR_SPREAD, Seeds, above_constant, between_groups
from analysis.statistics.intervals import Estimate


def amplification_row(trigger_ratio: Estimate, p_t: float) -> dict[str, Estimate | None]:
    """The amplification columns of a results row.

    Args:
        trigger_ratio: G1 + G2, fraction with its interval.
        p_t: Share of training images under the target label that carry the trigger, 0..1.

    Returns:
        ``amplification`` = trigger_ratio / p_t (None at p_t = 0, where it has no meaning) and
        ``amplification_difference`` = trigger_ratio - p_t.

    Raises:
        ValueError: ``p_t`` outside 0..1.
    """
    if not 0 <= p_t <= 1:
        raise ValueError(f"p_t is a fraction, 0..1, got {p_t}")
    return {
        "amplification": trigger_ratio.divided(p_t) if p_t > 0 else None,
        "amplification_difference": trigger_ratio.shifted(-p_t),
    }


@dataclass(frozen=True)
class Crossing:
    """Where a curve first reaches zero."""

    value: float
    """Poison ratio, a fraction; inf when the curve stays below zero at every ratio measured."""
    at_first: bool
    """The curve is not below zero at the smallest ratio already: the crossing is there or below."""
    falls_back: bool
    """After reaching zero the curve is below it again at a larger ratio."""
    interval: tuple[float, float] | None
    """Its 95 % interval: the smallest ratio where it is there or below, inf where it lies above the
    largest.  None with fewer than three seeds: trainings vary, and nothing says how much."""


@dataclass(frozen=True)
class Transition:
    """Both phase-transition points of one trigger at one guidance weight."""

    poison_ratios: tuple[float, ...]
    """Ratios measured, ascending, fractions above 0."""
    gap: Crossing
    """p*_gap, where G1 reaches p_t."""
    dominance: Crossing
    """p*_dom, where G1 reaches G2."""
    seeds: int
    """Seeds measured at every ratio; 1 if none is."""


def transition(rows: Seeds) -> Transition | None:
    """Locate both phase-transition points on one curve; None with fewer than two poison ratios.

    A p* cannot be told from the ratios at which zero lies in the interval of the curve (Fieller's
    argument): its interval reaches from where the upper bounds first reach zero to where the lower
    bounds do.  These are Student's over the seeds, so it takes as many seeds as they do, and covers
    whether or not every seed's own curve crosses.

    Args:
        rows: One trigger, target, sampler and guidance weight; several ratios, one row a seed.
    """
    poisoned = [row for row in records(rows) if row["poison_ratio"] > 0]
    ratios = sorted({float(row["poison_ratio"]) for row in poisoned})
    if len(ratios) < 2:
        return None
    points = [[row for row in poisoned if row["poison_ratio"] == ratio] for ratio in ratios]
    complete = set.intersection(*({int(row["seed"]) for row in point} for point in points))
    bounded = len(complete) >= SEEDS_FOR_SPREAD
    if bounded:
        points = [[row for row in point if row["seed"] in complete] for point in points]
    gap = [above_constant(point, "g1", "p_t").estimate for point in points]
    lead = [between_groups(point, "g1", "g2").estimate for point in points]
    return Transition(
        poison_ratios=tuple(ratios),
        gap=_crossing(ratios, gap, bounded),
        dominance=_crossing(ratios, lead, bounded),
        seeds=max(len(complete), 1),
    )


def first_crossing(poison_ratios: Sequence[float], curve: Sequence[float]) -> float:
    """Where a curve first reaches zero from below, linear in log p between the ratios.

    Given ascending ratios above 0 and as many values.  Returns the smallest ratio where the curve
    starts at or above zero, inf where it never gets there.
    """
    reached = next((place for place, value in enumerate(curve) if value >= 0), None)
    if not reached:
        return inf if reached is None else poison_ratios[0]
    before, after = (log(poison_ratios[place]) for place in (reached - 1, reached))
    # The step is never zero, as start < 0 <= stop.
    start, stop = curve[reached - 1], curve[reached]
    return exp(before - start / (stop - start) * (after - before))


def _crossing(ratios: Sequence[float], curve: Sequence[Estimate], bounded: bool) -> Crossing:
    values = [point.value for point in curve]
    interval = (
        first_crossing(ratios, [point.high for point in curve]),
        first_crossing(ratios, [point.low for point in curve]),
    )
    return Crossing(
        value=first_crossing(ratios, values),
        at_first=values[0] >= 0,
        falls_back=any(one >= 0 > other for one, other in pairwise(values)),
        interval=interval if bounded else None,
    )
