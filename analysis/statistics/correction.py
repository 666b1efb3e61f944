"""G1..G4 corrected for the errors of the two judges.

A judge that misreads 7 % of the stamped images moves 7 % of G2 into G1, which is as large as the
effects the study looks for.  The judges' errors are known from the test split, so they can be
undone.  With T "carries the trigger" and C "shows the target class",

    P(seen group) = sum over true groups of P(judge says D | T) P(judge says M | C, T) P(true group)

is a 4x4 linear system; it is solved by least squares on the simplex.  Two assumptions, both stated
on the page: given the true group the two judges err independently, and they err on generations as
often as on real test images (for mismatches: averaged over the other classes as the test split has
them).
"""

from collections.abc import Sequence
from dataclasses import astuple, dataclass

import numpy as np
import numpy.typing as npt

from analysis.statistics.composition import GROUPS
from analysis.statistics.intervals import LEVEL, Estimate, score

DRAWS = 1000
"""Simulated repetitions behind each interval."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class ContentErrors:
    """What the content judge gets wrong on test images, reduced to target against rest."""

    clean_misses: int
    """Clean target images that were judged to be another class."""
    clean_targets: int
    """Clean target images judged, at least 1."""
    clean_false_matches: int
    """Clean images of other classes that were judged to be the target."""
    clean_others: int
    """Clean images of other classes judged, at least 1."""
    stamped_misses: int
    """As ``clean_misses``, for images that carry the trigger."""
    stamped_targets: int
    """As ``clean_targets``, for images that carry the trigger."""
    stamped_false_matches: int
    """As ``clean_false_matches``, for images that carry the trigger."""
    stamped_others: int
    """As ``clean_others``, for images that carry the trigger."""

    def __post_init__(self) -> None:
        kinds = ("clean target", "clean non-target", "stamped target", "stamped non-target")
        for kind, (errors, n) in zip(kinds, self.counts, strict=True):
            _check_errors(errors, n, kind)

    @property
    def counts(self) -> list[tuple[int, int]]:
        """Errors and trials, four of each."""
        every = [int(count) for count in astuple(self)]
        return list(zip(every[::2], every[1::2], strict=True))

    @classmethod
    def from_confusions(
        cls,
        clean: Sequence[Sequence[int]] | npt.NDArray[np.int64],
        stamped: Sequence[Sequence[int]] | npt.NDArray[np.int64],
        target: int,
    ) -> "ContentErrors":
        """Reduce two confusion matrices.

        Args:
            clean: int, (K, K): rows are true classes, columns what the judge said, entries counts.
            stamped: The same, of the same images with the trigger on them.
            target: Index of the target class, 0..K-1.

        Raises:
            ValueError: A matrix that is not square, a target outside it, or a split that lacks the
                target or has nothing else.
        """
        reduced = [_target_against_rest(matrix, target) for matrix in (clean, stamped)]
        return cls(*reduced[0], *reduced[1])


@dataclass(frozen=True)
class TriggerErrors:
    """What the trigger judge gets wrong on test images."""

    false_positives: int
    """Clean images that were judged to carry the trigger."""
    n_clean: int
    """Clean images judged, at least 1."""
    false_negatives: int
    """Stamped images that were judged clean."""
    n_stamped: int
    """Stamped images judged, at least 1."""

    def __post_init__(self) -> None:
        _check_errors(self.false_positives, self.n_clean, "clean")
        _check_errors(self.false_negatives, self.n_stamped, "stamped")


@dataclass(frozen=True)
class Corrected:
    """Fractions of the four groups as perfect judges would see them; they add up to 1."""

    g1: Estimate
    """Trigger present, content mismatches the condition."""
    g2: Estimate
    """Trigger present, content matches the condition."""
    g3: Estimate
    """Trigger absent, content mismatches the condition."""
    g4: Estimate
    """Trigger absent, content matches the condition."""
    trigger_ratio: Estimate
    """G1 + G2."""

    def row(self) -> dict[str, float]:
        """The columns of a results row: ``X_corrected``, ``X_corrected_low``, ``..._high``."""
        columns = {}
        for name in (*GROUPS, "trigger_ratio"):
            estimate: Estimate = getattr(self, name)
            columns[f"{name}_corrected"] = estimate.value
            columns[f"{name}_corrected_low"] = estimate.low
            columns[f"{name}_corrected_high"] = estimate.high
        return columns


def correct(
    counts: Sequence[int],
    content_errors: ContentErrors,
    trigger_errors: TriggerErrors,
    rng: np.random.Generator,
) -> Corrected:
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
        content_errors: The content judge's errors on the test split.
        trigger_errors: The trigger judge's errors on the test split.
        rng: Draws the bootstrap.

    Raises:
        ValueError: Counts of another shape.
    """
    seen = np.asarray(counts, dtype=np.float64)
    if seen.shape != (4,) or (seen < 0).any() or seen.sum() == 0:
        raise ValueError(f"four counts, none negative, not all zero; got {list(counts)}")
    errors = _error_counts(content_errors, trigger_errors)
    value = solve(seen / seen.sum(), confusion(errors[:, 0] / errors[:, 1]))

    shares = rng.dirichlet(seen + 0.5, DRAWS)
    rates = rng.beta(errors[:, 0] + 0.5, errors[:, 1] - errors[:, 0] + 0.5, (DRAWS, len(errors)))
    draws = np.linalg.solve(confusion(rates), shares[:, :, None])[:, :, 0].astype(np.float64)
    n = float(seen.sum())
    g1, g2, g3, g4 = (_estimate(value[group], draws[:, group], n) for group in range(4))
    return Corrected(g1, g2, g3, g4, _estimate(value[0] + value[1], draws[:, 0] + draws[:, 1], n))


