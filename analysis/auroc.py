"""AUROC, ROC curves and their bootstrap: how well suspicions order two kinds of images.

AUROC is the probability that a random positive is more suspicious than a random negative, ties
counting half (Hanley and McNeil 1982): the Mann-Whitney statistic over the number of pairs, by
midranks.  It depends on the order of the suspicions alone and on no prevalence.  Below 0.5 it stays
below 0.5; nothing here is turned around.

All is computed from *counts*, the number of images of a kind at every distinct suspicion in
ascending order, so that thousands of resamples are a few operations on arrays.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analysis.intervals import LEVEL, Estimate, percentile_interval

Floats = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
"""(..., V): images at each of V distinct suspicions, ascending."""
Statistic = Callable[[Counts, Counts], Floats]
"""Of the counts of positives and of negatives, both (..., V), one number each: (...)."""

CELLS = 2**20
"""Counts of a group held at once while resampling: bounds the memory, changes no result."""


def auroc(positive: Floats, negative: Floats) -> float | None:
    """Area under the ROC curve, 0..1; None if a kind of image is missing.

    Args:
        positive: float64, (P,). Suspicions of the images to be found.
        negative: float64, (N,). Of the others.

    Raises:
        ValueError: A suspicion is NaN.
    """
    return _of(area, positive, negative)


def tpr_at(fpr: float, positive: Floats, negative: Floats) -> float | None:
    """The largest true positive rate that some threshold reaches at a false positive rate <= fpr.

    No interpolation: a threshold flags all images of at least its suspicion, so equal ones come
    together, and what no threshold reaches is not reported.  0 if every threshold that flags a
    positive flags too many negatives.

    Args:
        fpr: Largest false positive rate allowed, 0..1.
        positive: float64, (P,).
        negative: float64, (N,).

    Returns:
        0..1; None if a kind of image is missing.

    Raises:
        ValueError: A suspicion is NaN.
    """
    return _of(detection_rate(fpr), positive, negative)


def roc_curve(positive: Floats, negative: Floats) -> tuple[Floats, Floats]:
    """False and true positive rates of every threshold, from (0, 0) to (1, 1).

    One point a distinct suspicion, so that the straight line between two points is what ties are
    worth and the area under the lines is ``auroc``.

    Args:
        positive: float64, (P,).
        negative: float64, (N,).

    Returns:
        Both float64, (V + 1,), never falling.

    Raises:
        ValueError: A kind of image is missing, or a suspicion is NaN.
    """
    if not len(positive) or not len(negative):
        raise ValueError(
            f"a ROC curve needs images of both kinds, got {len(positive)} positives "
            f"and {len(negative)} negatives"
        )
    counts = _counts({"positive": positive, "negative": negative})
    false, true = (
        np.append(0, np.cumsum(counts[kind][::-1])) / counts[kind].sum()
        for kind in ("negative", "positive")
    )
    return false, true


def area(positive: Counts, negative: Counts) -> Floats:
    """AUROC by counts, (...); NaN where a kind of image is missing.

    Whole numbers up to the last division, so that equal orders give equal bits.
    """
    # Twice: the negatives below each suspicion, and half of those at it.
    below = 2 * np.cumsum(negative, axis=-1) - negative
    wins = np.einsum("...v,...v->...", positive, below)
    with np.errstate(invalid="ignore"):
        share: Floats = wins / (2 * positive.sum(axis=-1) * negative.sum(axis=-1))
    return share


def detection_rate(fpr: float) -> Statistic:
    """``tpr_at`` by counts: a function of positives and negatives; NaN where a kind is missing."""

    def rate(positive: Counts, negative: Counts) -> Floats:
        negatives = negative.sum(axis=-1, keepdims=True)
        flagged = negatives - np.cumsum(negative, axis=-1) + negative
        positives = positive.sum(axis=-1)
        with np.errstate(invalid="ignore"):
            # Thresholds that flag too many are the lowest ones; who needs them is missed.
            missed = np.einsum("...v,...v->...", positive, flagged / negatives > fpr)
            found: Floats = (positives - missed) / positives
        return found

    return rate


@dataclass(frozen=True)
class Draws:
    """A number and what it was on resampled images."""

    value: float
    """On the images as they are."""
    replicates: Floats
    """(R,). On each resample."""

    def minus(self, other: "Draws") -> "Draws":
        """The difference, resample by resample."""
        return Draws(self.value - other.value, self.replicates - other.replicates)

    def estimate(self, level: float = LEVEL) -> Estimate:
        """The number and the middle ``level`` of its resamples, which is stretched to hold it."""
        low, high = percentile_interval(self.replicates, level)
        return Estimate(self.value, min(low, self.value), max(high, self.value))


def bootstrap(
    groups: Mapping[str, Floats],
    statistics: Mapping[str, tuple[Statistic, str, str]],
    *,
    seed: int,
    resamples: int,
    sizes: Mapping[str, int] | None = None,
) -> dict[str, Draws | None]:
    """Statistics of pairs of groups, and what they are on resampled images.

    Stratified: each group is resampled by itself, with replacement, to its own number of images.
    So the intervals are conditional on these numbers, on who is counted as positive, and on the
    model, the classifier and the prepared detector behind the suspicions; they say how far a number
    rests on which images happened to be looked at.  A group of one image never varies, and an
    interval that rests on few images is too narrow.

    All statistics of one call see the same resamples, so that differences can be taken resample by
    resample.  A group's resamples depend on ``seed``, its name and its number of images alone:
    another call with these draws the same.

    Args:
        groups: Suspicions of each group of images, float64, (n,).
        statistics: By name, a statistic, and the groups that are its positives and negatives.
        seed: At least 0.
        resamples: R, at least 1.
        sizes: Images to draw of a group, where not as many as it has.

    Returns:
        By name; None if one of the two groups has no image.

    Raises:
        ValueError: A suspicion is NaN, or ``resamples`` below 1.
    """
    if resamples < 1:
        raise ValueError(f"an interval needs at least one resample, got {resamples}")
    possible = {
        name: (statistic, positive, negative)
        for name, (statistic, positive, negative) in statistics.items()
        if len(groups[positive]) and len(groups[negative])
    }
    used = {group for _, *pair in possible.values() for group in pair}
    ranks, distinct = rank({name: groups[name] for name in groups if name in used})
    drawn_of = {name: (sizes or {}).get(name, len(own)) for name, own in ranks.items()}
    batches = _batches(resamples, max([distinct, *drawn_of.values()]))
    resampled = [
        _resampled(own, distinct, drawn_of[name], batches, generator(seed, name))
        for name, own in ranks.items()
    ]
    replicates: dict[str, list[Floats]] = {name: [] for name in possible}
    for parts in zip(*resampled, strict=True):
        drawn = dict(zip(ranks, parts, strict=True))
        for name, (statistic, positive, negative) in possible.items():
            replicates[name].append(statistic(drawn[positive], drawn[negative]))
    whole = {name: np.bincount(own, minlength=distinct) for name, own in ranks.items()}
    found: dict[str, Draws | None] = dict.fromkeys(statistics)
    for name, (statistic, positive, negative) in possible.items():
        value = float(statistic(whole[positive], whole[negative]))
        found[name] = Draws(value, np.concatenate(replicates[name]))
    return found


def difference_of_labelings(
    suspicion: Floats,
    first: npt.NDArray[np.bool_],
    second: npt.NDArray[np.bool_],
    *,
    seed: int,
    resamples: int,
) -> Estimate | None:
    """AUROC when ``first`` says who is positive minus AUROC when ``second`` does, paired.

    The images are resampled with replacement and take both labels along, so numbers of positives
    vary.  Resamples in which a labeling has only one kind of image have no AUROC and are left out:
    the interval is conditional on there being both.  As `bootstrap`, conditional on the model, the
    classifier and the prepared detector.

    Args:
        suspicion: float64, (N,).
        first: bool, (N,).
        second: bool, (N,).
        seed: At least 0.
        resamples: Of which those with both kinds of image count.

    Returns:
        None if a labeling has one kind of image only, here or in every resample.

    Raises:
        ValueError: A suspicion is NaN.
    """
    ranks, distinct = rank({"images": suspicion})
    # An image's two labels and its rank in one number, so that resampling keeps them together.
    cells = (2 * first.astype(np.int64) + second) * distinct + ranks["images"]

    def compare(counts: Counts) -> Floats:
        neither, second_only, first_only, both = np.moveaxis(counts.reshape(-1, 4, distinct), 1, 0)
        return area(first_only + both, neither + second_only) - area(
            second_only + both, neither + first_only
        )

    value = float(compare(np.bincount(cells, minlength=4 * distinct))[0]) if len(cells) else np.nan
    if np.isnan(value):
        return None
    batches = _batches(resamples, 4 * distinct)
    rng = generator(seed, "labelings")
    resampled = _resampled(cells, 4 * distinct, len(cells), batches, rng)
    replicates = np.concatenate([compare(counts) for counts in resampled])
    kept = replicates[~np.isnan(replicates)]
    return Draws(value, kept).estimate() if len(kept) else None


def rank(groups: Mapping[str, Floats]) -> tuple[dict[str, npt.NDArray[np.int64]], int]:
    """Each image's place among the distinct suspicions of all groups, 0.., and how many there are.

    Raises:
        ValueError: A suspicion is NaN, which has no place.
    """
    joined = np.concatenate([np.empty(0), *groups.values()])
    if np.isnan(joined).any():
        raise ValueError("suspicions have an order, got NaN; look at the detector's constants")
    distinct, places = np.unique(joined, return_inverse=True)
    ends = np.cumsum([len(scores) for scores in groups.values()], dtype=np.int64)
    # Behind the last end nothing is left.
    return dict(zip(groups, np.split(places, ends)[:-1], strict=True)), len(distinct)


def generator(seed: int, purpose: str) -> np.random.Generator:
    """Draws by (seed, purpose), so that no two purposes share their numbers."""
    return np.random.default_rng([seed, *purpose.encode()])


def _of(statistic: Statistic, positive: Floats, negative: Floats) -> float | None:
    if not len(positive) or not len(negative):
        return None
    counts = _counts({"positive": positive, "negative": negative})
    return float(statistic(counts["positive"], counts["negative"]))


def _counts(groups: Mapping[str, Floats]) -> dict[str, Counts]:
    ranks, distinct = rank(groups)
    return {name: np.bincount(own, minlength=distinct) for name, own in ranks.items()}


def _batches(resamples: int, longest: int) -> list[int]:
    """How many resamples to hold at once, time after time, with arrays of up to CELLS numbers."""
    at_once = max(1, CELLS // max(1, longest))
    whole, rest = divmod(resamples, at_once)
    return [at_once] * whole + ([rest] if rest else [])


def _resampled(
    ranks: npt.NDArray[np.int64],
    distinct: int,
    size: int,
    batches: Sequence[int],
    rng: np.random.Generator,
) -> Iterator[Counts]:
    """Counts of resamples of ``size`` images each, a batch at a time: (B, distinct)."""
    for many in batches:
        chosen = ranks[rng.integers(len(ranks), size=(many, size))]
        chosen += distinct * np.arange(many)[:, None]
        yield np.bincount(chosen.ravel(), minlength=many * distinct).reshape(many, distinct)
