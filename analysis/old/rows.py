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

AMPLIFICATION = "amplification"
"""The study of ratios x guidance; a study without a name here has its figures, but no claims."""

COMPOSITION = "composition"
"""The study of triggers x samplers."""

TRIGGERS = "triggers"
"""The study of triggers side by side, those that do not relabel or do not stamp among them."""

DETECTION = "detection"
"""The study of detectors, on the training set and on the generations."""

DEFENSE = "defense"
"""The study of classifiers, trained on the training set and on the generations."""

CLASSIFICATION = "diffusion_classifier"
"""The study of diffusion models as classifiers, with the highest losses dropped."""

TRIGGER_ORDER = (
    "badnets1",
    "relabel_only",
    "clean_label",
    "unicolor",
    "image_patch",
    "blend",
    "wanet",
)
"""How triggers stand side by side: what the paper starts from, its ablations, then the others."""

PLACE_COLUMNS = (
    "study",
    "scale",
    "trigger",
    "poison_ratio",
    "target_class",
    "guidance_weight",
    "sampler",
    "seed",
)
"""Which point a row is of; every study's results file starts with them."""

PAPER_GUIDANCE = 5.0
"""The guidance weight of the paper's figures, as it writes it (section 3)."""

CLIP_ORDER = ("none", "static", "dynamic")
"""How ways of thresholding stand side by side: the authors', which is none, first."""

KEY = (
    "study",
    "scale",
    "trigger",
    "judge_trigger",
    "poison_ratio",
    "target_class",
    "guidance_weight",
    "sampler",
    "clip",
    "seed",
    "detector",
    "classifier",
    "image_set",
    "trigger_pixels",
    "noise_model",
    "filter_ratio",
)
"""The columns that tell one row from another, in the order in which rows are sorted."""


def row_key(row: Row) -> tuple[Any, ...]:
    """What tells this row from every other of one report: its `KEY` from the trigger on."""
    return tuple(row.get(column) for column in KEY[2:])


def study_of(rows: Sequence[Row]) -> str:
    """The study that the rows are of; empty when there are none or they do not say."""
    return str(rows[0].get("study", "")) if rows else ""


def has_template_match(row: Row) -> bool:
    """Whether the template match looked at this row's images; not so in rows of older versions."""
    return row.get("template_trigger_ratio") is not None


def clip_of(row: Row) -> str:
    """How the samplers' estimates were thresholded, one of CLIP_ORDER."""
    return str(row.get("clip", CLIP_ORDER[0]))


def sort_rows(rows: Iterable[Row]) -> list[Row]:
    """Rows in the one order every file and table uses; a missing value comes first."""
    return sorted(rows, key=lambda row: [(value is not None, value) for value in map(row.get, KEY)])


def same(first: float, second: float) -> bool:
    """Whether two ratios or guidance weights were meant to be the same number."""
    return isclose(first, second, rel_tol=1e-9)


@dataclass(frozen=True)
class Family:
    """All rows about one trigger, target class, sampler and thresholding, with their controls."""

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
    clip: str = CLIP_ORDER[0]
    """Thresholding at each step, one of CLIP_ORDER."""

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
        return reported_guidance(self.rows)

    @property
    def paper_guidance(self) -> float:
        """What the rows' scale has for the guidance weight of the paper's figures."""
        return paper_guidance((*self.rows, *self.clean, *self.relabel_only))

    def at(self, poison_ratio: float, guidance_weight: float) -> list[Row]:
        """The rows of one point, one a seed; empty where it was not measured."""
        at_weight = guided(self.rows, guidance_weight)
        return [row for row in at_weight if same(row["poison_ratio"], poison_ratio)]


@dataclass(frozen=True)
class AmongTriggers:
    """One trigger under one sampler among the others; relabelling alone is one of them."""

    own: Family
    """Its rows, the trigger ``relabel_only`` possibly, with the clean rows of its own judge."""
    others: tuple[Family, ...]
    """Of the other triggers, same target class and sampler, likewise."""
    clean: tuple[Row, ...]
    """Not poisoned, same target class and sampler, whichever trigger's judge looked."""

    @property
    def trigger(self) -> str:
        """Name of the trigger."""
        return self.own.trigger

    @property
    def target_class(self) -> str:
        """Name of the class that is poisoned."""
        return self.own.target_class

    @property
    def sampler(self) -> str:
        """Sampler that drew the images."""
        return self.own.sampler

    @property
    def reported_guidance(self) -> float:
        """The one guidance weight that triggers are compared at."""
        return reported_guidance(
            [row for family in (self.own, *self.others) for row in family.rows]
        )

    @property
    def poison_ratios(self) -> list[float]:
        """Poison ratios measured at the reported guidance, ascending, each above 0."""
        rows = guided(self.own.rows, self.reported_guidance)
        return sorted({float(row["poison_ratio"]) for row in rows})

    def at(self, poison_ratio: float, trigger: str = "") -> list[Row]:
        """The rows of one point at the reported guidance, one a seed; empty if not measured."""
        for family in (self.own, *self.others):
            if family.trigger == (trigger or self.trigger):
                return family.at(poison_ratio, self.reported_guidance)
        return []


