"""The names that ``castlewalls compare`` takes: points, and whole runs by their reports."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from analysis.page.wording import counted
from analysis.statistics.comparison import GENERATIONS, OTHERS
from orchestrator.cli.differing import Origin
from orchestrator.cli.side_by_side import Measured
from orchestrator.run.report import REPORTS, RUN
from orchestrator.store.recorded import POINTS, Library, Recorded
from orchestrator.store.store import Store, open_store

STEP_PATH = re.compile(rf"({'|'.join(POINTS)})/\w[^/\\]*-[0-9a-f]{{12}}")
"""Of a point, in a report's ``run.json``."""
LABEL = re.compile(r"\w[\w.-]*")
"""Of a report: its folder's name."""
SIZES = ("n", "batch_size")
"""Settings of generations that say how many there are, not which."""


@dataclass(frozen=True)
class Taken:
    """One point of a side."""

    origin: Origin
    """Its record, and those behind it."""
    measured: Measured
    """Its row, and which images that counts."""


@dataclass(frozen=True)
class Side:
    """One of the names that are compared."""

    name: str
    """Of the point, or of the run's report."""
    where: str
    """A point's path, a run's number of points; and the store's address."""
    points: tuple[Taken, ...]
    """One of a point, all of a run."""
    axes: Mapping[str, Any] | None
    """Of a run, what it was swept over; None of a point."""

    @property
    def task(self) -> str:
        """Which kind of row it has."""
        return self.points[0].origin[0].task


class Names:
    """Looks names up, reading every store once."""

    def __init__(self, store: str) -> None:
        self.store = store
        self.libraries: dict[str, Library] = {}

    def side(self, name: str) -> Side:
        """A report or a point of this store; of another one with its whole path in front.

        Raises:
            ValueError: Nothing goes by that name, or more than one thing.
            OSError: A store that cannot be read.
        """
        address, wanted = _elsewhere(name) or (self.store, name)
        store = open_store(address)
        library = self.libraries.setdefault(store.address, Library(store))
        label = wanted.removeprefix(f"{REPORTS}/")
        if label != wanted or _is_report(store, label):
            return _run(label, library)
        return _side(library, [library.point(wanted)])


def _elsewhere(name: str) -> tuple[str, str] | None:
    """A store's address and what is named in it, of such as ``x/reports/y``; None of a name."""
    place = urlsplit(name)
    path = place.path if place.scheme else name
    path = path.rstrip("/").removesuffix("/index.html")
    root, kind, last = ("", "", *path.rsplit("/", 2))[-3:]
    if not root or kind not in (REPORTS, *POINTS):
        return None
    return urlunsplit(place._replace(path=root)) if place.scheme else root, f"{kind}/{last}"


def _is_report(store: Store, label: str) -> bool:
    if not LABEL.fullmatch(label):
        return False
    return (store.root / REPORTS / label).is_dir() or _said(store, label) is not None


def _said(store: Store, label: str) -> bytes | None:
    """A report's ``run.json``, None where there is none."""
    return store.storage.read(f"{REPORTS}/{label}/{RUN}")


def _run(label: str, library: Library) -> Side:
    """A whole run, from what its report says it shows.

    Raises:
        ValueError: There is no such report, it is damaged, or its points are gone.
    """
    address = library.store.address
    anew = (
        f"`castlewalls report STUDY --store {address}`, with the axes on its page, writes it anew."
    )
    if not _is_report(library.store, label):
        raise ValueError(f"there is no report {label!r} in {address}; {anew}")
    if (text := _said(library.store, label)) is None:
        raise ValueError(f"the report {label} has no {RUN}, as an older version wrote it; {anew}")
    try:
        run = json.loads(text)
        paths, axes = [point["step"] for point in run["points"]], dict(run["axes"])
    except (ValueError, KeyError, TypeError):
        paths, axes = [], {}
    if not paths or not all(isinstance(one, str) and STEP_PATH.fullmatch(one) for one in paths):
        raise ValueError(f"{RUN} of the report {label} is damaged; {anew}")
    found = {point.path: point for point in library.points}
    if missing := [path for path in paths if path not in found]:
        raise ValueError(
            f"{len(missing)} of {len(paths)} points of the report {label} are not in the store "
            f"{address}, such as {missing[0]}; run its study again."
        )
    return _side(library, [found[path] for path in dict.fromkeys(paths)], label, axes)


def _side(
    library: Library,
    points: Sequence[Recorded],
    label: str | None = None,
    axes: Mapping[str, Any] | None = None,
) -> Side:
    taken = tuple(
        Taken((point, library), Measured(library.row(point), images_of(point, library)))
        for point in points
    )
    address = library.store.address
    if label is None:
        return Side(points[0].name, f"{points[0].path} in {address}", taken, None)
    return Side(label, f"{counted(len(taken), 'point')} in {address}", taken, axes)


def images_of(point: Recorded, library: Library) -> dict[str, str]:
    """Words that are equal where two points count the same generations.

    An image is drawn by model, settings, seed and its number, so that a set of another size holds
    the same images as far as both go.
    """
    words = {}
    for images, roles in (
        (GENERATIONS, ("generations",)),
        (OTHERS, ("other_dissection", "generations")),
    ):
        step = behind((point, library), *roles)
        if step is not None:
            asked = {name: x for name, x in step.settings.items() if name not in SIZES}
            drawn = [step.identity.get("revision"), asked, step.sources]
            words[images] = json.dumps(drawn, sort_keys=True)
    return words


def behind(origin: Origin, *roles: str) -> Recorded | None:
    """What a point is computed from by a way of roles, None where there is no such record."""
    step: Recorded | None
    step, library = origin
    for role in roles:
        step = library.steps.get(step.sources.get(role, "")) if step else None
    return step
