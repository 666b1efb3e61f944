"""Checkpoints of trainings, kept outside the unpublished result.

They lie under ``<store>/.checkpoints/<digest>/<attempt>/<step>/`` with a record written last, so
an interrupted training of any attempt is taken up at its newest whole checkpoint.
"""

import logging
import shutil
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

from orchestrator.step import Step
from orchestrator.store import Store, folder_damage, write_record

log = logging.getLogger(__name__)

KEPT = 2
"""Checkpoints kept of one attempt: the newest, and one more in case it is damaged."""


class Checkpoints:
    """The checkpoints of one training step."""

    def __init__(self, store: Store, step: Step) -> None:
        self.root = store.root / ".checkpoints" / step.digest
        self.attempt = self.root / uuid.uuid4().hex[:8]

    def newest(self) -> Path | None:
        """The newest whole checkpoint of any attempt; damaged ones are said and passed over."""
        found = (path for path in self.root.glob("*/*") if path.name.isdigit())
        for path in sorted(found, key=lambda path: int(path.name), reverse=True):
            if (damage := folder_damage(path)) is None:
                return path
            log.warning("checkpoint %s is passed over: %s", path, damage)
        return None

    def publish(self, position: int, save: Callable[[Path], None]) -> None:
        """Write a checkpoint to a private place and move it in whole; drop the oldest."""
        final = self.attempt / f"{position:09d}"
        private = self.attempt / f".{final.name}"
        private.mkdir(parents=True)
        save(private)
        write_record(private, {"position": position})
        private.rename(final)
        for old in sorted(self.attempt.glob("[0-9]*"))[:-KEPT]:
            shutil.rmtree(old, ignore_errors=True)

    def clear(self) -> None:
        """Remove the checkpoints of every attempt: the step is published."""
        shutil.rmtree(self.root, ignore_errors=True)


class Reporter:
    """What a ``fit`` reports to: notes progress and takes a checkpoint when one is due."""

    def __init__(
        self,
        checkpoints: Checkpoints,
        every_seconds: float,
        note: Callable[[int, Mapping[str, float]], None],
    ) -> None:
        self.checkpoints = checkpoints
        self.every_seconds = every_seconds
        self.note = note
        self.last = time.monotonic()

    def __call__(
        self, step: int, metrics: Mapping[str, float], save: Callable[[Path], None]
    ) -> None:
        """Note the metrics; save if ``every_seconds`` went by since the last checkpoint."""
        self.note(step, metrics)
        if time.monotonic() - self.last >= self.every_seconds:
            self.checkpoints.publish(step, save)
            self.last = time.monotonic()
