"""What `bench.coverage` counts: data whose truth is known, and an interval of them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from analysis.statistics.intervals import Estimate

Draw = np.random.Generator


@dataclass(frozen=True)
class Case:
    """Data of one kind, and an interval of them."""

    what: str
    """As a page calls it."""
    functions: tuple[Callable[..., Any], ...]
    """That the interval goes through."""
    setting: str
    """What was drawn."""
    holds: Callable[[Draw], bool]
    """Draws once; whether the interval held the truth."""


def held(found: Estimate | None, truth: float) -> bool:
    """Whether an interval holds the truth, rounding aside."""
    return found is not None and found.low - 1e-12 <= truth <= found.high + 1e-12
