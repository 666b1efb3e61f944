"""Intervals for proportions: how far a count can be trusted.

Closed forms with good coverage at small counts, because a report has to give the same digits every
time.  All of them treat the images of one trained model as independent draws, so they are
*conditional on that model*: they say nothing about what another training run would have given.
How often each holds the truth is simulated by ``python -m bench.coverage`` (docs/coverage.md).
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
    """Wilson's score interval of a proportion (Wilson 1927, equation 6), mended where it is short.

    For one to three successes the lower bound is Poisson's, as Brown, Cai and DasGupta (2001,
    section 4.1.1) do it, and for as many failures the upper one: without it the interval of a share
    of about 0.2 / n covers 84 %.

    Args:
        count: Successes, 0..n.
        n: Trials, at least 1.
        level: Coverage, strictly between 0 and 1.

    Returns:
        Lower and upper bound, both in [0, 1]; exactly 0 when nothing, exactly 1 when all succeeded.

    Raises:
        ValueError: ``n`` below 1, ``count`` outside 0..n or ``level`` outside (0, 1).
    """
    _check_count(count, n)
    low, high = score(count / n, n, level)
    return min(low, _rare(count, n, level)), max(high, 1 - _rare(n - count, n, level))


def score(share: float, n: float, level: float = LEVEL) -> tuple[float, float]:
    """Wilson's interval as he has it, of a share of ``n`` images' worth, which need not be whole.

    Args:
        share: 0..1.
        n: Above 0.
        level: Coverage, strictly between 0 and 1.

    Returns:
        Lower and upper bound, both in [0, 1]; exactly 0 of 0 and exactly 1 of 1.

    Raises:
        ValueError: ``level`` outside (0, 1).
    """
    z = _normal_quantile(level)
    center = share + z**2 / (2 * n)
    half = z * sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    scale = 1 + z**2 / n
    # The closed form touches the ends only up to rounding; a bound of -1e-18 would look like a bug.
    low = 0.0 if share == 0 else (center - half) / scale
    high = 1.0 if share == 1 else (center + half) / scale
    return low, high


def proportion(count: int, n: int, level: float = LEVEL) -> Estimate:
    """``count`` of ``n`` with its Wilson interval; raises as `wilson` does."""
    low, high = wilson(count, n, level)
    return Estimate(count / n, low, high)


def scored(count: int, n: int, level: float = LEVEL) -> Estimate:
    """``count`` of ``n`` with its `score`, of which differences are made; raises as `wilson`."""
    _check_count(count, n)
    return Estimate(count / n, *score(count / n, n, level))


def difference(first: Estimate, second: Estimate, correlation: float = 0.0) -> Estimate:
    """First minus second, its bounds recovered from theirs (Zou and Donner 2008, equation 3).

    The distances to the bounds add up as standard errors do.  Of two Wilson intervals it is
    Newcombe's (1998, method 10).

    Args:
        first: An estimate.
        second: Another.
        correlation: Of the two, -1..1; 0 for independent ones.
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

    Raises:
        ValueError: As `wilson`, for either sample.
    """
    return difference(scored(first, first_n, level), scored(second, second_n, level))


def difference_of_shares(first: int, second: int, n: int, level: float = LEVEL) -> Estimate:
    """First share minus second, of two *exclusive* groups of one sample (Bonett and Price 2012).

    G1 and G2 of one set of images are counts of one multinomial: an image in one is not in the
    other, so the difference is the paired one, as in McNemar's test.

    Args:
        first: Images in the first group.
        second: Images in the second group; ``first + second`` is at most ``n``.
        n: All images.
        level: Coverage.

    Raises:
        ValueError: Counts that are negative or together exceed ``n``.
    """
    _check_count(first, n)
    _check_count(second, n)
    _check_count(first + second, n)
    z = _normal_quantile(level)
    a, b = (first + 1) / (n + 2), (second + 1) / (n + 2)
    half = z * sqrt((a + b - (a - b) ** 2) / (n + 2))
    value = (first - second) / n
    return Estimate(value, min(value, max(-1.0, a - b - half)), max(value, min(1.0, a - b + half)))


def log_ratio_of_proportions(
    first: int, first_n: int, second: int, second_n: int, level: float = LEVEL
) -> Estimate:
    """Natural logarithm of first proportion over second, of two independent samples (Walter 1975).

    Half a count is added everywhere, so counts of 0 have finite logarithms.

    Raises:
        ValueError: As `wilson`, for either sample.
    """
    _check_count(first, first_n)
    _check_count(second, second_n)
    a, b = first + 0.5, second + 0.5
    total_a, total_b = first_n + 0.5, second_n + 0.5
    middle = log(a / total_a) - log(b / total_b)
    # max(): the two variances vanish together only when every image is in both groups.
    half = _normal_quantile(level) * sqrt(max(0.0, 1 / a - 1 / total_a + 1 / b - 1 / total_b))
    return Estimate(middle, middle - half, middle + half)


def ratio_of_proportions(
    first: int, first_n: int, second: int, second_n: int, level: float = LEVEL
) -> Estimate:
    """First proportion over second, of two independent samples, with `log_ratio_of_proportions`.

    The point estimate is the plain ratio, infinite where the second count is 0.

    Raises:
        ValueError: As `wilson`, for either sample.
    """
    bounds = log_ratio_of_proportions(first, first_n, second, second_n, level).exponential()
    if second:
        value = (first / first_n) / (second / second_n)
    else:
        value = inf if first else 1.0
    return Estimate(value, min(value, bounds.low), max(value, bounds.high))


def mean(values: Sequence[float], level: float = LEVEL) -> Estimate:
    """Mean of independent numbers with Student's t interval.

    Raises:
        ValueError: Fewer than two values, which have no spread.
    """
    if len(values) < 2:
        raise ValueError(f"a spread needs at least two values, got {len(values)}")
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

    Raises:
        ValueError: Fewer than two estimates, which have no spread.
    """
    if len(estimates) < 2:
        raise ValueError(f"a spread over seeds needs at least two seeds, got {len(estimates)}")
    student = mean([one.value for one in estimates], level)
    middle, half = student.value, student.value - student.low
    below = max(half, fmean(one.value - one.low for one in estimates))
    above = max(half, fmean(one.high - one.value for one in estimates))
    return Estimate(middle, middle - below, middle + above)


def mean_of_independent(estimates: Sequence[Estimate]) -> Estimate:
    """Mean of independent estimates, its bounds recovered from theirs (Zou and Donner 2008).

    The distances to the bounds add up as standard errors do.  So it is conditional on whatever the
    estimates are conditional on, such as the models of two seeds.

    Args:
        estimates: At least one.

    Raises:
        ValueError: None at all.
    """
    if not estimates:
        raise ValueError("a mean needs at least one estimate, got none")
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
