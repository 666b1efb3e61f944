"""Which settings set points apart: their own, and those of all they are computed from."""

import json
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from orchestrator.step import brief
from orchestrator.store.recorded import Library, Recorded

Origin = tuple[Recorded, Library]
"""A point, and the store's records that it is walked through."""

NOT_THERE = "–"
"""What is shown of a setting, or of a source, that one side does not have."""
OF_THE_POINT = "point"
"""The role of a point itself; its sources have those that they are read in."""


@dataclass(frozen=True)
class Setting:
    """A setting that differs."""

    name: str
    """Its name; within another one with a dot, such as ``trigger.alpha``."""
    of: str
    """Roles of the steps that have it, nearest first, such as ``point, manifest``."""
    values: tuple[str, ...]
    """A word a side."""


def settings_of_points(points: Sequence[Origin]) -> list[Setting]:
    """Settings that differ between points, nearest first; the same difference is one line.

    A source that is the same step on every side is not walked: nothing behind it differs.
    """
    found: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for role, name, values in [*_walk(points), *_versions(points)]:
        found.setdefault((name, values), []).append(role)
    return [Setting(name, ", ".join(of), values) for (name, values), of in found.items()]


def settings_of_runs(
    axes: Sequence[Mapping[str, Any]], pairs: Sequence[Sequence[Origin]]
) -> list[Setting]:
    """Axes that differ between runs, and settings that differ between points that they share.

    Args:
        axes: Of each run.
        pairs: A point of every run each time, at one place.
    """
    names = dict.fromkeys(name for one in axes for name in one)
    swept = [(name, tuple(word(one.get(name)) for one in axes)) for name in names]
    found = [Setting(name, "axes", values) for name, values in swept if len(set(values)) > 1]
    counts = Counter(setting for points in pairs for setting in settings_of_points(points))
    for setting, count in counts.items():
        where = f"{setting.of}; at {count} of {len(pairs)} points"
        of = setting.of if count == len(pairs) else where
        found.append(Setting(setting.name, of, setting.values))
    return found


def word(value: Any) -> str:
    """A value in words that a terminal can show, whoever wrote it; a long one in brief."""
    value = brief(value)
    if value is None:
        return NOT_THERE
    if isinstance(value, str):
        return value if value.isprintable() else json.dumps(value)
    if isinstance(value, list):
        return ", ".join(map(word, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else json.dumps(value)


def _walk(points: Sequence[Origin]) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Yield (role, name, words) of every setting that differs, breadth first."""
    libraries = [library for _, library in points]
    start: tuple[str | None, ...] = tuple(point.digest for point, _ in points)
    waiting: deque[tuple[tuple[str, ...], tuple[str | None, ...]]] = deque([((), start)])
    seen: set[tuple[str | None, ...]] = set()
    roles = {OF_THE_POINT}
    while waiting:
        path, digests = waiting.popleft()
        if digests in seen:
            continue
        seen.add(digests)
        role = _role(path, roles)
        roles.add(role)
        if len(set(digests)) == 1:
            continue
        steps = [
            library.steps.get(digest) if digest else None
            for library, digest in zip(libraries, digests, strict=True)
        ]
        if not all(steps):
            yield role, "step", tuple(map(_named, steps, digests))
            continue
        found = [step for step in steps if step]
        for name, values in _leaves([_told(step) for step in found]):
            yield role, name, values
        for source in dict.fromkeys(source for step in found for source in step.sources):
            waiting.append(((*path, source), tuple(step.sources.get(source) for step in found)))


def _role(path: Sequence[str], taken: set[str]) -> str:
    """The last role of a way to a step, or the whole way where another step has that already."""
    if not path:
        return OF_THE_POINT
    return path[-1] if path[-1] not in taken else ".".join(path)


def _told(step: Recorded) -> dict[str, Any]:
    return {"task": step.task, "revision": step.identity.get("revision"), **step.settings}


def _named(step: Recorded | None, digest: str | None) -> str:
    """A step where not every side has one, or its record."""
    if digest is None:
        return NOT_THERE
    return f"{step.task} {digest}" if step else f"{digest}, whose record is not in the store"


def _leaves(values: Sequence[Any], at: str = "") -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield (name, words) of every leaf that is not the same on all sides."""
    if all(isinstance(value, dict) for value in values):
        for key in dict.fromkeys(key for value in values for key in value):
            name = at if key == "type" and at else f"{at}.{key}" if at else key
            yield from _leaves([value.get(key) for value in values], name)
    elif len({json.dumps(value, sort_keys=True) for value in values}) > 1:
        yield word(at), tuple(map(word, values))


def _versions(points: Sequence[Origin]) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Yield software of which other versions made the steps of one side than those of another."""
    sides: list[dict[str, set[str]]] = []
    for point, library in points:
        found: dict[str, set[str]] = {}
        for step in library.ancestry(point):
            for name, version in step.versions.items():
                found.setdefault(word(name), set()).add(word(version))
        sides.append(found)
    for name in dict.fromkeys(name for side in sides for name in side):
        values = tuple(", ".join(sorted(side.get(name, {NOT_THERE}))) for side in sides)
        if len(set(values)) > 1:
            yield "made with", name, values
