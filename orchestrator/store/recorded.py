"""Finished steps as their records describe them, whatever version of the code made them.

A store may be hostile: a record whose folder does not carry its identity's digest is skipped, and
no name in one becomes a path.
"""

import difflib
import hashlib
import json
import pkgutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import tasks
from orchestrator.step import Step
from orchestrator.store.store import Store

POINTS = ("generations_row", "detection_row", "defense_row", "classification_row", "rank")
"""Tasks that end a point in a row."""
WORDS = (
    *("trigger", "judge_trigger", "target_class", "sampler", "clip"),
    *("detector", "classifier", "weights", "image_set"),
    *("noise_model", "stages", "reduction"),
)
"""Columns of a row that hold words; all others hold numbers."""
LISTED = 4  # points that a message lists


@dataclass(frozen=True)
class Recorded:
    """A finished step: its folder from the store, and what its record says."""

    path: str
    digest: str
    task: str
    settings: Mapping[str, Any]
    sources: Mapping[str, str]
    """Digests of what it was computed from, by role."""
    identity: Mapping[str, Any]
    versions: Mapping[str, Any]
    """Of the software that made it."""

    @property
    def name(self) -> str:
        """The readable part of its path; of a point, what ``plan`` calls it."""
        return self.path.partition("/")[2].removesuffix(f"-{self.digest}")

    def goes_by(self, wanted: str) -> bool:
        """Whether these words are its name, path or folder, or the start of its digest."""
        names = (self.name, self.path, self.path.partition("/")[2])
        return wanted in names or self.digest.startswith(wanted)


class Library:
    """Every finished step of a store, read once."""

    def __init__(self, store: Store) -> None:
        self.store = store

    @cached_property
    def steps(self) -> Mapping[str, Recorded]:
        """Finished steps by digest."""
        modules = pkgutil.walk_packages(tasks.__path__, "tasks.")
        names = [module.name.rpartition(".")[2] for module in modules if not module.ispkg]
        found = (_recorded(*record) for name in names for record in self.store.records(name))
        return {step.digest: step for step in found if step}

    @cached_property
    def points(self) -> list[Recorded]:
        """Those that end a point, by path."""
        found = [step for step in self.steps.values() if step.task in POINTS]
        return sorted(found, key=lambda step: step.path)

    def point(self, wanted: str) -> Recorded:
        """The one finished point with a name, path or start of a digest; or raise ValueError."""
        found = [step for step in self.points if wanted and step.goes_by(wanted)]
        if len(found) == 1:
            return found[0]
        if not found:
            raise ValueError(f"no finished point goes by {wanted!r}; {self._instead(wanted)}")
        some = ", ".join(step.path for step in found[:LISTED])
        more = f" and {len(found) - LISTED} more" if len(found) > LISTED else ""
        raise ValueError(
            f"{len(found)} finished points go by {wanted!r}: {some}{more}; give more of a digest."
        )

    def row(self, point: Recorded) -> dict[str, Any]:
        """What a point measured, or a ValueError where its ``metrics.json`` holds no row."""
        step = cast("Step", point)  # the store asks a step for its path and its identity alone
        if (damage := self.store.damage(step, content=True)) is not None:
            raise ValueError(f"{point.path}: {damage}; run its study again.")
        try:
            row = json.loads((self.store.folder(step) / "metrics.json").read_text())
        except (OSError, ValueError):
            row = None
        if not isinstance(row, dict) or not all(_fits(*item) for item in row.items()):
            raise ValueError(f"{point.path}: its metrics.json holds no row; run its study again.")
        return row

    def ancestry(self, point: Recorded) -> Iterator[Recorded]:
        """Yield a point and every recorded step that it was computed from."""
        seen: set[str] = set()
        waiting = [point.digest]
        while waiting:
            digest = waiting.pop()
            if digest not in seen and (step := self.steps.get(digest)) is not None:
                waiting.extend(step.sources.values())
                yield step
            seen.add(digest)

    def _instead(self, wanted: str) -> str:
        """What to type in place of a name that matches nothing."""
        if not self.points:
            place = self.store.address
            return f"{place} holds no finished point. Run a study first, or give --store."
        near = difflib.get_close_matches(wanted, [step.name for step in self.points], n=1)
        if near:
            return f"did you mean {near[0]}? `castlewalls plan STUDY` says what is finished."
        return "give a name, a path or a digest as `castlewalls plan STUDY` prints it."


def _recorded(path: str, record: Mapping[str, Any]) -> Recorded | None:
    """A step from its record; None where the record describes no step of this folder."""
    try:
        identity, versions = dict(record["identity"]), dict(record.get("versions", {}))
        task, settings = identity["task"], dict(identity["settings"])
        sources = {**identity["inputs"], **identity["streams"]}
        text = json.dumps(identity, sort_keys=True, allow_nan=False)
    except (KeyError, TypeError, ValueError):  # NaN identifies nothing
        return None
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    named = path.startswith(f"{task}/") and path.endswith(f"-{digest}") and path.isprintable()
    if not named or not all(isinstance(source, str) for source in sources.values()):
        return None
    return Recorded(path, digest, task, settings, sources, identity, versions)


def _fits(column: str, value: Any) -> bool:
    """Whether a row's column holds what belongs in it."""
    return value is None or isinstance(value, str if column in WORDS else int | float)
