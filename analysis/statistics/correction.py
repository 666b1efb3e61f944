"""G1..G4 corrected for the errors of the two judges.

A judge that misreads 7 % of the stamped images moves 7 % of G2 into G1, which is as large as the
effects the study looks for.  The judges' errors are known from the test split, so they can be
undone.  With T "carries the trigger" and C "shows the target class",

    P(seen group) = sum over true groups of P(judge says D | T) P(judge says M | C, T) P(true group)

is a 4x4 linear system; it is solved by least squares on the simplex.  Two assumptions: given the
true group the two judges err independently, and they err on generations as often as on real test
images (for mismatches: averaged over the other classes as the test split has them).
"""

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from analysis.statistics.composition import GROUPS
from analysis.statistics.intervals import LEVEL, Estimate, score

DRAWS = 1000
"""Simulated repetitions behind each interval."""

Floats: TypeAlias = npt.NDArray[np.float64]
Errors: TypeAlias = tuple[int, int]
"""How many test images a judge got wrong, and how many it was shown."""


def content_errors(
    clean: Sequence[Sequence[int]] | npt.NDArray[np.int64],
    stamped: Sequence[Sequence[int]] | npt.NDArray[np.int64],
    target: int,
) -> list[Errors]:
    """What the content judge gets wrong, reduced to target against rest.

    Args:
        clean: int, (K, K): rows are true classes, columns what the judge said, entries counts.
        stamped: The same, of the same images with the trigger on them.
        target: Index of the target class, 0..K-1.

    Returns:
        Clean misses, clean false matches, stamped misses, stamped false matches.

    Raises:
        ValueError: A matrix that is not square, or a target outside it.
    """
    found = []
    for matrix in map(np.asarray, (clean, stamped)):
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not 0 <= target < len(matrix):
            raise ValueError(
                f"a confusion matrix is square, (K, K), and the target in 0..K-1; "
                f"got {matrix.shape} and {target}"
            )
        hits, targets = int(matrix[target, target]), int(matrix[target].sum())
        found.append((targets - hits, targets))
        found.append((int(matrix[:, target].sum()) - hits, int(matrix.sum()) - targets))
    return found


def correct(
    counts: Sequence[int], errors: Sequence[Errors], rng: np.random.Generator
) -> dict[str, Estimate]:
    """Undo the judges' errors, with intervals that know how well those errors are known.

    The intervals are a parametric bootstrap over both the image counts and the judges' own test
    counts, every fraction and every error rate redrawn from its Jeffreys distribution (Beta or
    Dirichlet with half a count added): redrawing counts at the observed rate would call a judge
    that made no error on 36 test images perfect.  A draw's system is solved as it stands: kept on
    the simplex like the value, draws beside an edge would move the other groups (a share of 30 %
    was then held in 89 %).  The intervals are conditional on the trained model, and none is
    narrower than Wilson's of the corrected share would be with perfect judges: a share that
    comes out at 0 reaches up to what that many images can't tell from 0.

    Args:
        counts: Images judged g1, g2, g3, g4; four, none negative, not all zero.
        errors: Six: of `content_errors`, then the trigger judge's false positives among clean and
            false negatives among stamped test images.
        rng: Draws the bootstrap.

    Returns:
        By ``g1``..``g4`` and ``trigger_ratio`` (G1 + G2) the fraction that perfect judges would
        see; the four add up to 1.

    Raises:
        ValueError: Counts of another shape, or errors of no test image or more than there are.
    """
    seen = np.asarray(counts, dtype=np.float64)
    if seen.shape != (4,) or (seen < 0).any() or seen.sum() == 0:
        raise ValueError(f"four counts, none negative, not all zero; got {list(counts)}")
    wrong, n = np.array(errors, dtype=np.float64).T
    if (n < 1).any() or (wrong < 0).any() or (wrong > n).any():
        raise ValueError(
            f"judge errors: expected 0..n of at least one test image of each kind, got {errors}"
        )
    value = solve(seen / seen.sum(), confusion(wrong / n))
    shares = rng.dirichlet(seen + 0.5, DRAWS)
    rates = rng.beta(wrong + 0.5, n - wrong + 0.5, (DRAWS, len(n)))
    draws = np.linalg.solve(confusion(rates), shares[:, :, None])[:, :, 0].astype(np.float64)
    found = {group: (value[place], draws[:, place]) for place, group in enumerate(GROUPS)}
    found["trigger_ratio"] = value[0] + value[1], draws[:, 0] + draws[:, 1]
    return {name: _estimate(*both, float(seen.sum())) for name, both in found.items()}


def confusion(rates: Floats) -> Floats:
    """The probability of each seen group given each true group.

    Args:
        rates: float64, (..., 6), 0..1, in the order of the errors that `correct` takes.

    Returns:
        float64, (..., 4, 4): row seen, column true, both in the order g1..g4; columns add up to 1.
    """
    clean_miss, clean_false, stamped_miss, stamped_false, false_positive, false_negative = (
        np.moveaxis(rates, -1, 0)
    )
    detected = np.stack([1 - false_negative, 1 - false_negative, false_positive, false_positive])
    matched = np.stack([stamped_false, 1 - stamped_miss, clean_false, 1 - clean_miss])
    seen = [by * fit for by in (detected, 1 - detected) for fit in (1 - matched, matched)]
    return np.ascontiguousarray(np.moveaxis(np.stack(seen), (0, 1), (-2, -1)))


def solve(seen: Floats, matrix: Floats) -> Floats:
    """The true fractions whose expected observation is nearest to what was seen.

    Args:
        seen: float64, (4,), fractions that add up to 1.
        matrix: float64, (4, 4), as `confusion` gives.

    Returns:
        float64, (4,), none negative, adding up to 1.
    """
    # Imported here: `castlewalls plan` imports this module and must stay instant.
    from scipy.optimize import nnls

    # Non-negative least squares knows no equality; a heavy fifth equation says "adds up to 1".
    weight = 1e3
    solution, _ = nnls(np.vstack([matrix, np.full((1, 4), weight)]), np.append(seen, weight))
    fractions: Floats = solution / solution.sum()
    return fractions


def _estimate(value: float, draws: Floats, n: float) -> Estimate:
    # The four add up to 1 only up to rounding.
    share = min(1.0, float(value))
    bounds = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]).clip(0, 1).tolist()
    low, high = score(share, n)
    return Estimate(share, min(low, bounds[0]), max(high, bounds[1]))
