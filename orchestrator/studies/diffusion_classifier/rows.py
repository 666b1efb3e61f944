"""Rows of ``diffusion_classifier`` picked apart: a trigger and a noise model, by filter ratio.

A row is one diffusion model as a classifier at one filter ratio; ``X_change`` is against the same
model without a filter, ``X_difference`` against the ordinary classifier of the same training set,
``classifier_X`` is that classifier's own number on the same test images.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from analysis.old.rows import Row, same, sort_rows
from analysis.page.wording import NOISE_MODEL_NAMES, noise_model_name, ratio_name, stamp_name
from analysis.statistics.comparison import SEEDS_FOR_SPREAD, Comparison
from analysis.statistics.intervals import difference, mean_of_independent, mean_over_seeds
from orchestrator.studies.detection.rows import estimate_of, level_of

ACCURACY, ATTACK = "test_accuracy", "attack_success_rate"
"""Columns of the two numbers that everything here is about, TA and ASR."""
RATES = {ACCURACY: "TA", ATTACK: "ASR"}
"""What pages call them."""
COUNTS = {ACCURACY: ("correct", "n"), ATTACK: ("attack_count", "attack_n")}
"""How many of how many images they stand for."""
UNFILTERED = 0.0
"""The filter ratio of the plain diffusion classifier."""
ON_TRUE, ON_TARGET, ON_BOTH = "on_trigger_true", "on_trigger_target", "on_trigger_difference"
"""Columns of the share of dropped values that lie on the trigger: under the image's own class,
under the target class, and the first minus the second, image by image."""


@dataclass(frozen=True)
class Point:
    """One trigger, noise model and poison ratio, at every filter ratio and seed."""

    trigger: str
    """The trigger that attacks; it was stamped too, unless the ratio is 0."""
    trigger_pixels: int | None
    """Pixels that it paints; None where it paints no patch."""
    noise_model: str
    """Name of the noise model."""
    poison_ratio: float
    """Fraction of all training images; 0 for the clean model."""
    rows: tuple[Row, ...]
    """A filter ratio and seed each, sorted."""

    @property
    def filter_ratios(self) -> list[float]:
        """Filter ratios measured, ascending."""
        return sorted({float(row["filter_ratio"]) for row in self.rows})

    @property
    def filters(self) -> list[float]:
        """Those that drop something."""
        return [ratio for ratio in self.filter_ratios if ratio > UNFILTERED]

    @property
    def seeds(self) -> list[int]:
        """Seeds measured, ascending."""
        return sorted({int(row["seed"]) for row in self.rows})

    def at(self, filter_ratio: float) -> tuple[Row, ...]:
        """The rows at one filter ratio, one a seed; empty where it was not measured."""
        return tuple(row for row in self.rows if same(row["filter_ratio"], filter_ratio))

    def level(self, name: str, filter_ratio: float = UNFILTERED) -> Comparison | None:
        """A bounded number at one filter ratio over the seeds; None where it is undefined."""
        return level_of(self.at(filter_ratio), name)

    def beside(self, name: str) -> Comparison | None:
        """TA or ASR of the ordinary classifier of the same training set."""
        first = next(iter(self.filter_ratios), UNFILTERED)
        return level_of(self.at(first), f"classifier_{name}")

    @property
    def place(self) -> str:
        """Where, such as "p = 1%"."""
        return f"p = {ratio_name(self.poison_ratio)}"

    @property
    def area(self) -> float | None:
        """The trigger's share of the image; None where it paints no patch."""
        if self.trigger_pixels is None or not self.rows:
            return None
        return self.trigger_pixels / int(self.rows[0]["image_pixels"])

    @property
    def trigger_values(self) -> int | None:
        """Values, one a pixel and channel, that the trigger paints."""
        area = self.area
        return None if area is None else round(area * int(self.rows[0]["values"]))

    def dropped(self, filter_ratio: float) -> int:
        """Values that a filter drops of each map of losses."""
        return int(self.at(filter_ratio)[0]["dropped"])


@dataclass(frozen=True)
class Classified:
    """All rows about one trigger, target class and noise model, with the clean model's."""

    trigger: str
    """The trigger that was stamped and attacks."""
    trigger_pixels: int | None
    """Pixels that it paints; None where it paints no patch."""
    target_class: str
    """Name of the class that the poison was relabelled to."""
    noise_model: str
    """Name of the noise model."""
    rows: tuple[Row, ...]
    """Of poisoned models."""
    clean: tuple[Row, ...]
    """Of clean models, attacked with this trigger."""

    @property
    def poison_ratios(self) -> list[float]:
        """Poison ratios measured, ascending, each above 0."""
        return sorted({float(row["poison_ratio"]) for row in self.rows})

    @property
    def points(self) -> list[Point]:
        """A poison ratio each, above 0."""
        return [self.at(ratio) for ratio in self.poison_ratios]

    @property
    def measured(self) -> list[Point]:
        """`points`, the clean model before them where there is one."""
        return [*([self.at(0.0)] if self.clean else []), *self.points]

    @property
    def stamp(self) -> str:
        """The trigger as a page calls it."""
        return stamp_name(self.trigger, self.trigger_pixels)

    @property
    def about(self) -> str:
        """Trigger and noise model."""
        return f"{self.stamp}, {noise_model_name(self.noise_model)}"

    def at(self, poison_ratio: float) -> Point:
        """One poison ratio, or at 0 the clean model; possibly without rows."""
        own = [row for row in (*self.clean, *self.rows) if same(row["poison_ratio"], poison_ratio)]
        return Point(self.trigger, self.trigger_pixels, self.noise_model, poison_ratio, tuple(own))


