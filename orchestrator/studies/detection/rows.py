"""Rows of ``detection`` picked apart: a trigger and a detector, on training sets and generations.

A row is one detector on one set of images; ``auroc_gain`` and everything that compares the two sets
stands on the row of the generations.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from analysis.old.rows import Row, paper_guidance, same, sort_rows
from analysis.old.verdicts import Verdict
from analysis.page.wording import DETECTOR_NAMES, ratio_name, sampler_name
from analysis.statistics.comparison import SEEDS_FOR_SPREAD, Comparison
from analysis.statistics.intervals import Estimate, mean_of_independent, mean_over_seeds

SATURATED = 0.995
"""An AUROC of the training set from which on there is nothing left to improve; ours."""
FEW = 10
"""Fewer positives than this are flagged: their AUROC rests on a handful of images; ours."""
CHANCE = 0.5
"""AUROC of a detector that sees nothing."""
_SIGNED = ("_change", "_difference", "_gain")
"""How columns end that may be below 0; the others are shares and areas, in [0, 1]."""
SETS = ("training", "generation")
"""The sets of images, in the order of every table."""

MATTERS = 0.01
"""Smallest difference of two AUROCs, or of one from chance, that is called one; ours."""


class Change(StrEnum):
    """What the interval of a difference of AUROCs says, by what `MATTERS`."""

    BETTER = "better"
    """It lies wholly above `MATTERS`."""
    WORSE = "worse"
    """It lies wholly below minus `MATTERS`."""
    NO_DIFFERENCE = "no difference"
    """It lies wholly within `MATTERS` of 0: equivalence, as shown as the other two."""
    UNDECIDED = "undecided"
    """It lies across: the data cannot tell."""
    UNDEFINED = "undefined"
    """There is none."""

    @property
    def verdict(self) -> Verdict:
        """On the claim that something rises: no difference is evidence against it."""
        return _VERDICTS[self]


_VERDICTS = {
    Change.BETTER: Verdict.SUPPORTED,
    Change.WORSE: Verdict.FAILED,
    Change.NO_DIFFERENCE: Verdict.FAILED,
    Change.UNDECIDED: Verdict.UNDECIDED,
    Change.UNDEFINED: Verdict.NOT_TESTED,
}


def change_of(difference: Estimate) -> Change:
    """What the interval of a difference of AUROCs says."""
    if difference.low > MATTERS:
        return Change.BETTER
    if difference.high < -MATTERS:
        return Change.WORSE
    within = -MATTERS <= difference.low and difference.high <= MATTERS
    return Change.NO_DIFFERENCE if within else Change.UNDECIDED


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


@dataclass(frozen=True)
class Compared:
    """One trigger, poison ratio and detector: the training set beside one way of generating."""

    trigger: str
    """The trigger that was stamped."""
    detector: str
    """Its name."""
    poison_ratio: float
    """Fraction of all training images, above 0."""
    sampling: Sampling | None
    """Of the generations; None where no generations were measured at all."""
    training: tuple[Row, ...]
    """Of the training set, one a seed."""
    generation: tuple[Row, ...]
    """Of the generations, one a seed."""

    def estimate(self, name: str) -> Estimate | None:
        """A number of the generations' rows over its seeds; None where it is undefined."""
        found = level_of(self.generation, name)
        return found.estimate if found else None

    @property
    def before(self) -> Estimate | None:
        """The training set's AUROC."""
        own = level_of(self.training, "auroc")
        return own.estimate if own else self.estimate("training_auroc")

    @property
    def after(self) -> Estimate | None:
        """The generations' AUROC."""
        return self.estimate("auroc")

    def change(self, name: str = "auroc_gain") -> Change:
        """What the interval of a number says: of a gain beside 0, of a shift beside chance."""
        estimate = self.estimate(name)
        if estimate is None:
            return Change.UNDEFINED
        return change_of(estimate.shifted(-CHANCE) if name.endswith("_shift") else estimate)

    @property
    def saturated(self) -> bool:
        """The training set's AUROC is so high that nothing can improve it."""
        return self.before is not None and self.before.value >= SATURATED

    @property
    def place(self) -> str:
        """Where, such as "p = 1%"."""
        return f"p = {ratio_name(self.poison_ratio)}"

    @property
    def few(self) -> list[str]:
        """A clause for each set with fewer than `FEW` positives at some seed."""
        return [
            f"only {count} positives among the {words}"
            for rows, words in (
                (self.training, "training images"),
                (self.generation, "generations"),
            )
            if rows and (count := min(int(row["n_positive"]) for row in rows)) < FEW
        ]


