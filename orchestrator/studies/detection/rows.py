"""What the old code of ``defense`` and ``diffusion_classifier`` needs; it goes with them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from analysis.old.rows import Row, paper_guidance, same
from analysis.page.wording import sampler_name
from analysis.statistics.comparison import SEEDS_FOR_SPREAD, Comparison
from analysis.statistics.intervals import Estimate, mean_of_independent, mean_over_seeds

_SIGNED = ("_change", "_difference", "_gain")
"""How columns end that may be below 0; the others are shares and areas, in [0, 1]."""


@dataclass(frozen=True, order=True)
class Sampling:
    """How a set of generations was drawn."""

    guidance_weight: float
    """In our convention."""
    sampler: str
    """Its name."""

    @property
    def name(self) -> str:
        """As a page calls it."""
        return f"w = {self.guidance_weight:g}, {sampler_name(self.sampler)}"


def sampling_of(row: Row) -> Sampling | None:
    """How this row's images were generated; None for a training set."""
    if row["image_set"] != "generation":
        return None
    return Sampling(float(row["guidance_weight"]), str(row["sampler"]))


def samplings(rows: Iterable[Row]) -> list[Sampling]:
    """Every way of generating, first the reported one: the paper's guidance, and DDIM."""
    rows = list(rows)
    found = {sampling for row in rows if (sampling := sampling_of(row))}
    wanted = paper_guidance(rows)

    def place(one: Sampling) -> tuple[bool, float, bool, str]:
        papers = same(one.guidance_weight, wanted)
        return not papers, -one.guidance_weight, one.sampler != "ddim", one.sampler

    return sorted(found, key=place)


def level_of(rows: Sequence[Row], name: str) -> Comparison | None:
    """One bounded number at one point, over the seeds at which it is defined.

    One seed has its own interval, and of two they are joined: conditional on the trained
    models.  From three on it is Student's over the seeds, and no narrower than their own.

    Args:
        rows: The point's rows, one a seed.
        name: Column that has bounds, such as ``auroc``.

    Returns:
        None where no seed has it.
    """
    defined = [row for row in rows if row.get(name) is not None]
    if not defined:
        return None
    bounded = [estimate_of(row, name) for row in defined]
    seeds = f"{len(defined)}" if len(defined) == len(rows) else f"{len(defined)} of {len(rows)}"
    basis = f"{seeds} seed{'s' if len(rows) > 1 else ''}"
    if len(bounded) >= SEEDS_FOR_SPREAD:
        lowest = -1 if name.endswith(_SIGNED) else 0
        return Comparison(mean_over_seeds(bounded).within(lowest, 1), basis)
    return Comparison(mean_of_independent(bounded), basis)


def estimate_of(row: Row, name: str) -> Estimate:
    """A number of one row with its bounds."""
    return Estimate(float(row[name]), float(row[f"{name}_low"]), float(row[f"{name}_high"]))


def mean_of(rows: Iterable[Row], name: str) -> float | None:
    """Mean of a column over the rows that have it; None where none has."""
    values = [float(row[name]) for row in rows if row.get(name) is not None]
    return sum(values) / len(values) if values else None