@dataclass(frozen=True)
class Areas:
    """One trigger in several sizes, of one target class and noise model."""

    trigger: str
    """Its name."""
    target_class: str
    """Name of the class that the poison was relabelled to."""
    noise_model: str
    """Name of the noise model."""
    sizes: tuple[Classified, ...]
    """At least two, from small to large."""

    @property
    def poison_ratios(self) -> list[float]:
        """Poison ratios at which at least two sizes were measured, ascending."""
        every = [ratio for one in self.sizes for ratio in one.poison_ratios]
        return sorted({ratio for ratio in every if every.count(ratio) > 1})

    def at(self, poison_ratio: float) -> list[Point]:
        """The sizes measured at one poison ratio, from small to large."""
        return [point for one in self.sizes if (point := one.at(poison_ratio)).rows]


def classified(rows: Sequence[Row]) -> tuple[Classified, ...]:
    """Split a study by trigger, its size, target class and noise model, sorted in this order.

    Triggers that have a clean model, or the most poison ratios, come first: the others are
    contrasts.  Clean models go to the trigger that attacks them.
    """
    ordered = sort_rows(rows)
    found = [
        Classified(
            *key,
            tuple(row for row in ordered if row["poison_ratio"] > 0 and _key(row) == key),
            tuple(row for row in ordered if row["poison_ratio"] == 0 and _key(row) == key),
        )
        for key in {_key(row) for row in ordered}
    ]
    swept = {
        _stamp(one): max(len(other.measured) for other in found if _stamp(other) == _stamp(one))
        for one in found
    }
    return tuple(
        sorted(
            found,
            key=lambda one: (-swept[_stamp(one)], *_order(one), noise_model_rank(one.noise_model)),
        )
    )


def areas(rows: Sequence[Row]) -> tuple[Areas, ...]:
    """Triggers that were measured in several sizes."""
    found = [one for one in classified(rows) if one.trigger_pixels is not None and one.rows]
    keys = dict.fromkeys((one.trigger, one.target_class, one.noise_model) for one in found)
    groups = [
        Areas(
            *key,
            tuple(one for one in found if (one.trigger, one.target_class, one.noise_model) == key),
        )
        for key in keys
    ]
    return tuple(one for one in groups if len(one.sizes) > 1 and one.poison_ratios)


def above_clean(point: Point, clean: Point) -> Comparison | None:
    """ASR of poisoned models minus the clean ones', unfiltered, as if independent.

    Each over the seeds that it has: clean models may have fewer.  None where either is missing.
    """
    own, other = point.level(ATTACK), clean.level(ATTACK)
    if own is None or other is None:
        return None
    return Comparison(difference(own.estimate, other.estimate), f"{own.basis} and {other.basis}")


def own_above_target(point: Point, filter_ratio: float) -> Comparison | None:
    """Share of dropped values on the trigger, under the own class minus under the target class.

    Paired image by image where the rows say it, otherwise a seed's two shares count as independent.
    """
    found = point.level(ON_BOTH, filter_ratio)
    if found is not None:
        return found
    rows = [
        row
        for row in point.at(filter_ratio)
        if all(row.get(f"{name}_low") is not None for name in (ON_TRUE, ON_TARGET))
    ]
    if not rows:
        return None
    basis = f"{len(rows)} seed{'s' if len(rows) > 1 else ''}"
    each = [difference(estimate_of(row, ON_TRUE), estimate_of(row, ON_TARGET)) for row in rows]
    if len(each) >= SEEDS_FOR_SPREAD:
        return Comparison(mean_over_seeds(each).within(-1, 1), basis)
    return Comparison(mean_of_independent(each), basis)


def noise_model_rank(noise_model: str) -> tuple[int, str]:
    """The order of the noise models; others after them by name."""
    known = list(NOISE_MODEL_NAMES)
    return (known.index(noise_model) if noise_model in known else len(known)), noise_model


def calls(point: Point) -> tuple[int, int]:
    """Network calls made for every image of a point, and those without elimination.

    One pass gives every filter ratio, so one row a seed counts.
    """
    rows = point.at(next(iter(point.filter_ratios), UNFILTERED))
    made = sum(int(row["calls"]) + int(row["calls_triggered"] or 0) for row in rows)
    return made, sum(int(row["full_calls"]) for row in rows)


def _key(row: Row) -> tuple[str, int | None, str, str]:
    trigger = row["trigger"] if row["poison_ratio"] > 0 else row["judge_trigger"]
    pixels = row.get("trigger_pixels")
    return (
        str(trigger),
        None if pixels is None else int(pixels),
        str(row["target_class"]),
        str(row["noise_model"]),
    )


def _stamp(one: Classified) -> tuple[str, int | None, str]:
    return one.trigger, one.trigger_pixels, one.target_class


def _order(one: Classified) -> tuple[str, int, str]:
    return one.trigger, one.trigger_pixels or 0, one.target_class
