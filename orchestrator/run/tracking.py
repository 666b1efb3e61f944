"""Mirror finished points and trainings to MLflow, from one thread; nothing waits or fails with it.

An experiment is a study, a parent run a launch, a child run a point or a training.  MLflow lacks
what has no finished run with its step's digest as a tag: the next try or launch sends that.
"""

import csv
import json
import logging
import os
import re
import threading
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from orchestrator.step import Step, ancestors, brief
from orchestrator.store.store import Store
from orchestrator.studies.study import Point

PATIENCE_SECONDS = 60.0  # how long the end of a run waits for what is still to be sent
RETRY_SECONDS = 10.0  # between two tries while a server is away
LONGEST_REASON = 160  # characters of an error of the server's that are shown, at most
BEHIND = ".mlflow-behind"  # folder of empty files: the reports whose points MLflow may lack
QUIET = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_ENABLE_ASYNC_LOGGING": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
"""MLflow's environment, unless the user has set it."""
DIGEST, LAUNCH, KIND = "castlewalls.digest", "castlewalls.launch", "castlewalls.kind"
"""Tags: the digest of a step, a launch's id, and whether it is a point, training or launch."""
DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
"""Schemes of addresses without a server that keeps files."""
SEEN_PIXELS = 64  # height to which smaller images are enlarged for MLflow's pages
BATCH, PAGE = 500, 1000  # metrics of one request and runs of one answer, at most
DEFINITIONS = {
    "poison_ratio": "Poison ratio p",
    "p_t": "p_t",
    "guidance_weight": "Guidance weight w",
    "g1": "G1, G2, G3, G4",
    "g1_low": "Intervals",
    "auroc": "AUROC",
    "auroc_low": "Intervals of AUROCs",
    "detector": "Positives, negatives",
    "test_accuracy": "Test accuracy (TA)",
    "attack_success_rate": "Attack success rate (ASR)",
    "attack_success_rate_low": "Intervals over test images",
    "filter_ratio": "Filter ratio",
}
"""Column of a row to the glossary's term that defines it."""


def uri(store: Store) -> str:
    """``MLFLOW_TRACKING_URI`` if set, else SQLite beside the results on this machine."""
    named = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{_own_database(store)}"
    if named.startswith(file := "sqlite:///~"):
        named = f"sqlite:///{os.path.expanduser(named[len(file) - 1 :])}"  # noqa: PTH111 - no error
    return named


def behind(store: Store, label: str) -> bool:
    """Whether MLflow may lack points of a report.  Asks the store alone."""
    return (store.root / BEHIND / label).exists()


def measured(
    row: Mapping[str, Any], axes: Mapping[str, Any], columns: Sequence[str] = ()
) -> dict[str, float]:
    """The numbers of a row that are no axes, in its order, but those in ``columns`` first."""
    numbers = {
        name: value
        for name, value in row.items()
        if isinstance(value, int | float) and not isinstance(value, bool) and name not in axes
    }
    return {name: numbers[name] for name in columns if name in numbers} | numbers


