"""What ``castlewalls compare`` takes: names of points, and of whole runs by their reports."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from analysis.wording import counted
from orchestrator.run.report import REPORTS, RUN
from orchestrator.store.recorded import POINTS, Library, Recorded
from orchestrator.store.store import Store, open_store

IMAGES = {"n": ("generations",), "other_n": ("other_dissection", "generations")}
"""The images that a fraction counts, by the column of their number: the roles that lead to them."""
SIZES = ("n", "batch_size")
"""Settings of generations that say how many there are, not which."""


@dataclass(frozen=True)
class ComparedPoint:
    """A finished point."""

    step: Recorded
    library: Library
    """The finished steps of its store."""
    row: Mapping[str, Any]

    def images(self, number: str) -> str | None:
        """A text that is equal for points that count the same images; None if that is unknown.

        The images are those whose number is in the column ``number``.  An image is drawn by model,
        settings, seed and index, so that sets of different sizes share their images.
        """
        step: Recorded | None = self.step
        for role in IMAGES[number]:
            step = self.library.steps.get(step.sources.get(role, "")) if step else None
        if step is None:
            return None
        settings = {name: value for name, value in step.settings.items() if name not in SIZES}
        return json.dumps([step.identity.get("revision"), settings, step.sources], sort_keys=True)


@dataclass(frozen=True)
class Side:
    """A point or a whole run."""

    name: str
    """Of the point, or of the run's report."""
    where: str
    """A point's path or a run's number of points, and the store."""
    points: Sequence[ComparedPoint]
    axes: Mapping[str, Any] | None
    """What a run was swept over; None for a point."""

    @property
    def kind(self) -> str:
        """What it is, and the task of its rows."""
        return f"{'a point' if self.axes is None else 'a run'} of {self.points[0].step.task}"


def side_of(name: str, store: str) -> Side:
    """A point by name, path or start of a digest, or a report by its folder.

    It is of the store at this address, or of the one in whose path or address the name is.

    Raises:
        ValueError: Nothing has that name, or more than one point has.
        OSError: The store cannot be read.
    """
    address, wanted = _elsewhere(name) or (store, name)
    library = Library(open_store(address))
    label = wanted.removeprefix(f"{REPORTS}/")
    if label != wanted or _run_json(library.store, label) is not None:
        return _run(label, library)
    step = library.point(wanted)
    where = f"{step.path} in {library.store.address}"
    return Side(step.name, where, [ComparedPoint(step, library, library.row(step))], None)


def _elsewhere(name: str) -> tuple[str, str] | None:
    """A store's address and a path in it, from the likes of ``x/reports/y``; None of a name."""
    place = urlsplit(name)
    path = (place.path if place.scheme else name).rstrip("/").removesuffix("/index.html")
    root, kind, last = ("", "", *path.rsplit("/", 2))[-3:]
    if not root or kind not in (REPORTS, *POINTS):
        return None
    return urlunsplit(place._replace(path=root)) if place.scheme else root, f"{kind}/{last}"


def _run_json(store: Store, label: str) -> bytes | None:
    """What a report says of itself; None where there is no such report."""
    known = re.fullmatch(r"\w[\w.-]*", label)
    return store.storage.read(f"{REPORTS}/{label}/{RUN}") if known else None


def _run(label: str, library: Library) -> Side:
    """The points that a report shows."""
    address = library.store.address
    again = f"`castlewalls report STUDY --store {address}` writes it."
    if (text := _run_json(library.store, label)) is None:
        raise ValueError(f"there is no report {label!r} with a {RUN} in {address}; {again}")
    try:
        run = json.loads(text)
        paths, axes = [point["step"] for point in run["points"]], dict(run["axes"])
    except (ValueError, KeyError, TypeError):
        paths, axes = [], {}
    if not paths or not all(isinstance(one, str) for one in paths):
        raise ValueError(f"{RUN} of the report {label} is damaged; {again}")
    there = {point.path: point for point in library.points}
    if missing := [path for path in paths if path not in there]:
        raise ValueError(
            f"{len(missing)} of {len(paths)} points of the report {label} are not in the store "
            f"{address}, such as {missing[0]!a}; run its study again."
        )
    steps = [there[path] for path in dict.fromkeys(paths)]
    points = [ComparedPoint(step, library, library.row(step)) for step in steps]
    return Side(label, f"{counted(len(points), 'point')} in {address}", points, axes)
