"""What is asked for, and what came of it."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from orchestrator.run.placement import Placement
from orchestrator.step import ancestors
from orchestrator.store.store import Store
from orchestrator.studies.axes import Axes
from orchestrator.studies.scales import SCALES, Scale
from orchestrator.studies.study import Point, Study


class NoCluster(RuntimeError):
    """There is no Ray cluster where the user says, or it cannot be used as it is; why."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to run, where to keep it, and on what."""

    study: Study
    scale: Scale
    axes: Axes
    store: Store
    placement: Placement = field(default_factory=Placement)
    address: str | None = None
    """An existing Ray cluster; None starts one in this machine."""
    dashboard: bool = False
    verbose: bool = False
    typed: Sequence[str] = ()
    """Words that make this scale of the one of its name, such as ``--images FOLDER``."""

    @cached_property
    def label(self) -> str:
        """Study and scale; with other points than by default, also a digest of them."""
        plain = f"{self.study.name}-{self.scale.name}"
        [stock] = [scale for scale in SCALES if scale.name == self.scale.name]
        usual = self.study.chosen(stock)
        if (self.scale, self.axes) == (stock, usual):
            return plain
        own, others = (
            " ".join(point.measure.digest for point in points)
            for points in (self.points(), self.study.points(stock, usual))
        )
        if others in ("", own):
            return plain
        return f"{plain}-{hashlib.sha256(own.encode()).hexdigest()[:8]}"

    def points(self) -> Sequence[Point]:
        """The study's points for these axes, made once."""
        return self._points

    @cached_property
    def _points(self) -> Sequence[Point]:
        return self.study.points_at(self.scale, self.axes)


@dataclass(frozen=True)
class Failure:
    """A point that could not be finished."""

    point: Point
    message: str


@dataclass(frozen=True, kw_only=True)
class Result:
    """What a run came to."""

    points: Sequence[Point]
    failures: Sequence[Failure] = ()
    made: frozenset[str] = frozenset()
    """Digests of the steps that this run made."""
    page: Path | None = None
    """The report, if any point is finished."""
    remarks: Sequence[str] = ()
    """What the user should know although nothing failed for it."""


def by_message(failures: Sequence[Failure]) -> dict[str, list[Point]]:
    """The points that failed, by why: one broken dataset is one failure, not eighteen."""
    found: dict[str, list[Point]] = {}
    for failure in failures:
        found.setdefault(failure.message, []).append(failure.point)
    return found


def log_of(point: Point, store: Store) -> str:
    """Where the log is that says most about why a point failed, or an empty string."""
    steps = (step for step in ancestors([point.measure]) if not store.has(step))
    return next(filter(None, map(store.log_address, steps)), "")