class Mirror(threading.Thread):
    """Sends finished points and their trainings, in the background."""

    def __init__(
        self, store: Store, study: str, label: str, launch: Mapping[str, str], *columns: str
    ) -> None:
        super().__init__(name="mlflow", daemon=True)
        self.store, self.study, self.columns = store, study, columns
        self.launch = {LAUNCH: uuid.uuid4().hex[:12], KIND: "launch", **launch}
        self.began = int(time.time() * 1000)
        self.marker = store.root / BEHIND / label
        self.finished: dict[str, tuple[Step, Point | None]] = {}
        """Trainings, each before the points that rest on it; a point with itself."""
        self.report: Path | None = None
        self.failure: str | None = None
        self._woken, self._closing = threading.Event(), threading.Event()

    def add(self, points: Iterable[Point]) -> None:
        """Send these when there is time; finished ones only."""
        for point in points:
            models = (step for step in ancestors([point.measure]) if step.shape == "fit")
            self.finished |= {step.digest: (step, None) for step in models}
            self.finished[point.measure.digest] = point.measure, point
        self._woken.set()

    def close(self, report: Path | None) -> str | None:
        """Wait for what is still to be sent, and the report; say in a line what MLflow lacks."""
        self.report = report
        self._closing.set()
        self._woken.set()
        self.join(PATIENCE_SECONDS)
        server = f"MLflow at {_without_secrets(uri(self.store))}"
        if self.is_alive():
            return f"{server} is slow; the next launch sends the rest"
        if self.failure:
            return (
                f"{server} did not take the results ({self.failure}); they are in the store, and "
                f"the next launch sends them"
            )
        with suppress(OSError):  # of a store that may only be read
            self.marker.unlink(missing_ok=True)
        return None

    def run(self) -> None:
        """Send until closed; what fails is tried again a little later, and once at the end."""
        with suppress(OSError):  # a full disk is for others to report
            self.marker.parent.mkdir(parents=True, exist_ok=True)
            self.marker.touch()
        runs: Runs | None = None
        last = False
        while not last:
            self._woken.clear()
            last = self._closing.is_set()
            try:
                runs = runs or Runs(uri(self.store), self.study, self.store, self.columns)
                if last:
                    runs.look()  # another driver may have sent the same meanwhile
                self._send(runs, last)
                self.failure = None
            except Exception as error:  # tracking mirrors: whatever it says must not end a run
                self.failure, runs = _reason(error), None
            if not last:
                self._woken.wait(RETRY_SECONDS if self.failure else None)

    def _send(self, runs: "Runs", last: bool) -> None:
        """Send what MLflow lacks and the store has whole."""
        lacking = [
            (step, point)
            for step, point in list(self.finished.values())
            if not runs.finished(step) and self.store.damage(step, content=True) is None
        ]
        launch = runs.run(self.launch[LAUNCH], self.launch["name"], self.launch, self.began)
        for step, point in lacking:
            runs.send(step, point, launch)
        if last:
            if self.report and self.report.is_dir():
                runs.client.log_artifacts(launch.info.run_id, str(self.report), "report")
            runs.client.set_terminated(launch.info.run_id)


