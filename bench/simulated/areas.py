"""Intervals of AUROCs and of rates: suspicions of several shapes whose AUROC is known."""

from collections.abc import Iterator
from math import sqrt
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from analysis.statistics import auroc, comparison, intervals, shifts
from bench.simulated.cases import Case, Draw, held

Floats = npt.NDArray[np.float64]

SIZES = ((14, 1400), (30, 1400), (140, 1400), (20, 20))


def areas() -> Iterator[Case]:
    """AUROCs, their differences, and differences of two labelings."""
    for kind in KINDS:
        for positives, negatives in SIZES:
            for area in (0.5, 0.8, 0.95, 0.995):
                yield Case(
                    "AUROC",
                    (auroc.auroc, shifts.detection, comparison.bounded),
                    f"{kind}, {positives} and {negatives} images, {area:g}",
                    lambda draw, kind=kind, sizes=(positives, negatives), area=area: held(
                        auroc.auroc(*scores(draw, kind, *sizes, area)), true_area(kind, area)
                    ),
                )
    for kind in KINDS:
        for one, before, other, after in (
            ((14, 1423), 0.8, (30, 1407), 0.8),
            ((14, 1423), 0.95, (30, 1407), 0.95),
            ((70, 1367), 0.95, (140, 1297), 0.98),
            ((143, 1294), 0.995, (160, 1277), 0.99),
        ):
            yield Case(
                "difference of two AUROCs",
                (shifts.against_training, shifts.at_equal_prevalence, intervals.difference),
                f"{kind}, {one[0]} positives at {before:g}, {other[0]} at {after:g}",
                lambda draw, kind=kind, sets=((one, before), (other, after)): _gain(
                    draw, kind, *sets
                ),
            )
    for missed, wrong in ((0.1, 0.0), (0.0, 0.01), (0.1, 0.01)):
        yield Case(
            "difference of two labelings (judge − template match)",
            (auroc.difference_of_labelings, shifts.by_template_match),
            f"1400 images, 10 % positive, d' 1.5, template match misses {100 * missed:g} % and "
            f"invents "
            f"{100 * wrong:g} %",
            lambda draw, missed=missed, wrong=wrong: _labelings(draw, missed, wrong),
        )


KINDS = ("equal normals", "wide positives", "missed positives", "exponential", "tied")
"""Positives that vary twice as much as negatives; a share of them that looks like negatives, the
others far above; exponential scores; normal ones rounded to half a standard deviation."""


def scores(
    draw: Draw, kind: str, positives: int, negatives: int, area: float
) -> tuple[Floats, Floats]:
    """Suspicions of positives, (P,), and negatives, (N,), of this AUROC before any rounding."""
    if kind == "exponential":
        return draw.exponential(area / (1 - area), positives), draw.exponential(1, negatives)
    negative = draw.normal(0, 1, negatives)
    if kind == "missed positives":
        missed = draw.random(positives) < 2 * (1 - area)
        return draw.normal(np.where(missed, 0, 9), 1), negative
    spread = 2 if kind == "wide positives" else 1
    distance = sqrt(1 + spread**2) * NormalDist().inv_cdf(area)
    positive = draw.normal(distance, spread, positives)
    return (positive, negative) if kind != "tied" else (_tied(positive), _tied(negative))


def true_area(kind: str, area: float) -> float:
    """AUROC of `scores`, of which rounding takes a little."""
    if kind != "tied":
        return area
    distance = sqrt(2) * NormalDist().inv_cdf(area)
    edges = np.arange(-8, 13, 0.5) + 0.25
    positive, negative = (
        np.diff([NormalDist(middle, 1).cdf(edge) for edge in edges]) for middle in (distance, 0)
    )
    return float(positive @ (np.cumsum(negative) - negative / 2))


def _tied(values: Floats) -> Floats:
    return np.round(2 * values) / 2


def _gain(draw: Draw, kind: str, *sets: tuple[tuple[int, int], float]) -> bool:
    training, generation = (
        shifts.Scores(*scores(draw, kind, *sizes, area)) for sizes, area in sets
    )
    before, after = (true_area(kind, area) for _, area in sets)
    return held(shifts.against_training(generation, training)["auroc_gain"], after - before)


def _labelings(draw: Draw, missed: float, wrong: float) -> bool:
    true = draw.random(1400) < 0.1
    suspicion = draw.normal(1.5 * true, 1)
    seen = np.where(true, draw.random(1400) >= missed, draw.random(1400) < wrong)
    area = NormalDist().cdf(1.5 / sqrt(2))
    # Both kinds by template matching are mixtures; a pair of two alike is worth a half.
    hits, inventions = 0.1 * (1 - missed), 0.9 * wrong
    positive = hits / (hits + inventions)
    negative = 0.1 * missed / (0.1 * missed + 0.9 * (1 - wrong))
    alike = positive * negative + (1 - positive) * (1 - negative)
    crossed = positive * (1 - negative) * area + (1 - positive) * negative * (1 - area)
    found = auroc.difference_of_labelings(suspicion, true, seen)
    return held(found, area - (crossed + alike / 2))


def rates() -> Iterator[Case]:
    """True positive rates at low false positive rates."""
    for positives, negatives in ((14, 1400), (140, 1400), (140, 140)):
        for area in (0.6, 0.95, 0.995):
            for fpr in (0.01, 0.05):
                yield Case(
                    f"TPR at {100 * fpr:g} % FPR",
                    (auroc.tpr_at, shifts.detection),
                    f"equal normals, {positives} and {negatives} images, AUROC {area:g}",
                    lambda draw, sizes=(positives, negatives), area=area, fpr=fpr: _rate(
                        draw, sizes, area, fpr
                    ),
                )


def _rate(draw: Draw, sizes: tuple[int, int], area: float, fpr: float) -> bool:
    distance = sqrt(2) * NormalDist().inv_cdf(area)
    truth = NormalDist(-distance).cdf(NormalDist().inv_cdf(fpr))
    return held(auroc.tpr_at(fpr, *scores(draw, KINDS[0], *sizes, area)), truth)
