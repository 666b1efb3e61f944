"""The settings in which points differ: their own, and those of all that they are computed from."""

import json
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from orchestrator.cli.sides import Point
from orchestrator.step import brief

NOT_THERE = "–"
"""Shown for a setting, or a source, that one side does not have."""


class Setting(NamedTuple):
    """A setting that differs."""

    name: str
    """With a dot if it is part of another one, such as ``trigger.alpha``."""
    of: str
    """The steps that have it, nearest first, such as ``point, manifest``."""
    values: tuple[str, ...]
    """As text, for each side."""


def settings_of_points(points: Sequence[Point]) -> list[Setting]:
    """Settings in which points differ, nearest first; an equal difference is listed once.

    A source that is the same step for all points is not followed: nothing behind it differs.
    """
    found: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for role, name, values in [*_walk(points), *_versions(points)]:
        found.setdefault((name, values), []).append(role)
    return [Setting(name, ", ".join(of), values) for (name, values), of in found.items()]


def settings_of_runs(
    axes: Sequence[Mapping[str, Any]], shared: Sequence[Sequence[Point]]
) -> list[Setting]:
    """Axes in which runs differ, then settings in which the points differ that they share.

    Args:
        axes: Of each run.
        shared: Points of all runs that belong together.
    """
    names = dict.fromkeys(name for one in axes for name in one)
    swept = [(name, tuple(word(one.get(name)) for one in axes)) for name in names]
    found = [Setting(name, "axes", values) for name, values in swept if len(set(values)) > 1]
    counts = Counter(setting for points in shared for setting in settings_of_points(points))
    for setting, count in counts.items():
        where = "" if count == len(shared) else f"; at {count} of {len(shared)} points"
        found.append(setting._replace(of=setting.of + where))
    return found


def word(value: Any) -> str:
    """A value as text that is safe to print, whoever wrote it; a long one is cut."""
    value = brief(value)
    if value is None:
        return NOT_THERE
    if isinstance(value, str):
        return value if value.isprintable() else json.dumps(value)
    if isinstance(value, list):
        return ", ".join(map(word, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else json.dumps(value)


def _walk(points: Sequence[Point]) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Yield (role, name, values) of each setting that differs, breadth first."""
    digests: tuple[str | None, ...] = tuple(point.step.digest for point in points)
    start: tuple[tuple[str, ...], tuple[str | None, ...]] = ("point",), digests
    waiting, seen, roles = deque([start]), {digests}, set[str]()
    while waiting:
        path, digests = waiting.popleft()
        role = path[-1] if path[-1] not in roles else ".".join(path[1:])
        roles.add(role)
        if len(set(digests)) == 1:
            continue
        steps = [
            point.library.steps.get(digest or "")
            for point, digest in zip(points, digests, strict=True)
        ]
        there = [step for step in steps if step]
        if len(there) < len(steps):
            names = (x.task if x else "no record of" for x in steps)
            named = zip(names, digests, strict=True)
            yield role, "step", tuple(f"{n} {d}" if d else NOT_THERE for n, d in named)
            continue
        told = [
            {"task": x.task, "revision": x.identity.get("revision"), **x.settings} for x in there
        ]
        yield from ((role, name, values) for name, values in _leaves(told))
        for source in dict.fromkeys(source for step in there for source in step.sources):
            behind = tuple(step.sources.get(source) for step in there)
            if behind not in seen:
                seen.add(behind)
                waiting.append(((*path, source), behind))


def _leaves(values: Sequence[Any], at: str = "") -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield (name, values) of each leaf of nested settings that is not equal on all sides."""
    if all(isinstance(value, dict) for value in values):
        for key in dict.fromkeys(key for value in values for key in value):
            name = at if key == "type" and at else f"{at}.{key}" if at else key
            yield from _leaves([value.get(key) for value in values], name)
    elif len({json.dumps(value, sort_keys=True) for value in values}) > 1:
        yield word(at), tuple(map(word, values))


def _versions(points: Sequence[Point]) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Yield packages of which the sides' steps were made with different versions."""
    sides: list[dict[str, set[str]]] = [{} for _ in points]
    for point, found in zip(points, sides, strict=True):
        for step in point.library.ancestry(point.step):
            for name, version in step.versions.items():
                found.setdefault(word(name), set()).add(word(version))
    for name in dict.fromkeys(name for side in sides for name in side):
        values = tuple(", ".join(sorted(side.get(name, {NOT_THERE}))) for side in sides)
        if len(set(values)) > 1:
            yield "made with", name, values
