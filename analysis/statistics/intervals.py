"""Intervals for proportions: how far a count can be trusted.

Closed forms, because a report has to give the same digits every time.  All of them treat the images
of one trained model as independent draws, so they are *conditional on that model*: they say nothing
about another training run.  How often each holds the truth: docs/coverage.md (bench.coverage).
Counts that are impossible, and a ``level`` (coverage) outside (0, 1), are a ValueError everywhere.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, inf, log, sqrt
from statistics import NormalDist, fmean, stdev

LEVEL = 0.95
"""Coverage of every interval in a report."""

RARE = 3
"""Up to so many successes, or failures, Wilson's bound on that side is moved outwards."""


@dataclass(frozen=True)
class Estimate:
    """A number with the bounds of its interval."""

    value: float
    """Point estimate."""
    low: float
    """Lower bound, at most ``value``."""
    high: float
    """Upper bound, at least ``value``."""

    def shifted(self, by: float) -> "Estimate":
        """The same estimate moved by a constant, such as minus p_t."""
        return Estimate(self.value + by, self.low + by, self.high + by)

    def within(self, low: float, high: float) -> "Estimate":
        """The same estimate without the part of its interval that is outside of what can be."""
        return Estimate(self.value, max(self.low, low), min(self.high, high))

    def exponential(self) -> "Estimate":
        """Of a logarithm: the number itself."""
        return Estimate(exp(self.value), exp(self.low), exp(self.high))

    def divided(self, by: float) -> "Estimate":
        """The same estimate in units of a positive constant, such as p_t."""
        return Estimate(self.value / by, self.low / by, self.high / by)


def wilson(count: int, n: int, level: float = LEVEL) -> tuple[float, float]:
    """Wilson's score interval of ``count`` of ``n`` (1927, equation 6), mended where it is short.

    For one to three successes the lower bound is Poisson's, as Brown, Cai and DasGupta (2001,
    section 4.1.1) do it, and for as many failures the upper one: without it the interval of a share
    of about 0.2 / n covers 84 %.  Both bounds are in [0, 1], and exactly 0 or 1 when nothing or
    all succeeded.
    """
    _check_count(count, n)
    low, high = score(count / n, n, level)
    return min(low, _rare(count, n, level)), max(high, 1 - _rare(n - count, n, level))


def score(share: float, n: float, level: float = LEVEL) -> tuple[float, float]:
    """Wilson's interval as he has it, of a share, 0..1, of ``n`` images' worth, above 0."""
    z = _normal_quantile(level)
    center = share + z**2 / (2 * n)
    half = z * sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    scale = 1 + z**2 / n
    # The closed form touches the ends only up to rounding; a bound of -1e-18 would look like a bug.
    low = 0.0 if share == 0 else (center - half) / scale
    high = 1.0 if share == 1 else (center + half) / scale
    return low, high


def proportion(count: int, n: int) -> Estimate:
    """``count`` of ``n`` with the interval of `wilson`."""
    return Estimate(count / n, *wilson(count, n))


def scored(count: int, n: int, level: float = LEVEL) -> Estimate:
    """``count`` of ``n`` with its `score`, of which differences are made."""
    _check_count(count, n)
    return Estimate(count / n, *score(count / n, n, level))


def difference(first: Estimate, second: Estimate, correlation: float = 0.0) -> Estimate:
    """First minus second, its bounds recovered from theirs (Zou and Donner 2008, equation 3).

    The distances to the bounds add up as standard errors do, of two numbers with this correlation.
    Of two Wilson intervals it is Newcombe's (1998, method 10).
    """
    value = first.value - second.value
    below = _joined(first.value - first.low, second.high - second.value, correlation)
    above = _joined(first.high - first.value, second.value - second.low, correlation)
    return Estimate(value, value - below, value + above)


def difference_of_proportions(
    first: int, first_n: int, second: int, second_n: int, level: float = LEVEL
) -> Estimate:
    """First proportion minus second, of two independent samples (Newcombe 1998, method 10).

    Joins the two Wilson intervals as he has them, so it agrees with these at counts near 0 and n.
    """
    return difference(scored(first, first_n, level), scored(second, second_n, level))


def difference_of_shares(first: int, second: int, n: int) -> Estimate:
    """First share minus second, of two *exclusive* groups of one sample (Bonett and Price 2012).

    G1 and G2 of one set of images are counts of one multinomial: an image in one is not in the
    other, so the difference is the paired one, as in McNemar's test.
    """
    for count in (first, second, first + second):
        _check_count(count, n)
    z = _normal_quantile(LEVEL)
    a, b = (first + 1) / (n + 2), (second + 1) / (n + 2)
    half = z * sqrt((a + b - (a - b) ** 2) / (n + 2))
    value = (first - second) / n
    return Estimate(value, min(value, max(-1.0, a - b - half)), max(value, min(1.0, a - b + half)))


