"""What detectors make of somebody's own folder: orders of its images, compared and as a file.

There is no ground truth here: nobody said which images are poisoned.
"""

import csv
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import numpy.typing as npt

from analysis.page.images import Images
from analysis.rows import Row

COLUMNS = ("detector", "file", "label", "suspicion", "rank")
"""Of ``suspicion.csv``."""
TOP_SHARE, LEAST_TOP = 0.01, 10
"""Near the top are this share of all images, but not fewer than so many."""


@dataclass(frozen=True, kw_only=True)
class Ranking:
    """What one detector makes of a folder; images come by rank, the most suspicious first."""

    detector: str
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


def to_csv(rankings: Sequence[Ranking], class_names: Sequence[str]) -> str:
    """Every image once for each detector, by rank, as CSV text with unix line ends.

    Words are in quotes, for names of files and classes may hold anything; numbers are exact.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(COLUMNS)
    for one in rankings:
        images = zip(one.files, one.labels, one.suspicion.tolist(), strict=True)
        for rank, (file, label, suspicion) in enumerate(images, start=1):
            writer.writerow([one.detector, file, class_names[label], suspicion, rank])
    return text.getvalue()


def readable(name: str) -> str:
    """A file's name as people can read it: escaped if it holds what does not print."""
    return name if name.isprintable() else repr(name)[1:-1]


def top(n: int) -> int:
    """How many of n images are near the top: TOP_SHARE, rounded up, at least LEAST_TOP."""
    return min(n, max(LEAST_TOP, math.ceil(TOP_SHARE * n)))


def pairs(rankings: Sequence[Ranking]) -> list[tuple[str, str, float, int, float]]:
    """Every two detectors: both names, and how alike their orders are.

    That is Spearman's correlation, -1..1, equal suspicions sharing their rank (NaN if one detector
    finds all images equally suspicious); how many images are near the top of both; and how many
    would be, on average, if the two orders had nothing to do with each other.
    """
    import pandas as pd

    orders = {one.detector: pd.Series(one.suspicion, one.files) for one in rankings}
    correlations = pd.DataFrame(orders).corr("spearman")
    n = len(rankings[0].files)
    k = top(n)
    return [
        (
            one.detector,
            other.detector,
            float(correlations.loc[one.detector, other.detector]),
            len({*one.files[:k]} & {*other.files[:k]}),
            k * k / n,
        )
        for one, other in combinations(rankings, 2)
    ]


def suspects(rankings: Sequence[Ranking]) -> list[tuple[str, tuple[int, ...]]]:
    """Images near the top of two detectors or more, with their ranks by detector, 1..N.

    Those near the top of most detectors come first, then those with the least sum of ranks.
    """
    k = top(len(rankings[0].files))
    places = [{file: rank for rank, file in enumerate(one.files, 1)} for one in rankings]
    found = {file: tuple(place[file] for place in places) for file in places[0]}
    near = {file: sum(rank <= k for rank in ranks) for file, ranks in found.items()}
    several = [file for file in found if near[file] > 1]
    several.sort(key=lambda file: (-near[file], sum(found[file]), file))
    return [(file, found[file]) for file in several]
