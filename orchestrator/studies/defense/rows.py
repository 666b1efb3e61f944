"""Rows of ``defense`` picked apart: a trigger and a network, by what it was trained on.

A row is one classifier; ``X_change`` stands on the rows of the corrected training set and of the
generations, and is the change from the classifier of the poisoned training set of the same seed.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from analysis.old.rows import Row, same, sort_rows
from analysis.page.wording import CLASSIFIER_NAMES, ratio_name
from analysis.statistics.comparison import SEEDS_FOR_SPREAD, Comparison
from analysis.statistics.intervals import (
    Estimate,
    difference_of_proportions,
    mean_of_independent,
    mean_over_seeds,
)
from orchestrator.studies.detection.rows import Sampling, level_of, sampling_of, samplings

ACCURACY, ATTACK = "test_accuracy", "attack_success_rate"
"""Columns of the two numbers that everything here is about, TA and ASR."""
FRESH_ATTACK = "fresh_attack_success_rate"
"""ASR with a warp that nobody trained on; of WaNet alone."""
RATES = {ACCURACY: "TA", ATTACK: "ASR", FRESH_ATTACK: "ASR, fresh warp"}
"""What pages call them."""
COUNTS = {
    ACCURACY: ("correct", "n"),
    ATTACK: ("attack_count", "attack_n"),
    FRESH_ATTACK: ("fresh_attack_count", "fresh_attack_n"),
}
"""How many of how many images they stand for."""
G1 = "generation_g1"
"""Column of the share of G1 in a generation set."""


@dataclass(frozen=True)
class Defense:
    """One trigger, network and poison ratio: the training sets beside one way of generating."""

    trigger: str
    """The trigger that attacks; it was stamped too, unless the ratio is 0."""
    classifier: str
    """Name of the network."""
    poison_ratio: float
    """Fraction of all training images; 0 for the clean pair."""
    sampling: Sampling | None
    """Of the generations; None where no generations were measured at all."""
    training: tuple[Row, ...]
    """Classifiers of the training set as it was poisoned, one a seed."""
    corrected: tuple[Row, ...]
    """Of the same images labelled right; none without poison, or for clean labels."""
    generation: tuple[Row, ...]
    """Of the generations, one a seed."""

    def before(self, name: str) -> Estimate | None:
        """A number of the training set's classifiers over its seeds."""
        return estimate(self.training, name)

    def after(self, name: str) -> Estimate | None:
        """A number of the generations' classifiers over its seeds; None where it is undefined."""
        return estimate(self.generation, name)

    def change(self, name: str) -> Comparison | None:
        """Generations minus training set, paired by test image or, from three seeds on, by seed.

        Conditional on the trained classifiers but for the latter.
        """
        return level_of(self.generation, f"{name}_change")

    @property
    def place(self) -> str:
        """Where, such as "p = 1%"."""
        return f"p = {ratio_name(self.poison_ratio)}"


@dataclass(frozen=True)
class Defended:
    """All rows about one trigger, target class and network, with the clean pair."""

    trigger: str
    """The trigger that was stamped and attacks."""
    target_class: str
    """Name of the class that the poison was relabelled to."""
    classifier: str
    """Name of the network."""
    rows: tuple[Row, ...]
    """Of poisoned data."""
    clean: tuple[Row, ...]
    """Of clean data, attacked with this trigger."""

    @property
    def poison_ratios(self) -> list[float]:
        """Poison ratios measured, ascending, each above 0."""
        return sorted({float(row["poison_ratio"]) for row in self.rows})

    @property
    def samplings(self) -> list[Sampling]:
        """Ways of generating that were measured, the reported one first."""
        return samplings((*self.rows, *self.clean))

    @property
    def reported(self) -> list[Defense]:
        """A poison ratio each, at the reported way of generating."""
        first = next(iter(self.samplings), None)
        return [self.at(ratio, first) for ratio in self.poison_ratios]

    @property
    def measured(self) -> list[Defense]:
        """Every ratio, 0 too, and of each every way of generating; those that have rows."""
        made = []
        for ratio in sorted({float(row["poison_ratio"]) for row in (*self.clean, *self.rows)}):
            generated = [one for way in self.ways if (one := self.at(ratio, way)).generation]
            made += generated or [self.at(ratio, None)]
        return made

    @property
    def ways(self) -> list[Sampling | None]:
        """`samplings`, or None alone where nothing was generated."""
        return [*self.samplings] or [None]

    def at(self, ratio: float, sampling: Sampling | None) -> Defense:
        """One poison ratio, or at 0 the clean pair; any of its rows may be missing."""
        rows = [row for row in (*self.rows, *self.clean) if same(row["poison_ratio"], ratio)]

        def of(image_set: str) -> tuple[Row, ...]:
            return tuple(row for row in rows if row["image_set"] == image_set)

        generated = [row for row in of("generation") if sampling_of(row) == sampling]
        return Defense(
            self.trigger,
            self.classifier,
            ratio,
            sampling,
            of("training"),
            of("corrected"),
            tuple(generated),
        )