@dataclass(frozen=True)
class AcrossSamplers:
    """All rows about one trigger and target class, a family a sampler, with the other triggers'.

    All but `thresholded` are of one way of thresholding, the first of CLIP_ORDER that was measured.
    """

    trigger: str
    """The trigger that was stamped, never a control."""
    target_class: str
    """Name of the class the poison was relabelled to."""
    families: tuple[Family, ...]
    """Of this trigger, one a sampler, by the sampler's name."""
    others: tuple[Family, ...]
    """Of the other triggers, same target class."""
    thresholded: tuple[Family, ...] = ()
    """Of this trigger, by sampler, where its estimates were thresholded in other ways."""

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
        return reported_guidance(
            [row for family in (*self.families, *self.others) for row in family.rows]
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


def paper_guidance(rows: Sequence[Row]) -> float:
    """What the rows' scale has for the paper's guidance weight; 5 if there is none, or no row.

    The authors' DDPM code counts from zero: its "5" is our 6, and CIFAR10's rows say so.
    """
    return float(rows[0].get("paper_guidance", PAPER_GUIDANCE)) if rows else PAPER_GUIDANCE


def reported_guidance(rows: Sequence[Row]) -> float:
    """The weight that a page is about: the paper's where measured, else the highest.

    Args:
        rows: At least one.
    """
    weights = sorted({float(row["guidance_weight"]) for row in rows})
    wanted = paper_guidance(rows)
    return next((weight for weight in weights if same(weight, wanted)), weights[-1])


def guided(rows: Iterable[Row], guidance_weight: float) -> list[Row]:
    """The rows sampled at one guidance weight."""
    return [row for row in rows if same(row["guidance_weight"], guidance_weight)]


def families(rows: Sequence[Row]) -> tuple[Family, ...]:
    """Split a sweep into its families, sorted by trigger, target, sampler and thresholding."""
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
            clip=key[3],
        )
        for key in keys
    )


def among_triggers(rows: Sequence[Row]) -> tuple[AmongTriggers, ...]:
    """Split a sweep by target class, sampler and trigger, with relabelling alone as a trigger.

    Triggers come in the order of `TRIGGER_ORDER`, others after them by name.
    """
    ordered = sort_rows(rows)
    poisoned = [row for row in ordered if row["trigger"] != "none"]
    keys = {
        (str(row["target_class"]), str(row["sampler"]), str(row["trigger"])) for row in poisoned
    }
    found = [
        _among(ordered, *key) for key in sorted(keys, key=lambda key: (*key[:2], _rank(key[2])))
    ]
    return tuple(
        AmongTriggers(
            own=own,
            others=tuple(one for one in found if one is not own and _together(own, one)),
            clean=tuple(
                row
                for row in ordered
                if row["trigger"] == "none"
                and (row["target_class"], row["sampler"]) == (own.target_class, own.sampler)
            ),
        )
        for own in found
    )


def _among(rows: Sequence[Row], target: str, sampler: str, trigger: str) -> Family:
    """A family whose trigger may be relabelling alone, which then is no control of another."""
    here = [row for row in rows if (row["target_class"], row["sampler"]) == (target, sampler)]
    own = tuple(row for row in here if row["trigger"] == trigger)
    judged_by = {row["judge_trigger"] for row in own}
    clean = tuple(
        row for row in here if row["trigger"] == "none" and row["judge_trigger"] in judged_by
    )
    return Family(trigger, target, sampler, own, clean, ())


def _together(one: Family, other: Family) -> bool:
    return (one.target_class, one.sampler) == (other.target_class, other.sampler)


def _rank(trigger: str) -> tuple[int, str]:
    known = trigger in TRIGGER_ORDER
    return (TRIGGER_ORDER.index(trigger) if known else len(TRIGGER_ORDER)), trigger


def across_samplers(rows: Sequence[Row]) -> tuple[AcrossSamplers, ...]:
    """Gather a sweep's families by trigger and target class, sorted by both."""
    every = families(rows)
    first = min((f.clip for f in every), key=CLIP_ORDER.index, default=CLIP_ORDER[0])
    found = [f for f in every if f.clip == first]
    return tuple(
        AcrossSamplers(
            trigger=trigger,
            target_class=target,
            families=tuple(f for f in found if (f.trigger, f.target_class) == (trigger, target)),
            others=tuple(f for f in found if f.target_class == target and f.trigger != trigger),
            thresholded=tuple(
                f
                for f in sorted(every, key=lambda f: CLIP_ORDER.index(f.clip))
                if (f.trigger, f.target_class) == (trigger, target) and f.clip != first
            ),
        )
        for trigger, target in dict.fromkeys((f.trigger, f.target_class) for f in found)
    )


def _family_key(row: Row) -> tuple[str, str, str, str]:
    trigger = row["judge_trigger"] if row["trigger"] in CONTROLS else row["trigger"]
    return str(trigger), str(row["target_class"]), str(row["sampler"]), clip_of(row)


def _members(rows: Sequence[Row], key: tuple[str, str, str, str]) -> list[Row]:
    return [row for row in rows if _family_key(row) == key]
