"""Do detectors suspect the same images?  Rank correlations, and who is near the top of several."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from analysis.page.suspects import Ranking

TOP_SHARE, LEAST_TOP = 0.01, 10
"""What is near the top: so much of all images, but not fewer than so many."""


@dataclass(frozen=True)
class Pair:
    """Two detectors side by side."""

    one: str
    """A detector."""
    other: str
    """Another."""
    correlation: float | None
    """Spearman's, -1..1; None if one of them finds all images equally suspicious."""
    shared: int
    """Images near the top of both."""
    expected: float
    """How many that would be, on average, if the two orders had nothing to do with each other."""


@dataclass(frozen=True)
class Suspect:
    """An image near the top of several detectors."""

    file: str
    """Its name."""
    label: int
    """Its class."""
    ranks: tuple[int, ...]
    """By detector, 1..N."""


def top(n: int) -> int:
    """How many of n images are near the top: TOP_SHARE, rounded up, at least LEAST_TOP."""
    return min(n, max(LEAST_TOP, math.ceil(TOP_SHARE * n)))


def pairs(rankings: Sequence[Ranking]) -> Iterator[Pair]:
    """Yield every two detectors."""
    for one, other in combinations(rankings, 2):
        n = len(one.files)
        k = top(n)
        shared = len(set(one.files[:k]) & set(other.files[:k]))
        yield Pair(one.detector, other.detector, spearman(one, other), shared, k * k / n)


def spearman(one: Ranking, other: Ranking) -> float | None:
    """Spearman's rank correlation of two detectors' suspicions, equal ones sharing their rank.

    Returns:
        -1..1, or None where it is not defined: one of them finds all images equally suspicious.

    Raises:
        ValueError: They ranked different images.
    """
    from scipy.stats import spearmanr

    if one.ranks.keys() != other.ranks.keys():
        raise ValueError("expected two rankings of the same images, got other files")
    place = other.ranks
    aligned = other.suspicion[np.array([place[file] - 1 for file in one.files])]
    if min(len(np.unique(one.suspicion)), len(np.unique(aligned))) < 2:
        return None
    return float(spearmanr(one.suspicion, aligned).statistic)


def suspects(rankings: Sequence[Ranking]) -> list[Suspect]:
    """Images near the top of two detectors or more: of most detectors first, then by rank sum."""
    k = top(len(rankings[0].files))
    labels = dict(zip(rankings[0].files, rankings[0].labels.tolist(), strict=True))
    near = {file for ranking in rankings for file in ranking.files[:k]}
    found = [
        Suspect(file, labels[file], tuple(ranking.ranks[file] for ranking in rankings))
        for file in near
    ]
    several = [suspect for suspect in found if _times(suspect, k) > 1]
    return sorted(several, key=lambda one: (-_times(one, k), sum(one.ranks), one.file))


def _times(suspect: Suspect, k: int) -> int:
    return sum(rank <= k for rank in suspect.ranks)
