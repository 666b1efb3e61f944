"""The page of the most suspicious images of somebody's own folder, and the file of all of them.

There is no ground truth here: nobody said which images are poisoned.  The page shows an order and
the pictures at its top, and says what it cannot say.
"""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from analysis.page.images import Images
from analysis.page.page import MissingPoint, Stage
from analysis.rows import Row

COLUMNS = ("detector", "file", "label", "suspicion", "rank")
"""Of ``suspicion.csv``."""
TOP_SHARE, LEAST_TOP = 0.01, 10
"""Near the top are this share of all images, but not fewer than so many."""


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """What one detector makes of a folder; images come by rank, the most suspicious first."""

    detector: str
    """Its name."""
    row: Row
    """Its ``metrics.json``: ``training_accuracy``, ``largest_class_share``, quantiles, ..."""
    files: Sequence[str]
    """N names, each once."""
    labels: npt.NDArray[np.int64]
    """(N,). Positions among the class names."""
    suspicion: npt.NDArray[np.float64]
    """(N,). Descending."""
    pictures: Mapping[str, Images] = field(default_factory=dict)
    """``most_suspicious``, the first of all, and ``class_<label>``, the first of a class: uint8,
    (k, H, W, 1 or 3); of a detector with masks also ``<name>_masks``, (k, H, W, 1)."""

    @property
    def tied(self) -> int:
        """How many images share the highest suspicion."""
        return int((self.suspicion == self.suspicion[0]).sum())


@dataclass(frozen=True, kw_only=True)
class SuspectsReport:
    """Everything that the page shows."""

    folder: str
    """The folder's name as a heading."""
    scale: str
    """Name of the scale."""
    class_names: Sequence[str]
    """By label."""
    rankings: Sequence[Ranking]
    """At least one, all of the same images."""
    remarks: Sequence[str] = ()
    """Such as files that were left out."""
    failures: Sequence[MissingPoint] = ()
    """Detectors without a ranking."""
    stages: Sequence[Stage] = ()
    """Every step, in the order of the plan."""
    settings: Mapping[str, object] = field(default_factory=dict)
    """Of the classifier and of the detectors, in the order to be shown."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Versions and machine, in the order to be shown."""
    command: str = ""
    """What to type for the same page."""


def to_csv(report: SuspectsReport) -> str:
    """Every image once for each detector, by rank, as CSV text with unix line ends.

    Words are in quotes, for names of files and classes may hold anything; numbers are exact.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(COLUMNS)
    for ranking in report.rankings:
        images = zip(ranking.files, ranking.labels, ranking.suspicion.tolist(), strict=True)
        for rank, (file, label, suspicion) in enumerate(images, start=1):
            writer.writerow([ranking.detector, file, report.class_names[label], suspicion, rank])
    return text.getvalue()


def readable(name: str) -> str:
    """A file's name as people can read it: escaped if it holds what does not print."""
    return name if name.isprintable() else repr(name)[1:-1]


class Pair(NamedTuple):
    """Two detectors side by side."""

    one: str
    other: str
    correlation: float
    """Spearman's, -1..1; NaN if one of them finds all images equally suspicious."""
    shared: int
    """Images near the top of both."""
    expected: float
    """How many that would be, on average, if the two orders had nothing to do with each other."""


def top(n: int) -> int:
    """How many of n images are near the top: TOP_SHARE, rounded up, at least LEAST_TOP."""
    return min(n, max(LEAST_TOP, math.ceil(TOP_SHARE * n)))


def pairs(rankings: Sequence[Ranking]) -> list[Pair]:
    """Every two detectors; equal suspicions share their rank in the correlation."""
    import pandas as pd

    orders = {one.detector: pd.Series(one.suspicion, one.files) for one in rankings}
    correlations = pd.DataFrame(orders).corr("spearman")
    found = []
    for one, other in combinations(rankings, 2):
        n, k = len(one.files), top(len(one.files))
        shared = len({*one.files[:k]} & {*other.files[:k]})
        correlation = float(correlations.loc[one.detector, other.detector])
        found.append(Pair(one.detector, other.detector, correlation, shared, k * k / n))
    return found


def suspects(rankings: Sequence[Ranking]) -> list[tuple[str, tuple[int, ...]]]:
    """Images near the top of two detectors or more, with their ranks by detector, 1..N.

    Those near the top of most detectors come first, then those with the least sum of ranks.
    """
    k = top(len(rankings[0].files))
    places = [{file: rank for rank, file in enumerate(one.files, 1)} for one in rankings]
    near = {file for one in rankings for file in one.files[:k]}
    found = [(file, tuple(place[file] for place in places)) for file in near]

    def times(ranks: tuple[int, ...]) -> int:
        return sum(rank <= k for rank in ranks)

    several = [one for one in found if times(one[1]) > 1]
    return sorted(several, key=lambda one: (-times(one[1]), sum(one[1]), one[0]))
