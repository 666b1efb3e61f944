"""Result rows: what a point measured, picked apart by trigger, ratio, guidance and seed.

A row is the plain mapping of one point's ``metrics.json``: fractions 0..1, counts and words, None
where undefined.  Everything that analyzes a sweep reads rows through here.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import isclose
from typing import Any

Row = Mapping[str, Any]
"""One point's numbers by column name."""

CONTROLS = ("none", "relabel_only")
"""Triggers that stamp nothing; they are judged with the trigger that they control."""

COMPOSITION = "composition"
"""The study of triggers x samplers; any but it and `DETECTION` is shown as ``amplification``."""

DETECTION = "detection"
"""The study of detectors, on the training set and on the generations."""

PAPER_GUIDANCE = 5.0
"""The guidance weight of the paper's figures (section 3)."""

KEY = (
    "study",
    "scale",
    "trigger",
    "judge_trigger",
    "poison_ratio",
    "target_class",
    "guidance_weight",
    "sampler",
    "seed",
    "detector",
    "image_set",
)
"""The columns that tell one row from another, in the order in which rows are sorted."""


def row_key(row: Row) -> tuple[Any, ...]:
    """What tells this row from every other of one report: its `KEY` from the trigger on."""
    return tuple(row.get(column) for column in KEY[2:])


def study_of(rows: Sequence[Row]) -> str:
    """The study that the rows are of; empty when there are none or they do not say."""
    return str(rows[0].get("study", "")) if rows else ""


def has_witness(row: Row) -> bool:
    """Whether the template match looked at this row's images; not so in rows of older versions."""
    return row.get("witness_trigger_ratio") is not None


def sort_rows(rows: Iterable[Row]) -> list[Row]:
    """Rows in the one order every file and table uses; a missing value comes first."""
    return sorted(rows, key=lambda row: [(value is not None, value) for value in map(row.get, KEY)])


def same(first: float, second: float) -> bool:
    """Whether two ratios or guidance weights were meant to be the same number."""
    return isclose(first, second, rel_tol=1e-9)


@dataclass(frozen=True)
class Family:
    """All rows about one trigger, target class and sampler, with their controls."""

    trigger: str
    """The trigger that was stamped, never a control."""
    target_class: str
    """Name of the class the poison was relabelled to."""
    sampler: str
    """Sampler that drew the images."""
    rows: tuple[Row, ...]
    """Poisoned with the trigger."""
    clean: tuple[Row, ...]
    """Not poisoned, judged with this trigger's judge."""
    relabel_only: tuple[Row, ...]
    """Relabelled without a stamp, judged with this trigger's judge."""

    @property
    def poison_ratios(self) -> list[float]:
        """Poison ratios measured, ascending, each above 0."""
        return sorted({float(row["poison_ratio"]) for row in self.rows})

    @property
    def guidance_weights(self) -> list[float]:
        """Guidance weights measured, ascending."""
        return sorted({float(row["guidance_weight"]) for row in self.rows})

    @property
    def reported_guidance(self) -> float:
        """The guidance weight a headline is about."""
        return reported_guidance(self.guidance_weights)

    def at(self, poison_ratio: float, guidance_weight: float) -> list[Row]:
        """The rows of one point, one a seed; empty where it was not measured."""
        at_weight = guided(self.rows, guidance_weight)
        return [row for row in at_weight if same(row["poison_ratio"], poison_ratio)]


@dataclass(frozen=True)
class AcrossSamplers:
    """All rows about one trigger and target class, a family a sampler, with the other triggers'."""

    trigger: str
    """The trigger that was stamped, never a control."""
    target_class: str
    """Name of the class the poison was relabelled to."""
    families: tuple[Family, ...]
    """Of this trigger, one a sampler, by the sampler's name."""
    others: tuple[Family, ...]
    """Of the other triggers, same target class."""

    @property
    def samplers(self) -> list[str]:
        """Samplers that this trigger was measured under, by name."""
        return [family.sampler for family in self.families]

    @property
    def poison_ratios(self) -> list[float]:
        """Poison ratios measured at the reported guidance, any sampler, ascending, above 0."""
        rows = [row for family in self.families for row in family.rows]
        return sorted({float(row["poison_ratio"]) for row in guided(rows, self.reported_guidance)})

    @property
    def reported_guidance(self) -> float:
        """The one guidance weight that samplers and triggers are compared at."""
        every = (*self.families, *self.others)
        return reported_guidance(
            sorted({weight for family in every for weight in family.guidance_weights})
        )

    def under(self, sampler: str, trigger: str = "") -> Family | None:
        """This trigger's family under a sampler, or another trigger's; None if not measured."""
        for family in (*self.families, *self.others):
            if (family.sampler, family.trigger) == (sampler, trigger or self.trigger):
                return family
        return None

    def at(self, sampler: str, poison_ratio: float, trigger: str = "") -> list[Row]:
        """The rows of one cell at the reported guidance, one a seed; empty if not measured."""
        family = self.under(sampler, trigger)
        return family.at(poison_ratio, self.reported_guidance) if family else []


def reported_guidance(weights: Sequence[float]) -> float:
    """The weight that a page is about: the paper's where measured, else the highest.

    Args:
        weights: Ascending, at least one.
    """
    return next((weight for weight in weights if same(weight, PAPER_GUIDANCE)), weights[-1])


def guided(rows: Iterable[Row], guidance_weight: float) -> list[Row]:
    """The rows sampled at one guidance weight."""
    return [row for row in rows if same(row["guidance_weight"], guidance_weight)]


def families(rows: Sequence[Row]) -> tuple[Family, ...]:
    """Split a sweep into its families, sorted by trigger, target class and sampler."""
    keys = sorted(
        {_family_key(row) for row in rows if row["trigger"] not in CONTROLS},
    )
    ordered = sort_rows(rows)
    return tuple(
        Family(
            trigger=key[0],
            target_class=key[1],
            sampler=key[2],
            rows=tuple(row for row in _members(ordered, key) if row["trigger"] not in CONTROLS),
            clean=tuple(row for row in _members(ordered, key) if row["trigger"] == "none"),
            relabel_only=tuple(
                row for row in _members(ordered, key) if row["trigger"] == "relabel_only"
            ),
        )
        for key in keys
    )


def across_samplers(rows: Sequence[Row]) -> tuple[AcrossSamplers, ...]:
    """Gather a sweep's families by trigger and target class, sorted by both."""
    found = families(rows)
    return tuple(
        AcrossSamplers(
            trigger=trigger,
            target_class=target,
            families=tuple(f for f in found if (f.trigger, f.target_class) == (trigger, target)),
            others=tuple(f for f in found if f.target_class == target and f.trigger != trigger),
        )
        for trigger, target in dict.fromkeys((f.trigger, f.target_class) for f in found)
    )


def _family_key(row: Row) -> tuple[str, str, str]:
    trigger = row["judge_trigger"] if row["trigger"] in CONTROLS else row["trigger"]
    return str(trigger), str(row["target_class"]), str(row["sampler"])


def _members(rows: Sequence[Row], key: tuple[str, str, str]) -> list[Row]:
    return [row for row in rows if _family_key(row) == key]
