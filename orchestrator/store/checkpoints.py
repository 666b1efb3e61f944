"""Checkpoints of trainings: ``<store>/.checkpoints/<digest>/<attempt>/<step>/``, record last.

A training that was interrupted continues from the newest whole one of any attempt, on any node.
"""

import logging
import shutil
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path, PurePosixPath

from orchestrator.step import Step
from orchestrator.store.record import write_record
from orchestrator.store.store import Store

log = logging.getLogger(__name__)

Note = Callable[[int, Mapping[str, float]], None]
"""Called with a step's progress (training steps, or images) and its latest metrics."""

FOLDER = ".checkpoints"
KEPT = 2  # checkpoints kept of one attempt: the newest, and one more in case it is damaged


class Checkpoints:
    """The checkpoints of one training step, and of one attempt at it, also where unpickled."""

    def __init__(self, store: Store, step: Step) -> None:
        self.store = store
        self.path = f"{FOLDER}/{step.digest}"
        self.name = uuid.uuid4().hex[:8]
        self.published: list[str] = []

    @property
    def root(self) -> Path:
        """Where those of every attempt lie on this machine."""
        return self.store.root / self.path

    @property
    def attempt(self) -> Path:
        """Where those of this attempt lie on this machine."""
        return self.root / self.name

    def position(self) -> int:
        """The position of the newest checkpoint of any attempt; 0 when there is none."""
        return next((int(path.name) for path in self._listed()), 0)

    def newest(self) -> Path | None:
        """The newest whole checkpoint of any attempt, on this machine; its name is its position."""
        for path in self._listed():
            where = self.store.root / path
            if (damage := self.store.bring(str(path))) is None:
                return where
            log.warning("checkpoint %s is skipped: %s", where, damage)
        return None

    def _listed(self) -> list[PurePosixPath]:
        """Every checkpoint as a path from the store, the newest first."""
        found = [PurePosixPath(path) for path in self.store.marked(self.path)]
        numbered = [path for path in found if path.name.isdigit()]
        return sorted(numbered, key=lambda path: int(path.name), reverse=True)

    def named(self, name: str) -> Path:
        """Bring the checkpoint ``<attempt>/<step>`` to this machine, or raise OSError."""
        if damage := self.store.bring(f"{self.path}/{name}"):
            raise OSError(f"checkpoint {self.path}/{name}: {damage}")
        return self.root / name

    def publish(self, position: int, save: Callable[[Path], None]) -> None:
        """Write a checkpoint to a private folder, publish it whole, and remove the oldest."""
        final = self.attempt / f"{position:09d}"
        private = self.attempt / f".{final.name}"
        private.mkdir(parents=True)
        save(private)
        write_record(private, {"position": position})
        private.rename(final)
        self.store.keep(final)
        if self.store.remote:  # it is copied back where it is needed, which may be elsewhere
            shutil.rmtree(final)
        self.published.append(final.name)
        while len(self.published) > KEPT:
            self.store.remove(f"{self.path}/{self.name}/{self.published.pop(0)}")

    def clear(self) -> None:
        """Remove the checkpoints of every attempt: the step is published."""
        self.store.remove(self.path)


def reporter(checkpoints: Checkpoints, seconds: float, note: Note) -> Callable[..., None]:
    """What a ``fit`` reports to: it notes progress, and saves when the last one is seconds old."""
    last = time.monotonic()

    def report(step: int, metrics: Mapping[str, float], save: Callable[[Path], None]) -> None:
        nonlocal last
        note(step, metrics)
        if time.monotonic() - last >= seconds:
            checkpoints.publish(step, save)
            last = time.monotonic()

    return report