def defended(rows: Sequence[Row]) -> tuple[Defended, ...]:
    """Split a study by trigger, target class and network, sorted in this order.

    The clean pair goes to the trigger that attacks it.
    """
    ordered = sort_rows(rows)
    keys = {_key(row) for row in ordered}
    return tuple(
        Defended(
            *key,
            tuple(row for row in ordered if row["poison_ratio"] > 0 and _key(row) == key),
            tuple(row for row in ordered if row["poison_ratio"] == 0 and _key(row) == key),
        )
        for key in sorted(keys, key=lambda key: (key[0], key[1], classifier_rank(key[2])))
    )


def estimate(rows: Sequence[Row], name: str) -> Estimate | None:
    """A bounded number over the seeds that have it; None where none has."""
    found = level_of(rows, name)
    return found.estimate if found else None


def minus(rows: Sequence[Row], others: Sequence[Row], name: str) -> Comparison | None:
    """A rate of some classifiers minus that of others, whose answers no row pairs.

    From three seeds on that both have it is Student's over the seeds.  With fewer each seed's two
    rates count as independent; they are of the same test images, which makes that cautious.

    Args:
        rows: One a seed.
        others: One a seed.
        name: Of `COUNTS`.

    Returns:
        None where no seed has both.
    """
    by_seed = {row["seed"]: row for row in others if row.get(name) is not None}
    pairs = [
        (row, by_seed[row["seed"]])
        for row in rows
        if row.get(name) is not None and row["seed"] in by_seed
    ]
    if not pairs:
        return None
    basis = f"{len(pairs)} seed{'s' if len(pairs) > 1 else ''}"
    count, n = COUNTS[name]
    each = [
        difference_of_proportions(*(int(one[column]) for one in pair for column in (count, n)))
        for pair in pairs
    ]
    if len(pairs) >= SEEDS_FOR_SPREAD:
        return Comparison(mean_over_seeds(each).within(-1, 1), basis)
    return Comparison(mean_of_independent(each), basis)


def followed(rows: Iterable[Row]) -> list[tuple[float, float, Row]]:
    """(G1, ASR, row) of every classifier of a poisoned model's generations that has both."""
    return [
        (float(row[G1]), float(row[ATTACK]), row)
        for row in sort_rows(rows)
        if row["image_set"] == "generation"
        and row["poison_ratio"] > 0
        and row.get(G1) is not None
        and row.get(ATTACK) is not None
    ]


def rank_correlation(rows: Iterable[Row]) -> tuple[float | None, int]:
    """Spearman's rank correlation of G1 and ASR over `followed`, and how many points there are.

    None with fewer than three points, or where either is the same at all of them.
    """
    points = followed(rows)
    shares, rates = [one[0] for one in points], [one[1] for one in points]
    if len(points) < 3 or len(set(shares)) < 2 or len(set(rates)) < 2:
        return None, len(points)
    # Imported here: `castlewalls plan` imports this module and must stay instant.
    from scipy.stats import spearmanr

    return float(spearmanr(shares, rates).statistic), len(points)


def classifier_rank(classifier: str) -> tuple[int, str]:
    """Networks from small to large; others after them by name."""
    known = list(CLASSIFIER_NAMES)
    return (known.index(classifier) if classifier in known else len(known)), classifier


def _key(row: Row) -> tuple[str, str, str]:
    trigger = row["trigger"] if row["poison_ratio"] > 0 else row["judge_trigger"]
    return str(trigger), str(row["target_class"]), str(row["classifier"])