@dataclass(frozen=True)
class Detected:
    """All rows about one trigger, target class and detector."""

    trigger: str
    """The trigger that was stamped."""
    target_class: str
    """Name of the class that the poison was relabelled to."""
    detector: str
    """Its name."""
    rows: tuple[Row, ...]
    """On both sets of images."""

    @property
    def poison_ratios(self) -> list[float]:
        """Poison ratios measured on either set, ascending."""
        return sorted({float(row["poison_ratio"]) for row in self.rows})

    @property
    def samplings(self) -> list[Sampling]:
        """Ways of generating that were measured, the reported one first."""
        return samplings(self.rows)

    @property
    def reported(self) -> list[Compared]:
        """A comparison a poison ratio, at the reported way of generating."""
        first = next(iter(self.samplings), None)
        return [self.at(ratio, first) for ratio in self.poison_ratios]

    @property
    def compared(self) -> list[Compared]:
        """Every ratio, and of each every way of generating, whether it was measured or not."""
        if not self.samplings:
            return self.reported
        return [self.at(ratio, one) for ratio in self.poison_ratios for one in self.samplings]

    def at(self, ratio: float, sampling: Sampling | None) -> Compared:
        """One comparison, of which rows may be missing."""
        rows = [row for row in self.rows if same(row["poison_ratio"], ratio)]
        generated = [row for row in rows if sampling and sampling_of(row) == sampling]
        return Compared(
            self.trigger,
            self.detector,
            ratio,
            sampling,
            tuple(row for row in rows if row["image_set"] == "training"),
            tuple(generated),
        )


@dataclass(frozen=True)
class NullPoints:
    """The rows of clean models whose images were flagged at random; nothing is to be found."""

    rows: tuple[Row, ...]
    """Sorted."""


def is_null(row: Row) -> bool:
    """Whether the flags of this row are random."""
    return bool(row.get("pretend_ratio"))


def detections(rows: Sequence[Row]) -> tuple[Detected, ...]:
    """Split a study by trigger, target class and detector, sorted in this order.

    Null points and the clean models' other rows are left out.
    """
    poisoned = [row for row in sort_rows(rows) if row["poison_ratio"] > 0 and not is_null(row)]
    keys = {
        (str(row["trigger"]), str(row["target_class"]), str(row["detector"])) for row in poisoned
    }
    return tuple(
        Detected(
            *key,
            tuple(
                row
                for row in poisoned
                if (row["trigger"], row["target_class"], row["detector"]) == key
            ),
        )
        for key in sorted(keys, key=lambda key: (key[0], key[1], detector_rank(key[2])))
    )


def null_points(rows: Iterable[Row]) -> NullPoints:
    """The null points of a study, by detector and set."""
    found = [row for row in sort_rows(rows) if is_null(row)]
    return NullPoints(tuple(sorted(found, key=_by_detector)))


def comparisons(rows: Sequence[Row]) -> list[Compared]:
    """Every comparison of a study, in the order of `detections`."""
    return [compared for subject in detections(rows) for compared in subject.compared]


def detector_rank(detector: str) -> tuple[int, str]:
    """The paper's order of the detectors; others after them by name."""
    known = list(DETECTOR_NAMES)
    return (known.index(detector) if detector in known else len(known)), detector


def detectors(rows: Iterable[Row]) -> list[str]:
    """The detectors of some rows, in the paper's order."""
    return sorted({str(row["detector"]) for row in rows}, key=detector_rank)


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


def _by_detector(row: Row) -> tuple[object, ...]:
    return (*detector_rank(str(row["detector"])), SETS.index(str(row["image_set"])))