class Runs:
    """The runs of one experiment, which is made if it is not there; any method may raise."""

    def __init__(self, address: str, study: str, store: Store, columns: Sequence[str] = ()) -> None:
        os.environ.update({name: os.environ.get(name, value) for name, value in QUIET.items()})
        for name in ("alembic", "urllib3"):
            logging.getLogger(name).setLevel(logging.ERROR)
        from mlflow import MlflowClient

        self.store, self.columns = store, columns
        if address == f"sqlite:///{_own_database(store)}":
            make_database(_own_database(store))
        self.client = MlflowClient(address)
        self.experiment = self._experiment(address, study)
        self.runs: dict[str, Any] = {}  # by the digest or the launch's id in their tags
        self.look()

    def _experiment(self, address: str, name: str) -> str:
        found = self.client.get_experiment_by_name(name)
        if found is None:
            own = address.startswith(DATABASES)
            place = (self.store.root / "mlflow-artifacts").as_uri() if own else None
            return str(self.client.create_experiment(name, place))
        number = found.experiment_id
        if found.lifecycle_stage != "active":
            raise ValueError(f"its experiment was deleted; mlflow experiments restore -x {number}")
        return str(number)

    def look(self) -> None:
        """Ask MLflow which runs there are, and delete all but the oldest of two drivers' doubles.

        A driver that is still writing into a deleted one gets an error, and looks again.
        """
        ask = partial(self.client.search_runs, [self.experiment], max_results=PAGE)
        page = ask()
        every = list(page)
        while page.token:
            page = ask(page_token=page.token)
            every += page
        known = set()
        for run in sorted(every, key=lambda run: (run.info.start_time, run.info.run_id)):
            if key := run.data.tags.get(DIGEST) or run.data.tags.get(LAUNCH):  # else not ours
                if key in known:
                    self.client.delete_run(run.info.run_id)
                else:
                    known.add(key)
                    self.runs[key] = run

    def run(self, key: str, name: str, tags: Mapping[str, str], began: int | None = None) -> Any:
        """The run with a digest or a launch's id, made if it is not there."""
        if key not in self.runs:
            self.runs[key] = self.client.create_run(self.experiment, began, dict(tags), name)
        return self.runs[key]

    def finished(self, step: Step) -> bool:
        """Whether a step has a run that is complete."""
        run = self.runs.get(step.digest)
        return run is not None and run.info.status == "FINISHED"

    def send(self, step: Step, point: Point | None, launch: Any) -> None:
        """Send a training, or the step in which a point ends, as a child of a launch's run."""
        from mlflow.entities import Metric, Param

        from analysis.page.glossary import GLOSSARY

        folder = self.store.fetch(step)
        tags = {"castlewalls.path": step.path, "mlflow.parentRunId": launch.info.run_id}
        tags |= {DIGEST: step.digest, KIND: "point" if point else "training"}
        if point:
            row = json.loads((folder / "metrics.json").read_text())
            for column, term in DEFINITIONS.items():
                if row.get(column) is not None:
                    tags[f"definition.{column}"] = f"{term}: {GLOSSARY[term]}"
            if row.get("p_t") is not None:
                tags["p_t"] = str(row["p_t"])
            name, parameters = point.name, point.axes
            numbers = measured(row, point.axes, self.columns)
            metrics = [(name, value, 0) for name, value in numbers.items()]
        else:
            name, parameters = step.path.rpartition("-")[0], brief(step.identity["settings"])
            metrics = loss_curve(folder / "history.csv")
        run = self.run(step.digest, name, tags)
        number, began = run.info.run_id, run.info.start_time
        known = {name: value for name, value in parameters.items() if value is not None}
        params = [Param(name, str(value)[:500]) for name, value in known.items()]
        self.client.log_batch(number, params=params)
        # At the run's own time: sent again, they are the same metrics.
        entries = [Metric(name, float(value), began, place) for name, value, place in metrics]
        for first in range(0, len(entries), BATCH):
            self.client.log_batch(number, metrics=entries[first : first + BATCH])
        if point:
            self.client.log_artifact(number, str(folder / "metrics.json"))
            for group, pixels in pictures(folder / "groups.npz"):
                self.client.log_image(number, pixels, artifact_file=f"{group}.png")
        self.client.set_terminated(number)
        self.runs[step.digest] = self.client.get_run(number)


def _own_database(store: Store) -> Path:
    """The database in the store, for a user without a server."""
    return store.root / "mlflow.db"


def make_database(path: Path) -> None:
    """Make MLflow's database beside its place first: half of one can never be opened."""
    if path.exists():
        return
    from mlflow import MlflowClient

    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex[:6]}")
    try:
        MlflowClient(f"sqlite:///{partial}").search_experiments(max_results=1)
        with suppress(FileExistsError):  # another driver's, which is as good
            os.link(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def pictures(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    """Yield each group's images side by side, enlarged to be seen: uint8, (H, W, 1 or 3)."""
    if not path.exists():
        return
    with np.load(path, allow_pickle=False) as groups:
        for name in groups.files:
            images = groups[name]
            if len(images):
                row = np.concatenate(list(images), axis=1)
                times = max(1, SEEN_PIXELS // row.shape[0])
                yield name, row.repeat(times, axis=0).repeat(times, axis=1)


def loss_curve(path: Path) -> list[tuple[str, float, int]]:
    """Every column of a training's history by its step: (column, value, step)."""
    if not path.exists():
        return []
    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    names = [name for name in rows[0] if name != "step"] if rows else []
    return [(name, float(row[name]), int(row["step"])) for row in rows for name in names]


def _reason(error: Exception) -> str:
    """An error in one short line."""
    text = _without_secrets(" ".join(f"{type(error).__name__}: {error}".split()))
    return text if len(text) <= LONGEST_REASON else f"{text[:LONGEST_REASON]}..."


def _without_secrets(text: str) -> str:
    """The text without the users and passwords that addresses in it may hold."""
    text = re.sub(r"//\S*@", "//", text)
    return re.sub(r"(?i)([?&][^=&\s]*(?:password|secret|token)[^=&\s]*=)[^&\s]*", r"\1...", text)
