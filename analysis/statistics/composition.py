"""Dissect a set of generations into the four groups G1..G4 (section 4 and Fig. 2 of the paper)."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from analysis.statistics.intervals import Estimate, proportion

GROUPS = ("g1", "g2", "g3", "g4")
"""Trigger and mismatch, trigger and match, neither, match alone: the order of all counts."""


def compose(has_trigger: npt.NDArray[np.bool_], matches: npt.NDArray[np.bool_]) -> dict[str, int]:
    """Count the images of the four groups.

    Args:
        has_trigger: bool, (N,).
        matches: bool, (N,). Content agrees with the condition the image was sampled for.

    Raises:
        ValueError: Arrays that are not boolean, not one-dimensional or not equally long.
    """
    for name, values in (("has_trigger", has_trigger), ("matches", matches)):
        if values.dtype != np.bool_ or values.ndim != 1:  # ~ on integers is no negation
            raise ValueError(
                f"{name} must be bool, (N,); got {values.dtype}, {values.shape}. Try .astype(bool)"
            )
    if has_trigger.shape != matches.shape:
        raise ValueError(f"{has_trigger.size} trigger verdicts but {matches.size} content verdicts")
    kinds = [(has, fits) for has in (has_trigger, ~has_trigger) for fits in (~matches, matches)]
    return {
        group: int((has & fits).sum()) for group, (has, fits) in zip(GROUPS, kinds, strict=True)
    }


def shares(counts: Sequence[int]) -> dict[str, Estimate]:
    """By column: G1..G4, ``trigger_ratio`` (G1 + G2) and ``mismatch_ratio`` (G1 + G3).

    Raises:
        ValueError: The counts are negative or all zero.
    """
    g1, g2, g3, _ = counts
    found = dict(zip(GROUPS, counts, strict=True), trigger_ratio=g1 + g2, mismatch_ratio=g1 + g3)
    return {name: proportion(count, sum(counts)) for name, count in found.items()}
