"""What an MLflow experiment holds of ours: a run a launch, a run a point, a run a training.

Everything here can be cut off anywhere and done again.  A run is found by a tag that says whose it
is, and of several with the same tag the oldest counts, so an answer that got lost and two drivers
at once leave no double.  Metrics bear their run's own time: sent again, they are the same metrics.
"""

import csv
import json
import logging
import os
import uuid
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from orchestrator.run.headline import telling_first
from orchestrator.run.unsent import Launch
from orchestrator.step import Step, ancestors, brief
from orchestrator.store.store import Store
from orchestrator.studies.study import Point

QUIET = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_ENABLE_ASYNC_LOGGING": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
DIGEST = "castlewalls.digest"
"""Tag of a point's or a training's run: its step's digest."""
LAUNCH = "castlewalls.launch"
"""Tag of a launch's run."""
KIND = "castlewalls.kind"
"""Tag of every run: launch, point or training."""
DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
"""Schemes of addresses behind which there is no server that keeps files for us."""
SEEN_PIXELS = 64
"""Height to which smaller images are enlarged for MLflow's pages."""
BATCH = 500
"""Metrics of one request, at most."""
PAGE = 1000
"""Runs of one answer, at most."""


class Runs:
    """The runs of one experiment, which is made if it is not there.

    Args:
        address: MLflow's tracking URI.
        experiment: The study's name.
        store: Where the results are.

    Raises:
        Exception: Whatever MLflow or the network says, here and in every method.
    """

    def __init__(self, address: str, experiment: str, store: Store) -> None:
        os.environ.update({name: os.environ.get(name, value) for name, value in QUIET.items()})
        for name in ("alembic", "urllib3"):
            logging.getLogger(name).setLevel(logging.ERROR)
        from mlflow import MlflowClient

        self.store = store
        if address == own_database(store):
            make_database(store.root / "mlflow.db")
        self.client = MlflowClient(address)
        self.experiment = self._experiment(address, experiment)
        self.there = self._complete()
        """Digests that need not be sent again."""

    def _experiment(self, address: str, name: str) -> str:
        found = self.client.get_experiment_by_name(name)
        if found is None:
            kept = address.startswith(DATABASES)
            place = (self.store.root / "mlflow-artifacts").as_uri() if kept else None
            return str(self.client.create_experiment(name, place))
        if found.lifecycle_stage != "active":
            raise ValueError(
                f"its experiment {name} was deleted; "
                f"mlflow experiments restore -x {found.experiment_id}"
            )
        return str(found.experiment_id)

    def _complete(self) -> set[str]:
        """Digests that have exactly one run, which is finished."""
        statuses = defaultdict(list)
        token = None
        while True:
            page = self.client.search_runs([self.experiment], max_results=PAGE, page_token=token)
            for run in page:
                statuses[run.data.tags.get(DIGEST, "")].append(run.info.status)
            if not (token := page.token):
                return {digest for digest, found in statuses.items() if found == ["FINISHED"]}

    def open(self, launch: Launch) -> str:
        """The id of a launch's run, which is made if it is not there."""
        tags = {**launch.tags, KIND: "launch"}
        return str(self._only(LAUNCH, launch.id, launch.name, tags, launch.began).info.run_id)

    def close(self, launch: Launch) -> None:
        """Finish a launch's run, with its report; one that came to no end is called killed."""
        run = self.open(launch)
        report = launch.report_folder()
        if report and report.is_dir():
            self.client.log_artifacts(run, str(report), "report")
        self.client.set_terminated(run, "FINISHED" if launch.ended else "KILLED")

    def send(self, point: Point, parent: str) -> None:
        """Send a point and the trainings that it rests on, unless they are there.

        What is not finished in the store, or not whole, is passed over.

        Args:
            point: The point.
            parent: Id of the launch's run.
        """
        for step in trainings(point.measure):
            if step.digest not in self.there and self.store.damage(step, content=True) is None:
                self._send_training(step, parent)
                self.there.add(step.digest)
        digest = point.measure.digest
        if digest not in self.there and self.store.damage(point.measure, content=True) is None:
            self._send_point(point, parent)
            self.there.add(digest)

    def _send_point(self, point: Point, parent: str) -> None:
        folder = self.store.fetch(point.measure)
        row = json.loads((folder / "metrics.json").read_text())
        tags = dict(DEFINITIONS.get(point.measure.task, {}))
        if row.get("p_t") is not None:
            tags["p_t"] = str(row["p_t"])
        run = self._of_step(point.measure, "point", point.name, tags, parent)
        if run.info.status == "FINISHED":
            return
        numbers = {
            name: value
            for name, value in row.items()
            if isinstance(value, int | float) and name not in point.axes
        }
        axes = {name: value for name, value in point.axes.items() if value is not None}
        curve = [(name, value, 0) for name, value in telling_first(numbers).items()]
        self._log(run, axes, curve)
        self.client.log_artifact(run.info.run_id, str(folder / "metrics.json"))
        for name, picture in pictures(folder / "groups.npz"):
            self.client.log_image(run.info.run_id, picture, artifact_file=f"{name}.png")
        self.client.set_terminated(run.info.run_id)

    def _send_training(self, step: Step, parent: str) -> None:
        run = self._of_step(step, "training", step.path.rpartition("-")[0], {}, parent)
        if run.info.status == "FINISHED":
            return
        settings = brief(step.identity["settings"])
        parameters = {name: value for name, value in settings.items() if value is not None}
        self._log(run, parameters, loss_curve(self.store.fetch(step) / "history.csv"))
        self.client.set_terminated(run.info.run_id)

    def _of_step(
        self, step: Step, kind: str, name: str, tags: Mapping[str, str], parent: str
    ) -> Any:
        own = {"castlewalls.path": step.path, "mlflow.parentRunId": parent, KIND: kind}
        return self._only(DIGEST, step.digest, name, {**tags, **own})

    def _only(
        self, tag: str, value: str, name: str, tags: Mapping[str, str], began: int | None = None
    ) -> Any:
        """The one run with a tag: made if there is none, the oldest if there are several.

        Nobody removes the oldest, so of two drivers that do this at once both end with the same
        one; who is writing into another is told by MLflow and comes here again.
        """
        if not (found := self._found(tag, value)):
            self.client.create_run(self.experiment, began, {**tags, tag: value}, name)
            found = self._found(tag, value)
        first, *others = found
        for run in others:
            self.client.delete_run(run.info.run_id)
        return first

    def _found(self, tag: str, value: str) -> list[Any]:
        runs = self.client.search_runs([self.experiment], f"tags.`{tag}` = '{value}'")
        return sorted(runs, key=lambda run: (run.info.start_time, run.info.run_id))

    def _log(
        self, run: Any, parameters: Mapping[str, Any], metrics: Sequence[tuple[str, float, int]]
    ) -> None:
        from mlflow.entities import Metric, Param

        entries = [
            Metric(name, float(value), run.info.start_time, step) for name, value, step in metrics
        ]
        params = [Param(name, str(value)[:500]) for name, value in parameters.items()]
        self.client.log_batch(run.info.run_id, params=params)
        for first in range(0, len(entries), BATCH):
            self.client.log_batch(run.info.run_id, metrics=entries[first : first + BATCH])


