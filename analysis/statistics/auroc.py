"""AUROC, ROC curves and their intervals: how well suspicions order two kinds of images.

AUROC is the probability that a random positive is more suspicious than a random negative, ties
counting half (Hanley and McNeil 1982): the Mann-Whitney statistic over the number of pairs, by
midranks.  It depends on the order of the suspicions alone and on no prevalence.  Below 0.5 it stays
below 0.5; nothing here is turned around.

Intervals treat the images as independent draws, and are conditional on who is counted as positive
and on the model, the classifier and the prepared detector behind the suspicions.  How often they
hold the truth: docs/coverage.md.  A suspicion of NaN is a ValueError everywhere.
"""

from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from analysis.statistics.intervals import LEVEL, Estimate, difference, score

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

PRIOR = 0.25
"""Weight of the largest variance possible against that of the images seen, counted in images that
are out of order; ours, by simulation."""


def auroc(
    positive: Floats, negative: Floats, level: float = LEVEL, *, positives: int | None = None
) -> Estimate | None:
    """Area under the ROC curve, 0..1, with its interval; None if a kind of image is missing.

    Wilson's interval of a share of m images, where m is such that AUROC (1 - AUROC) / m is DeLong's
    variance (1988).  Each kind's part of that variance is drawn towards the largest one possible,
    AUROC (1 - AUROC) / its images (Birnbaum and Klose 1957), and is that where no image is out of
    order: images that happen to be in perfect order say nothing about their spread.  So the
    interval of an AUROC of 1 reaches below 1.

    Args:
        positive: float64, (P,). Suspicions of the images to be found.
        negative: float64, (N,). Of the others.
        level: Coverage, strictly between 0 and 1.
        positives: Bounds as only so many of the positives, 1..P, would give.
    """
    found = _Placed.of(positive, negative)
    if found is None:
        return None
    information = 1 / sum(
        _share_of_variance(own, found.area) / (count or len(own))
        for own, count in ((found.of_positive, positives), (found.of_negative, None))
    )
    return Estimate(found.area, *score(found.area, information, level))


def tpr_at(fpr: float, positive: Floats, negative: Floats) -> Estimate | None:
    """The largest true positive rate that some threshold reaches at a false positive rate <= fpr.

    None if a kind of image is missing.
    No interpolation: a threshold flags all images of at least its suspicion, so equal ones come
    together, and what no threshold reaches is not reported.  0 if every threshold that flags a
    positive flags too many negatives.

    The threshold is itself read off N negatives.  So the interval reaches from Wilson's lower bound
    of the rate at ``fpr`` less its own normal bound to the upper one at ``fpr`` and as much more;
    it is cautious, and wide where N allows only a few false positives.

    Args:
        fpr: Largest false positive rate allowed, 0..1.
        positive: As of `auroc`.
        negative: As of `auroc`.
    """
    _check(positive, negative)
    if not len(positive) or not len(negative):
        return None
    z = NormalDist().inv_cdf((1 + LEVEL) / 2)
    spread = z * sqrt(fpr * (1 - fpr) / len(negative))
    fewer, value, more = (
        _rate(allowed, positive, negative) for allowed in (fpr - spread, fpr, fpr + spread)
    )
    many = len(positive)
    return Estimate(value, score(fewer, many)[0], score(more, many)[1])


def difference_of_labelings(suspicion: Floats, first: Flags, second: Flags) -> Estimate | None:
    """AUROC when ``first`` says who is positive minus AUROC when ``second`` does, of equal images.

    Both intervals are joined with the correlation of what each image contributes to either AUROC
    (DeLong 1988).  It stays below 1 where the labelings agree on every image, so that "no
    difference" has a width as well.  Given suspicions, float64, (N,), and bool, (N,); None if a
    labeling has one kind of image only.
    """
    areas = [auroc(suspicion[flags], suspicion[~flags]) for flags in (first, second)]
    if areas[0] is None or areas[1] is None:
        return None
    (one, spread), (other, other_spread) = (
        _contributions(suspicion, flags) for flags in (first, second)
    )
    spreads = sqrt(spread * other_spread)
    return difference(areas[0], areas[1], float(one @ other) / spreads if spreads else 0.0)