def log_ratio_of_proportions(first: int, first_n: int, second: int, second_n: int) -> Estimate:
    """Natural logarithm of first proportion over second, of two independent samples (Walter 1975).

    Half a count is added everywhere, so counts of 0 have finite logarithms.
    """
    _check_count(first, first_n)
    _check_count(second, second_n)
    a, b = first + 0.5, second + 0.5
    total_a, total_b = first_n + 0.5, second_n + 0.5
    middle = log(a / total_a) - log(b / total_b)
    # max(): the two variances vanish together only when every image is in both groups.
    half = _normal_quantile(LEVEL) * sqrt(max(0.0, 1 / a - 1 / total_a + 1 / b - 1 / total_b))
    return Estimate(middle, middle - half, middle + half)


def ratio_of_proportions(first: int, first_n: int, second: int, second_n: int) -> Estimate:
    """First proportion over second, of two independent samples, with `log_ratio_of_proportions`.

    The point estimate is the plain ratio, infinite where the second count is 0.
    """
    bounds = log_ratio_of_proportions(first, first_n, second, second_n).exponential()
    nothing = inf if first else 1.0
    value = (first / first_n) / (second / second_n) if second else nothing
    return Estimate(value, min(value, bounds.low), max(value, bounds.high))


def mean(values: Sequence[float], level: float = LEVEL) -> Estimate:
    """Mean of two or more independent numbers with Student's t interval."""
    if len(values) < 2:
        raise ValueError(f"a spread needs at least two values or seeds, got {len(values)}")
    # Imported here: `castlewalls plan` imports this module and must stay instant.
    from scipy.special import stdtrit

    middle = fmean(values)
    half = float(stdtrit(len(values) - 1, (1 + level) / 2)) * stdev(values) / sqrt(len(values))
    return Estimate(middle, middle - half, middle + half)


def mean_over_seeds(estimates: Sequence[Estimate], level: float = LEVEL) -> Estimate:
    """Mean of one estimate a seed with Student's t interval: this one includes training variance.

    It is nowhere narrower than the seeds' own intervals are on average.  What they are conditional
    on (test images above all) is partly the same for every seed, so it does not average out; and
    three seeds that happen to agree would otherwise leave no width at all.
    """
    student = mean([one.value for one in estimates], level)
    middle, half = student.value, student.value - student.low
    below = max(half, fmean(one.value - one.low for one in estimates))
    above = max(half, fmean(one.high - one.value for one in estimates))
    return Estimate(middle, middle - below, middle + above)


def mean_of_independent(estimates: Sequence[Estimate]) -> Estimate:
    """Mean of one or more independent estimates, its bounds recovered as those of `difference`.

    It is conditional on whatever they are conditional on, such as the models of two seeds.
    """
    n, middle = len(estimates), fmean(estimate.value for estimate in estimates)
    below = sqrt(sum((one.value - one.low) ** 2 for one in estimates)) / n
    above = sqrt(sum((one.high - one.value) ** 2 for one in estimates)) / n
    return Estimate(middle, middle - below, middle + above)


def _joined(one: float, other: float, correlation: float) -> float:
    """Standard error of a difference whose parts have these, and this correlation."""
    # max(): equal parts that are perfectly correlated cancel only up to rounding.
    return sqrt(max(0.0, one**2 - 2 * correlation * one * other + other**2))


def _rare(count: int, n: int, level: float) -> float:
    """Largest lower bound of a share that stands for few successes; 1 for more than `RARE`."""
    if not 0 < count <= min(RARE, n / 2):
        return 1.0
    # Imported here: `castlewalls plan` imports this module and must stay instant.
    from scipy.special import gammaincinv

    # Half the chi-squared quantile of twice the successes.
    return float(gammaincinv(count, 1 - level)) / n


def _normal_quantile(level: float) -> float:
    if not 0 < level < 1:
        raise ValueError(f"a coverage lies strictly between 0 and 1, got {level}; try 0.95")
    return NormalDist().inv_cdf((1 + level) / 2)


def _check_count(count: int, n: int) -> None:
    if n < 1:
        raise ValueError(f"a proportion needs at least one image, got n = {n}")
    if not 0 <= count <= n:
        raise ValueError(f"a count lies in 0..{n}, got {count}")