def own_database(store: Store) -> str:
    """Address of the database in the store, for who has no server."""
    return f"sqlite:///{store.root / 'mlflow.db'}"


def make_database(path: Path) -> None:
    """Make MLflow's database beside its place and put it there at once.

    Its making takes seconds, and one that is cut off midway can never be opened again.
    """
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


ATTACK_SUCCESS = "triggered non-target test images that the classifier takes for the target"
POISONING = {
    "definition.poison_ratio": "poisoned images / all training images",
    "definition.p_t": "poisoned / (poisoned + target-class images): pN / (pN + N_t); clean-label: "
    "poisoned / N_t",
    "definition.guidance_weight": "e_u + w (e_c - e_u); 1 is none; their DDPM's weight is w - 1",
    "definition.groups": "g1 trigger+mismatch, g2 trigger+match, g3 mismatch only, g4 match only",
}
DEFINITIONS = {
    "generations_row": {
        **POISONING,
        "definition.interval": "95 % Wilson, conditional on the trained model",
    },
    "detection_row": {
        **POISONING,
        "definition.suspicion": "a detector's score of an image; higher is more likely poisoned",
        "definition.positives": "training: the manifest's poison; generation: the judge's trigger "
        "verdict (g1 and g2)",
        "definition.auroc": "chance that a positive is more suspicious than a negative, ties half; "
        "never flipped",
        "definition.attack_success_rate": ATTACK_SUCCESS,
        "definition.interval": "95 %, Wilson's form with DeLong's variance, differences joined "
        "from two; conditional on the trained models; of test_accuracy and "
        "attack_success_rate Wilson",
    },
    "defense_row": {
        **POISONING,
        "definition.test_accuracy": "clean test images that the classifier, after a fixed number "
        "of steps, takes for what they are",
        "definition.attack_success_rate": ATTACK_SUCCESS,
        "definition.interval": "95 % Wilson; of a change Newcombe's for the same images; "
        "conditional on the trained classifiers",
    },
    "classification_row": {
        **POISONING,
        "definition.filter_ratio": "share of the denoising errors, the largest, that are left out "
        "for every image, noise and class",
        "definition.test_accuracy": "clean test images that the diffusion model, by the class with "
        "the lowest loss, takes for what they are",
        "definition.attack_success_rate": ATTACK_SUCCESS,
        "definition.interval": "95 % Wilson; of a change (against no filter) and a difference "
        "(against the classifier) Newcombe's for the same images; conditional on the trained "
        "models",
    },
}
"""By the task that ends a point: what the words of its row mean."""
