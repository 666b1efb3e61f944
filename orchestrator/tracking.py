"""Mirror finished points and trainings to MLflow: it never decides anything.

An experiment is a study, a parent run is one launch that ran something, a child run is a point,
and every trained model has a run of its own with its loss curve.  What is there already is found
by a digest tag, so a server that was away is caught up by the next launch.  The driver is the only
writer, from one thread, and nothing waits for it or fails with it.
"""

import csv
import json
import logging
import os
import queue
import re
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from orchestrator.step import Step, ancestors
from orchestrator.store import Store
from orchestrator.studies.study import Point

QUIET = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_ENABLE_ASYNC_LOGGING": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
}
DIGEST = "castlewalls.digest"
PATIENCE_SECONDS = 60.0
"""How long the end of a run waits for what is still to be sent."""
SEEN_PIXELS = 64
"""Height to which smaller images are enlarged for MLflow's pages."""
BATCH = 500
"""Metrics of one request, at most."""


def uri(store: Store) -> str:
    """``MLFLOW_TRACKING_URI`` if set, else SQLite in the store."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{store.root / 'mlflow.db'}"


class Mirror(threading.Thread):
    """Sends finished points and their trainings, in the background.

    Args:
        store: Where the results are.
        experiment: The study's name.
        launch: Name and tags of this launch, the parent run.
    """

    def __init__(self, store: Store, experiment: str, launch: Mapping[str, str]) -> None:
        super().__init__(name="mlflow", daemon=True)
        self.store, self.experiment, self.launch = store, experiment, dict(launch)
        self.waiting: queue.Queue[Point | None] = queue.Queue()
        self.failure: str | None = None
        self.report: Path | None = None
        self.client: Any = None
        self.ids: dict[str, str] = {}

    def add(self, points: Iterable[Point]) -> None:
        """Send these when there is time; finished ones only."""
        for point in points:
            self.waiting.put(point)

    def close(self, report: Path | None) -> str | None:
        """Wait for what is still to be sent, the report among it.

        Returns:
            None, or one line saying why MLflow lacks something.
        """
        self.report = report
        self.waiting.put(None)
        self.join(PATIENCE_SECONDS)
        if self.is_alive():
            return self._remark("is slow; the next launch sends the rest")
        if self.failure:
            return self._remark(
                f"did not take the results ({self.failure}); they are in the store, and the next "
                f"launch sends them"
            )
        return None

    def _remark(self, text: str) -> str:
        """A line about the server, without the password that its address may hold."""
        return re.sub(r"//[^/@\s]*@", "//", f"MLflow at {uri(self.store)} {text}")

    def run(self) -> None:
        """Open the experiment, then send until told that there is no more."""
        try:
            self._open()
            while (point := self.waiting.get()) is not None:
                self._send(point)
            if self.report:
                self.client.log_artifacts(self.ids["launch"], str(self.report), "report")
            self.client.set_terminated(self.ids["launch"])
        except Exception as error:  # tracking mirrors: whatever it says must not end a run
            self.failure = " ".join(f"{type(error).__name__}: {error}".split())[:120]

    def _open(self) -> None:
        os.environ.update({name: os.environ.get(name, value) for name, value in QUIET.items()})
        logging.getLogger("alembic").setLevel(logging.ERROR)
        from mlflow import MlflowClient

        self.client = MlflowClient(uri(self.store))
        found = self.client.get_experiment_by_name(self.experiment)
        if found is None:
            local = uri(self.store).startswith("sqlite:")
            place = (self.store.root / "mlflow-artifacts").as_uri() if local else None
            self.ids["experiment"] = self.client.create_experiment(self.experiment, place)
        else:
            self.ids["experiment"] = found.experiment_id
        self.ids["launch"] = self._create("launch", self.launch["name"], self.launch)

    def _send(self, point: Point) -> None:
        for training in trainings(point.measure):
            if self.store.has(training) and not self._has(training.digest):
                self._send_training(training)
        if self.store.has(point.measure) and not self._has(point.measure.digest):
            self._send_point(point)

    def _has(self, digest: str) -> bool:
        query = f"tags.`{DIGEST}` = '{digest}' and attributes.status = 'FINISHED'"
        return bool(self.client.search_runs([self.ids["experiment"]], query, max_results=1))

    def _create(self, kind: str, name: str, tags: Mapping[str, str]) -> str:
        parent = {"mlflow.parentRunId": self.ids["launch"]} if "launch" in self.ids else {}
        tags = {**tags, **parent, "castlewalls.kind": kind}
        run = self.client.create_run(self.ids["experiment"], run_name=name, tags=tags)
        return str(run.info.run_id)

    def _send_point(self, point: Point) -> None:
        folder = self.store.folder(point.measure)
        row = json.loads((folder / "metrics.json").read_text())
        tags = {DIGEST: point.measure.digest, "castlewalls.path": point.measure.path}
        tags |= DEFINITIONS.get(point.measure.task, {})
        if row.get("p_t") is not None:
            tags["p_t"] = str(row["p_t"])
        run = self._create("point", point.name, tags)
        numbers = {
            name: value
            for name, value in row.items()
            if isinstance(value, int | float) and name not in point.axes
        }
        axes = {name: value for name, value in point.axes.items() if value is not None}
        self._log(run, axes, [(name, value, 0) for name, value in numbers.items()])
        self.client.log_artifact(run, str(folder / "metrics.json"))
        for name, picture in pictures(folder / "groups.npz"):
            self.client.log_image(run, picture, artifact_file=f"{name}.png")
        self.client.set_terminated(run)

    def _send_training(self, step: Step) -> None:
        folder = self.store.folder(step)
        tags = {DIGEST: step.digest, "castlewalls.path": step.path}
        run = self._create("training", step.path.rpartition("-")[0], tags)
        settings = step.identity["settings"]
        parameters = {name: value for name, value in settings.items() if value is not None}
        self._log(run, parameters, loss_curve(folder / "history.csv"))
        self.client.set_terminated(run)

    def _log(
        self, run: str, parameters: Mapping[str, Any], metrics: Sequence[tuple[str, float, int]]
    ) -> None:
        import time

        from mlflow.entities import Metric, Param

        now = int(time.time() * 1000)
        entries = [Metric(name, float(value), now, step) for name, value, step in metrics]
        params = [Param(name, str(value)[:500]) for name, value in parameters.items()]
        self.client.log_batch(run, params=params)
        for first in range(0, len(entries), BATCH):
            self.client.log_batch(run, metrics=entries[first : first + BATCH])


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


def trainings(measure: Step) -> list[Step]:
    """The models that a point rests on."""
    return [step for step in ancestors([measure]) if step.shape == "fit"]


def loss_curve(path: Path) -> list[tuple[str, float, int]]:
    """Every column of a training's history by its step."""
    if not path.exists():
        return []
    with path.open(newline="") as stream:
        return [
            (name, float(value), int(row["step"]))
            for row in csv.DictReader(stream)
            for name, value in row.items()
            if name != "step"
        ]


POISONING = {
    "definition.poison_ratio": "poisoned images / all training images",
    "definition.p_t": "poisoned / (poisoned + target-class images): pN / (pN + N_t)",
    "definition.guidance_weight": "e_u + w (e_c - e_u); 1 is none; their DDPM's weight is w - 1",
    "definition.groups": "g1 trigger+mismatch, g2 trigger+match, g3 mismatch only, g4 match only",
}
DEFINITIONS = {
    "measure": {
        **POISONING,
        "definition.interval": "95 % Wilson, conditional on the trained model",
    },
    "evaluate": {
        **POISONING,
        "definition.suspicion": "a detector's score of an image; higher is more likely poisoned",
        "definition.positives": "training: the manifest's poison; generation: the judge's trigger "
        "verdict (g1 and g2)",
        "definition.auroc": "chance that a positive is more suspicious than a negative, ties half; "
        "never flipped",
        "definition.attack_success_rate": "triggered non-target test images that the classifier "
        "takes for the target",
        "definition.interval": "95 % percentile bootstrap over images, drawn within positives and "
        "within negatives, conditional on the trained models; of test_accuracy and "
        "attack_success_rate 95 % Wilson",
    },
}
"""By the task that ends a point: what the words of its row mean."""
