"""What a study and its points are."""

import importlib.util
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from analysis.rows import KEY
from orchestrator.step import Step
from orchestrator.studies.axes import GENERATED, Axes, Axis
from tasks.checks import check

if TYPE_CHECKING:
    from orchestrator.run.request import Request, Result
    from orchestrator.studies.scales import Scale


@dataclass(frozen=True, kw_only=True)
class Point:
    """One cell of a study's grid; its ``measure`` step ends in one row."""

    axes: Mapping[str, str | float | int | None]
    """Its coordinates by column, in the order in which rows are sorted; None where it has none."""
    measure: Step

    @property
    def name(self) -> str:
        """Readable and unique in its study, e.g. ``badnets1-p0.05-w2-ddim-seed0``."""
        return str(self.measure.settings.label)


def point(settings: Any, inputs: Mapping[str, Step]) -> Point:
    """The point of a row, whose settings have its coordinates as attributes."""
    axes = {column: getattr(settings, column) for column in KEY if hasattr(settings, column)}
    return Point(axes=axes, measure=Step(settings, inputs))


def some(points: Iterable[Point]) -> list[Point]:
    """All points; ValueError if there is none."""
    made = list(points)
    if not made:
        raise ValueError(
            "these axes hold no point: they need a trigger that stamps, with a poison ratio above "
            "0 or, as the control, of 0."
        )
    return made


def bounds_of(*columns: str) -> tuple[str, ...]:
    """Columns, each with those of its bounds."""
    return tuple(f"{column}{end}" for column in columns for end in ("", "_low", "_high"))


def _all_are(kind: type, values: Any) -> bool:
    return isinstance(values, tuple) and all(isinstance(value, kind) for value in values)


@dataclass(frozen=True, kw_only=True)
class Study:
    """A question to the data: axes, and a function from their values to points."""

    name: str
    title: str
    paper: str
    """The figure or table of the paper; empty if there is none."""
    question: str
    """The hypothesis, in a sentence or two."""
    axes: tuple[Axis, ...] = GENERATED
    """What it is swept over, in the order of the columns of its results."""
    of_classes: bool = False
    """Whether its diffusion models must know classes: it makes no sense for text to image."""
    points: Callable[["Scale", Axes], Sequence[Point]]
    """Raises ValueError for axes that hold no point, or poison nothing or more than there is."""
    columns: tuple[str, ...] = ()
    """What its rows measure, most telling first: its tables and results file start with them."""
    package: str = ""
    """Its folder, ``__name__``, with ``claims.py`` and ``page.py``; without one the plain page."""
    write: "Callable[[Request, Result, Sequence[Point], Path], Path] | None" = None
    """Writes the page of the finished points into a folder, returns its path; None: the usual."""
    words: tuple[str, ...] = ()
    """What is typed after ``castlewalls`` for it; by default ``run`` and its name."""

    def __post_init__(self) -> None:
        """Raise ValueError for what is no study: people write their own."""
        name = isinstance(self.name, str) and re.fullmatch(
            r"[a-zA-Z0-9][\w-]{0,99}", self.name, re.A
        )
        for field, wanted, holds in (
            ("name", "of letters, digits, - and _", name),
            ("axes", "as a tuple, such as (TRIGGER, SEED)", _all_are(Axis, self.axes)),
            ("columns", 'as a tuple, such as ("g1",)', _all_are(str, self.columns)),
            ("points", "as a function of (scale, axes)", callable(self.points)),
        ):
            check(f"a study's {field}", getattr(self, field), wanted, bool(holds))

    def points_at(self, scale: "Scale", axes: Axes) -> Sequence[Point]:
        """Its points for some values of its axes.

        Raises:
            ValueError: There is none, or two have the same coordinates: they would count as seeds.
        """
        made: Any = self.points(scale, axes)
        returned = isinstance(made, Sequence) and _all_are(Point, tuple(made)) and len(made) > 0
        check(f"points of study {self.name}", made, "to return points in a list", returned)
        places = [tuple(one.axes.values()) for one in made]
        for at, one in enumerate(made):
            if places[at] in places[:at]:
                raise ValueError(
                    f"two points are the same: {one.name}; does each have its own seed=seed, "
                    f"ratio, trigger, ...?"
                )
        return made

    def part(self, name: str) -> ModuleType | None:
        """The module of its folder that is called ``name``; None if there is none."""
        full = f"{self.package}.{name}"
        there = self.package and importlib.util.find_spec(full)
        return importlib.import_module(full) if there else None

    def chosen(self, scale: "Scale", typed: Mapping[str, str | None] | None = None) -> Axes:
        """The values to sweep: a scale's own, with what was typed in their place.

        Args:
            scale: Gives the defaults, and the words that can be typed.
            typed: Text by the axis' name, e.g. ``0,1%`` for ``poison_ratio``; None is not typed.

        Raises:
            ValueError: An axis that the study has not, or a text that is none of its values.
        """
        given = {name: text for name, text in (typed or {}).items() if text is not None}
        known = {axis.name: axis for axis in self.axes}
        for name in given.keys() - known.keys():
            flag = "--" + name.replace("_", "-")
            there = ", ".join(axis.flag for axis in self.axes)
            raise ValueError(f"study {self.name} has no {flag}; its axes are {there}.")
        return Axes(
            **{
                name: axis.parsed(given[name], scale) if name in given else axis.default(scale)
                for name, axis in known.items()
            }
        )
