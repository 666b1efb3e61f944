"""Dissect a set of generations into the four groups G1..G4 (section 4 and Fig. 2 of the paper)."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from analysis.statistics.intervals import Estimate, proportion

GROUPS = ("g1", "g2", "g3", "g4")
"""The groups in the order in which counts are always given."""


@dataclass(frozen=True)
class Composition:
    """How many images of one generated set fell in each group; the four add up to ``n``."""

    g1_count: int
    """Trigger present, content mismatches the condition."""
    g2_count: int
    """Trigger present, content matches the condition."""
    g3_count: int
    """Trigger absent, content mismatches the condition."""
    g4_count: int
    """Trigger absent, content matches the condition."""

    def __post_init__(self) -> None:
        if min(self.counts) < 0 or self.n < 1:
            raise ValueError(f"four counts, none negative, not all zero; got {self.counts}")

    @property
    def counts(self) -> tuple[int, int, int, int]:
        """Images in g1, g2, g3, g4."""
        return self.g1_count, self.g2_count, self.g3_count, self.g4_count

    @property
    def n(self) -> int:
        """Images dissected."""
        return sum(self.counts)

    @property
    def shares(self) -> dict[str, Estimate]:
        """By column: G1..G4, ``trigger_ratio`` (G1 + G2) and ``mismatch_ratio`` (G1 + G3)."""
        g1, g2, g3, _ = self.counts
        counts = dict(zip(GROUPS, self.counts, strict=True))
        counts |= {"trigger_ratio": g1 + g2, "mismatch_ratio": g1 + g3}
        return {name: proportion(count, self.n) for name, count in counts.items()}

    @property
    def trigger_ratio(self) -> Estimate:
        """Fraction that carries the trigger: G1 + G2."""
        return self.shares["trigger_ratio"]

    def row(self) -> dict[str, float | int]:
        """The columns of a results row: counts, and ``X``, ``X_low``, ``X_high`` per fraction."""
        columns: dict[str, float | int] = {
            f"{group}_count": count for group, count in zip(GROUPS, self.counts, strict=True)
        }
        for name, share in self.shares.items():
            columns |= {name: share.value, f"{name}_low": share.low, f"{name}_high": share.high}
        return columns


def compose(has_trigger: npt.NDArray[np.bool_], matches: npt.NDArray[np.bool_]) -> Composition:
    """Count the four groups.

    Args:
        has_trigger: bool, (N,), N at least 1.
        matches: bool, (N,). Content agrees with the condition the image was sampled for.

    Raises:
        ValueError: Arrays that are not boolean, not one-dimensional or not equally long, or no
            images. Integers are refused: ``~`` on them is not a negation.
    """
    for name, values in (("has_trigger", has_trigger), ("matches", matches)):
        if values.dtype != np.bool_ or values.ndim != 1:
            raise ValueError(
                f"{name} must be bool, (N,); got {values.dtype}, {values.shape}. Try .astype(bool)"
            )
    if has_trigger.shape != matches.shape:
        raise ValueError(f"{has_trigger.size} trigger verdicts but {matches.size} content verdicts")
    return Composition(
        g1_count=int(np.count_nonzero(has_trigger & ~matches)),
        g2_count=int(np.count_nonzero(has_trigger & matches)),
        g3_count=int(np.count_nonzero(~has_trigger & ~matches)),
        g4_count=int(np.count_nonzero(~has_trigger & matches)),
    )
