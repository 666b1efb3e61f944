"""The settings in which two points differ: their own, and those of all they are computed from."""

import json
from collections import Counter, deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from orchestrator.cli.sides import ComparedPoint
from orchestrator.step import brief
from orchestrator.store.recorded import Recorded


class Setting(NamedTuple):
    """A setting that differs, such as ``trigger.alpha`` of ``point, manifest``."""

    name: str
    of: str
    values: tuple[str, str]


def settings_of_points(first: ComparedPoint, second: ComparedPoint) -> list[Setting]:
    """Settings in which two points differ, nearest first; an equal difference is listed once.

    A source that is the same step for both is not followed: nothing behind it differs.
    """
    found: dict[tuple[str, tuple[str, str]], dict[str, None]] = {}

    def note(role: str, left: Mapping[str, Any], right: Mapping[str, Any]) -> None:
        for name in {**left, **right}:
            if left.get(name) != right.get(name):
                values = word(left.get(name)), word(right.get(name))
                found.setdefault((word(name), values), {})[role] = None

    waiting = deque[tuple[str, str, str]]([("point", first.step.digest, second.step.digest)])
    seen = set()
    while waiting:
        role, *digests = waiting.popleft()
        if digests[0] == digests[1] or tuple(digests) in seen:
            continue
        seen.add(tuple(digests))
        one, other = map(_step, (first, second), digests)
        if one is None or other is None:
            pairs = zip(digests, (one, other), strict=True)
            note(role, *({"step": _named(*pair)} if pair[0] else {} for pair in pairs))
            continue
        note(role, _settings(one), _settings(other))
        for source in {**one.sources, **other.sources}:
            waiting.append((source, one.sources.get(source, ""), other.sources.get(source, "")))
    note("made with", _versions(first), _versions(second))
    return [Setting(name, ", ".join(of), values) for (name, values), of in found.items()]


def settings_of_runs(
    first: Mapping[str, Any],
    second: Mapping[str, Any],
    shared: Sequence[tuple[ComparedPoint, ComparedPoint]],
) -> list[Setting]:
    """Axes in which two runs differ, then settings in which the points differ that they share."""
    swept = {x: (word(first.get(x)), word(second.get(x))) for x in {**first, **second}}
    found = [Setting(name, "axes", (a, b)) for name, (a, b) in swept.items() if a != b]
    counts = Counter(setting for pair in shared for setting in settings_of_points(*pair))
    for setting, count in counts.items():
        where = "" if count == len(shared) else f"; at {count} of {len(shared)} points"
        found.append(setting._replace(of=setting.of + where))
    return found


def word(value: Any) -> str:
    """A value as text that is safe to print, whoever wrote it; a long one is cut."""
    value = brief(value)
    if value is None:
        return "–"
    if isinstance(value, str):
        return value if value.isprintable() else json.dumps(value)
    if isinstance(value, list):
        return ", ".join(map(word, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else json.dumps(value)


def _step(point: ComparedPoint, digest: str) -> Recorded | None:
    return point.library.steps.get(digest)


def _named(digest: str, step: Recorded | None) -> str:
    return f"{step.task if step else 'no record of'} {digest}"


def _settings(step: Recorded) -> dict[str, Any]:
    revision = step.identity.get("revision")
    return dict(_leaves({"task": step.task, "revision": revision, **step.settings}))


def _leaves(value: Any, at: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the name and the value of each leaf of nested settings."""
    if not isinstance(value, dict):
        yield at, value
        return
    for key, inner in value.items():
        yield from _leaves(inner, at if key == "type" and at else f"{at}.{key}" if at else key)


def _versions(point: ComparedPoint) -> dict[str, str]:
    """The versions of the packages with which a point's steps were made."""
    found: dict[str, set[str]] = {}
    for step in point.library.ancestry(point.step):
        for name, version in step.versions.items():
            found.setdefault(word(name), set()).add(word(version))
    return {name: ", ".join(sorted(versions)) for name, versions in found.items()}