def roc_curve(positive: Floats, negative: Floats) -> tuple[Floats, Floats]:
    """False and true positive rates of every threshold, from (0, 0) to (1, 1).

    One point a distinct suspicion, so that the straight line between two points is what ties are
    worth and the area under the lines is ``auroc``.  Both float64, (V + 1,), never falling.

    Raises:
        ValueError: A kind of image is missing.
    """
    _check(positive, negative)
    if not len(positive) or not len(negative):
        raise ValueError(
            f"a ROC curve needs images of both kinds, got {len(positive)} positives "
            f"and {len(negative)} negatives"
        )
    thresholds = np.unique(np.concatenate([positive, negative]))[::-1]
    false, true = (
        np.append(0, _at_least(thresholds, own)) / len(own) for own in (negative, positive)
    )
    return false, true


@dataclass(frozen=True, eq=False)
class _Placed:
    """Where each image of a kind lies among the images of the other."""

    area: float
    """AUROC: the mean of either."""
    of_positive: Floats
    """(P,). Share of negatives below it, ties counting half."""
    of_negative: Floats
    """(N,). Share of positives above it, ties counting half."""

    @classmethod
    def of(cls, positive: Floats, negative: Floats) -> "_Placed | None":
        """Count; None if a kind of image is missing."""
        _check(positive, negative)
        if not len(positive) or not len(negative):
            return None
        # Twice: whole numbers up to the last division, so that equal orders give equal bits.
        below = _below(positive, negative)
        pairs = 2 * len(positive) * len(negative)
        return cls(
            int(below.sum()) / pairs,
            below / (2 * len(negative)),
            1 - _below(negative, positive) / (2 * len(positive)),
        )


def _contributions(suspicion: Floats, flags: Flags) -> tuple[Floats, float]:
    """Each image's part of an AUROC's error, (N,), of mean 0; and its variance with `PRIOR`."""
    found = _Placed.of(suspicion[flags], suspicion[~flags])
    parts, variance = np.empty(len(suspicion)), 0.0
    if found is None:
        return parts, variance
    most = found.area * (1 - found.area)
    for own, members in ((found.of_positive, flags), (found.of_negative, ~flags)):
        parts[members] = (own - found.area) / len(own)
        variance += _share_of_variance(own, found.area) * most / len(own)
    return parts, variance


def _share_of_variance(placements: Floats, area: float) -> float:
    """Of AUROC (1 - AUROC), the largest variance that placements with this mean can have; 0..1."""
    squares = float(((placements - area) ** 2).sum())
    return (squares + PRIOR) / (len(placements) * area * (1 - area) + PRIOR)


def _rate(fpr: float, positive: Floats, negative: Floats) -> float:
    """Positives at or above the lowest threshold that flags at most this share of negatives."""
    thresholds = np.unique(positive)
    flagged = _at_least(thresholds, negative) / len(negative)
    return float((_at_least(thresholds, positive) * (flagged <= fpr)).max() / len(positive))


def _at_least(thresholds: Floats, scores: Floats) -> npt.NDArray[np.int64]:
    return len(scores) - np.searchsorted(np.sort(scores), thresholds, side="left")


def _below(scores: Floats, others: Floats) -> npt.NDArray[np.int64]:
    """Twice the number of others below each score, ties counting one."""
    ordered = np.sort(others)
    return np.searchsorted(ordered, scores, "left") + np.searchsorted(ordered, scores, "right")


def _check(*groups: Floats) -> None:
    if any(np.isnan(scores).any() for scores in groups):
        raise ValueError("suspicions have an order, got NaN; look at the detector's constants")
