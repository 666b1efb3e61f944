"""Sending to MLflow in tests, and what it then has."""

import json
from collections import Counter

import numpy as np
from mlflow import MlflowClient

from orchestrator.run import tracking
from orchestrator.run.mlflow_runs import DIGEST, loss_curve, trainings
from orchestrator.run.tracking import Mirror

LAUNCH = {"name": "amplification-tiny", "scale": "tiny"}


def mirrored(store, points, report=None):
    mirror = Mirror(store, "amplification", LAUNCH, points)
    mirror.add(points)
    mirror.start()
    return mirror.close(report)


def mlflow_of(store):
    return MlflowClient(tracking.uri(store))


def runs_of(store, kind):
    client = mlflow_of(store)
    experiment = client.get_experiment_by_name("amplification").experiment_id
    return client.search_runs([experiment], f"tags.`castlewalls.kind` = '{kind}'")


def check_sent_once(store, points, launches=1, database=None):
    """Check that MLflow has each of these and its trainings once, whole, and nothing else.

    Args:
        store: Where the results are.
        points: What was to be sent.
        launches: How many launches sent it.
        database: Of a server, which answers so many questions slowly.
    """
    client = mlflow_of(store) if database is None else MlflowClient(f"sqlite:///{database}")
    experiment = client.get_experiment_by_name("amplification").experiment_id
    runs = client.search_runs([experiment])
    assert {run.info.status for run in runs} == {"FINISHED"}
    wanted = {point.measure.digest: point.measure for point in points}
    wanted |= {step.digest: step for point in points for step in trainings(point.measure)}
    found = {run.data.tags.get(DIGEST): run for run in runs}
    assert found.keys() - {None} == wanted.keys()
    assert len(runs) == len(wanted) + launches
    for digest, step in wanted.items():
        run = found[digest]
        folder = store.folder(step)
        if step.shape == "fit":
            expected = Counter(name for name, _, _ in loss_curve(folder / "history.csv"))
        else:
            row = json.loads((folder / "metrics.json").read_text())
            assert run.data.metrics["g1"] == row["g1"]
            expected = dict.fromkeys(run.data.metrics, 1)
            with np.load(folder / "groups.npz") as groups:
                names = {f"{name}.png" for name in groups.files if len(groups[name])}
            files = {file.path for file in mlflow_of(store).list_artifacts(run.info.run_id)}
            assert files == names | {"metrics.json"}
        for name, times in expected.items():
            assert len(client.get_metric_history(run.info.run_id, name)) == times
