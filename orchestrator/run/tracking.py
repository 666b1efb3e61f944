"""Mirror finished points and trainings to MLflow: it never decides anything.

An experiment is a study, a parent run is one launch that ran something, a child run is a point,
and every trained model has a run of its own with its loss curve.  The driver is the only writer,
from one thread, and nothing waits for it or fails with it.  A server that is away is tried again
while the run lasts; what it lacks at the end is remembered in the store and sent by the next
launch, under the launch that made it.
"""

import os
import re
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path

from orchestrator import choices
from orchestrator.run import unsent
from orchestrator.run.mlflow_runs import QUIET, Runs, own_database
from orchestrator.store.store import Store
from orchestrator.studies.study import Point

__all__ = ["PATIENCE_SECONDS", "QUIET", "Mirror", "behind", "catch_up", "uri"]

PATIENCE_SECONDS = 60.0
"""How long the end of a run waits for what is still to be sent."""
RETRY_SECONDS = 10.0
"""Between two tries while a server is away."""
LONGEST_REASON = 160
"""Characters of what the server said, at most."""


def uri(store: Store) -> str:
    """``MLFLOW_TRACKING_URI`` if set, else SQLite beside the results on this machine."""
    named = os.environ.get("MLFLOW_TRACKING_URI") or own_database(store)
    if named.startswith(file := "sqlite:///~"):
        named = f"sqlite:///{choices.path(named[len(file) - 1 :], 'MLFLOW_TRACKING_URI')}"
    return named


def behind(store: Store) -> bool:
    """Whether MLflow lacks something of an earlier launch.  Asks the store alone."""
    return bool(unsent.left(store))


def catch_up(store: Store, experiment: str, points: Iterable[Point]) -> str | None:
    """Send what earlier launches could not, of these points.

    Args:
        store: Where the results are.
        experiment: The study's name.
        points: Finished points of the study; what others lack stays remembered.

    Returns:
        None if nothing of them was missing, else one line: what was sent, or why not.
    """
    mirror = Mirror(store, experiment, None, points := list(points))
    if not mirror.lacking():
        return None
    mirror.add(points)
    mirror.start()
    if remark := mirror.close(None):
        return remark
    sent = "1 point" if mirror.sent == 1 else f"{mirror.sent} points"
    return mirror.remark(f"was behind; it now has what earlier launches could not send ({sent})")


class Mirror(threading.Thread):
    """Sends finished points and their trainings, in the background.

    Args:
        store: Where the results are.
        experiment: The study's name.
        launch: Name and tags of this launch, the parent run; None to finish earlier ones only.
        points: All points of the launch, finished or not.  They are remembered as unsent until
            MLflow has them, so that the launch after a killed one sends what that one made.
    """

    def __init__(
        self,
        store: Store,
        experiment: str,
        launch: Mapping[str, str] | None,
        points: Iterable[Point],
    ) -> None:
        super().__init__(name="mlflow", daemon=True)
        self.store, self.experiment = store, experiment
        self.expected = {point.measure.digest for point in points}
        self.finished: dict[str, Point] = {}
        self.earlier = unsent.left(store, experiment)
        self.launch = launch and unsent.new(store, experiment, launch, self.expected)
        self.failure: str | None = None
        self.sent = 0
        self._woken, self._closing = threading.Event(), threading.Event()

    def lacking(self) -> bool:
        """Whether an earlier launch has something that can be sent or finished now."""
        return any(not left.digests or self.expected & left.digests for left in self.earlier)

    def add(self, points: Iterable[Point]) -> None:
        """Send these when there is time; finished ones only."""
        self.finished |= {point.measure.digest: point for point in points}
        self._woken.set()

    def close(self, report: Path | None) -> str | None:
        """Wait for what is still to be sent, the report among it.

        Returns:
            None, or one line saying why MLflow lacks something.
        """
        if self.launch:
            self.launch.end(self.finished.keys(), report)
        self._closing.set()
        self._woken.set()
        self.join(PATIENCE_SECONDS)
        if self.is_alive():
            return self.remark("is slow; the next launch sends the rest")
        if self.failure:
            return self.remark(
                f"did not take the results ({self.failure}); they are in the store, and the next "
                f"launch sends them"
            )
        return None

    def remark(self, text: str) -> str:
        """A line about the server."""
        return f"MLflow at {_without_secrets(uri(self.store))} {text}"

    def run(self) -> None:
        """Send until closed; what fails is tried again a little later, and once at the end."""
        runs: Runs | None = None
        last = begun = False
        while not last:
            self._woken.clear()
            last = self._closing.is_set()
            try:
                begun = begun or self._begin()
                runs = runs or Runs(uri(self.store), self.experiment, self.store)
                self._send(runs)
                if last and self.launch:
                    self._conclude(self.launch, runs)
                self.failure = None
            except Exception as error:  # tracking mirrors: whatever it says must not end a run
                self.failure, runs = _said(error), None
            if not last:
                self._woken.wait(RETRY_SECONDS if self.failure else None)

    def _begin(self) -> bool:
        """Remember this launch, and leave to earlier ones only what they made."""
        if self.launch:
            self.launch.begin()
        for left in self.earlier:
            left.sent(self.expected - self.finished.keys())
        return True

    def _send(self, runs: Runs) -> None:
        """Send what is finished, that of earlier launches first, as theirs."""
        for left in list(self.earlier):
            left.sent(runs.there)
            if not left.digests or left.digests & self.finished.keys():
                self._send_of(left, runs)
            if not left.digests:
                self._conclude(left, runs)
            self.earlier.remove(left)
        if self.launch:
            self.launch.sent(runs.there)
            self._send_of(self.launch, runs)

    def _send_of(self, launch: unsent.Launch, runs: Runs) -> None:
        parent = runs.open(launch)
        for digest, point in list(self.finished.items()):
            if digest in launch.digests:
                runs.send(point, parent)
                launch.sent([digest])
                self.sent += 1

    def _conclude(self, launch: unsent.Launch, runs: Runs) -> None:
        runs.close(launch)
        launch.forget()


def _said(error: Exception) -> str:
    """The reason in one short line."""
    text = _without_secrets(" ".join(f"{type(error).__name__}: {error}".split()))
    return text if len(text) <= LONGEST_REASON else f"{text[:LONGEST_REASON]}..."


def _without_secrets(text: str) -> str:
    """The text without the users and passwords that addresses in it may hold."""
    text = re.sub(r"//\S*@", "//", text)
    return re.sub(r"(?i)([?&][^=&\s]*(?:password|secret|token)[^=&\s]*=)[^&\s]*", r"\1...", text)
