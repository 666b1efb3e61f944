"""What MLflow does not have yet: a small file a launch, which goes when all of it has arrived.

It is written before anything is sent, so it outlives a server that is away and a driver that is
killed; the next launch of the study reads it and sends the rest.
"""

import json
import re
import threading
import time
import uuid
from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from orchestrator.store.store import Store

FOLDER = ".mlflow-unsent"


class Launch:
    """One launch, as MLflow is to have it, and what of it has not arrived.

    Args:
        path: Its file.
        content: What the file holds or will hold: ``experiment``; ``name`` and ``tags`` of its
            run; ``began``, ms since 1970; ``digests`` of the points that are not sent; ``ended``
            and ``report``, a folder's path in the store, once the launch has ended.
    """

    def __init__(self, path: Path, content: Mapping[str, Any]) -> None:
        self.path = path
        self.experiment = str(content["experiment"])
        self.name = str(content["name"])
        self.tags = {str(name): str(value) for name, value in content["tags"].items()}
        self.began = int(content["began"])
        self.digests = set(map(str, content["digests"]))
        self.ended = bool(content["ended"])
        self.report = None if content["report"] is None else str(content["report"])
        self._lock = threading.Lock()

    @property
    def id(self) -> str:
        """Twelve hex digits."""
        return self.path.stem

    def begin(self) -> None:
        """Remember it from now on."""
        with self._lock:
            self._save()

    def sent(self, digests: Collection[str]) -> None:
        """Take these off the list."""
        with self._lock:
            if self.digests & set(digests):
                self.digests.difference_update(digests)
                self._save()

    def end(self, finished: Collection[str], report: Path | None) -> None:
        """Nothing more will come of it but the finished points that are still unsent."""
        with self._lock:
            self.ended = True
            if report and report.is_relative_to(self.path.parents[1]):
                self.report = report.relative_to(self.path.parents[1]).as_posix()
            self.digests.intersection_update(finished)
            self._save()

    def report_folder(self) -> Path | None:
        """The report, if there is one and it lies among the store's reports."""
        root = self.path.parents[1].resolve()
        folder = root / self.report if self.report else None
        inside = folder is not None and folder.resolve().is_relative_to(root / "reports")
        return folder if inside else None

    def forget(self) -> None:
        """All of it has arrived."""
        with self._lock:
            self.path.unlink(missing_ok=True)

    def _save(self) -> None:
        names = ("experiment", "name", "tags", "began", "ended", "report")
        content = {name: getattr(self, name) for name in names}
        partial = self.path.with_suffix(".partial")
        with suppress(OSError):  # a full disk is for others to tell; a run does not end for this
            self.path.parent.mkdir(parents=True, exist_ok=True)
            partial.write_text(json.dumps({**content, "digests": sorted(self.digests)}))
            partial.rename(self.path)


def new(store: Store, experiment: str, named: Mapping[str, str], digests: Iterable[str]) -> Launch:
    """A launch that begins now; ``named`` holds its tags and, as ``name``, what it is called."""
    content = {
        "experiment": experiment,
        "name": named["name"],
        "tags": named,
        "began": int(time.time() * 1000),
        "digests": list(digests),
        "ended": False,
        "report": None,
    }
    return Launch(store.root / FOLDER / f"{uuid.uuid4().hex[:12]}.json", content)


def left(store: Store, experiment: str | None = None) -> list[Launch]:
    """Launches that were not sent whole, oldest first; unreadable files are passed over.

    Args:
        store: Whose results they made.
        experiment: Only those of this one.
    """
    found = []
    for path in (store.root / FOLDER).glob("*.json"):
        with suppress(OSError, ValueError, KeyError, AttributeError, TypeError):
            launch = Launch(path, json.loads(path.read_text()))
            if re.fullmatch("[0-9a-f]{12}", launch.id) and experiment in (None, launch.experiment):
                found.append(launch)
    return sorted(found, key=lambda launch: (launch.began, launch.id))
