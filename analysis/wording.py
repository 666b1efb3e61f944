"""Numbers as people read them: percent, points and times, with their intervals."""

from math import isfinite
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from analysis.statistics.intervals import Estimate


def titled(words: str) -> str:
    """Words as a heading starts: the first letter is a capital, the others stay."""
    return words[:1].upper() + words[1:]


def percent(fraction: float) -> str:
    """A fraction in percent with one decimal."""
    return f"{100 * fraction:.1f}%"


def percent_interval(estimate: "Estimate") -> str:
    """A fraction with its interval: "24.4% [20.8, 28.4]"."""
    return (
        f"{percent(estimate.value)} [{_plain(100 * estimate.low)}, {_plain(100 * estimate.high)}]"
    )


def bounds(estimate: "Estimate") -> str:
    """The interval of a fraction alone, in percent: "20.8 to 28.4"."""
    return f"{100 * estimate.low:.1f} to {100 * estimate.high:.1f}"


def points(estimate: "Estimate") -> str:
    """A difference of fractions with its interval: "+16.8 points [13.0, 20.8]"."""
    return f"{point(estimate.value)} [{_plain(100 * estimate.low)}, {_plain(100 * estimate.high)}]"


def point(difference: float) -> str:
    """A difference of fractions: "+16.8 points"."""
    return f"{'+' if difference > 0 else ''}{_plain(100 * difference)} points"


def area(value: float) -> str:
    """An AUROC, with the paper's three decimals: "0.966"."""
    return f"{value:.3f}"


def area_interval(estimate: "Estimate") -> str:
    """An AUROC with its interval: "0.966 [0.941, 0.983]"."""
    return f"{area(estimate.value)} [{area(estimate.low)}, {area(estimate.high)}]"


def gain(value: float) -> str:
    """A difference of AUROCs: "+0.038", "−0.012"."""
    return _signed(f"{value:+.3f}")


def gain_interval(estimate: "Estimate") -> str:
    """A difference of AUROCs with its interval: "+0.038 [+0.010, +0.066]"."""
    return f"{gain(estimate.value)} [{gain(estimate.low)}, {gain(estimate.high)}]"


def times(value: float) -> str:
    """A ratio: "×9.41"; one decimal from ten on, where a second would be noise."""
    if not isfinite(value):
        return "×∞"
    return f"×{value:.2f}" if value < 10 else f"×{value:.1f}"


def times_interval(estimate: "Estimate") -> str:
    """A ratio with its interval: "×9.4 [8.9, 9.9]"."""
    return f"{times(estimate.value)} [{times(estimate.low)[1:]}, {times(estimate.high)[1:]}]"


def listed(words: list[str], conjunction: str = "and") -> str:
    """Words as a sentence lists them: "a, b and c"."""
    if len(words) < 2:
        return "".join(words)
    return f"{', '.join(words[:-1])} {conjunction} {words[-1]}"


def counted(number: int, word: str) -> str:
    """A number with its word: "1 image", "2 images"."""
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def _signed(number: str) -> str:
    """A true minus sign, and no sign on what is rounded to zero."""
    return "0.000" if number in ("+0.000", "-0.000") else number.replace("-", "−")


def _plain(value: float) -> str:
    # A true minus sign: a hyphen in front of a digit reads as a dash.
    return f"{value:.1f}".replace("-0.0", "0.0").replace("-", "−")