def confusion(rates: Floats) -> Floats:
    """The probability of each seen group given each true group.

    Args:
        rates: float64, (..., 6), 0..1: clean misses, clean false matches, stamped misses, stamped
            false matches, trigger false positives, trigger false negatives.

    Returns:
        float64, (..., 4, 4): row seen, column true, both in the order g1..g4; columns add up to 1.
    """
    clean_miss, clean_false, stamped_miss, stamped_false, false_positive, false_negative = (
        np.moveaxis(rates, -1, 0)
    )
    says_trigger = {True: 1 - false_negative, False: false_positive}
    says_match = {
        (True, True): 1 - stamped_miss,
        (True, False): stamped_false,
        (False, True): 1 - clean_miss,
        (False, False): clean_false,
    }
    groups = ((True, False), (True, True), (False, False), (False, True))
    matrix = np.empty((*rates.shape[:-1], 4, 4))
    for column, (trigger, match) in enumerate(groups):
        for row, (seen_trigger, seen_match) in enumerate(groups):
            detected = says_trigger[trigger]
            matched = says_match[trigger, match]
            matrix[..., row, column] = (detected if seen_trigger else 1 - detected) * (
                matched if seen_match else 1 - matched
            )
    return matrix


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


def _target_against_rest(
    confusions: Sequence[Sequence[int]] | npt.NDArray[np.int64], target: int
) -> tuple[int, int, int, int]:
    matrix = np.asarray(confusions)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1] or not 0 <= target < len(matrix):
        raise ValueError(
            f"a confusion matrix is square, (K, K), and the target in 0..K-1; "
            f"got {matrix.shape} and {target}"
        )
    targets = int(matrix[target].sum())
    found = int(matrix[target, target])
    others = int(matrix.sum()) - targets
    return targets - found, targets, int(matrix[:, target].sum()) - found, others


def _error_counts(content: ContentErrors, trigger: TriggerErrors) -> Floats:
    """Errors and trials, float64, (6, 2), in the order `confusion` takes rates."""
    of_trigger = [
        (trigger.false_positives, trigger.n_clean),
        (trigger.false_negatives, trigger.n_stamped),
    ]
    return np.array([*content.counts, *of_trigger], dtype=np.float64)


def _estimate(value: float, draws: Floats, n: float) -> Estimate:
    # The four add up to 1 only up to rounding.
    share = min(1.0, float(value))
    bounds = np.quantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2]).clip(0, 1).tolist()
    low, high = score(share, n)
    return Estimate(share, min(low, bounds[0]), max(high, bounds[1]))


def _check_errors(errors: int, n: int, images: str) -> None:
    if n < 1 or not 0 <= errors <= n:
        raise ValueError(
            f"judge errors on {images} test images: expected 0..n of at least one image, "
            f"got {errors} of {n}"
        )
