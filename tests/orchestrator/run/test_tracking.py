"""MLflow has each finished thing once in the end, and nothing waits for it or fails with it."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient

from orchestrator.process import free_port
from orchestrator.run import tracking
from orchestrator.run.tracking import DIGEST, PATIENCE_SECONDS, Mirror, behind
from orchestrator.step import ancestors

LABEL = "amplification-tiny"
LAUNCH = {"name": f"{LABEL} at noon", "scale": "tiny"}
REQUESTS = {
    *("create_experiment", "get_experiment_by_name", "search_runs", "create_run", "get_run"),
    *("delete_run", "log_artifact", "log_artifacts", "log_batch", "log_image", "set_terminated"),
}
"""What is asked of MLflow's client."""


@pytest.fixture(autouse=True)
def no_server(monkeypatch):
    """MLflow is the database in the store, whatever the environment says."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="module")
def some(tiny_points):
    """Two points of one model, and one of another."""
    chosen = [point for point in tiny_points if point.axes["trigger"] == "badnets1"][:2]
    return [*chosen, next(point for point in tiny_points if point.axes["trigger"] == "none")]


@pytest.fixture(scope="module")
def database(tmp_path_factory):
    """An empty database of MLflow's, whose making takes seconds."""
    path = tmp_path_factory.mktemp("database") / "mlflow.db"
    tracking.make_database(path)
    return path


@pytest.fixture(scope="module")
def unsent(tiny_store, database, copied):
    """A function that makes a store of the tiny study of which MLflow has nothing."""

    def make():
        store = copied(tiny_store)
        shutil.copy(database, store.root / "mlflow.db")
        return store

    return make


@pytest.fixture(scope="module")
def sent(unsent, some):
    """One of which MLflow has some points, and a report."""
    store = unsent()
    folder = store.root / "reports"
    folder.mkdir()
    (folder / "index.html").write_text("a page")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        assert mirrored(store, some, folder) is None
    return store


def mirrored(store, points, report=None):
    mirror = Mirror(store, "amplification", LABEL, LAUNCH)
    mirror.add(points)
    mirror.start()
    return mirror.close(report)


def client_of(store):
    return MlflowClient(tracking.uri(store))


def runs_of(store, kind=""):
    client = client_of(store)
    experiment = client.get_experiment_by_name("amplification").experiment_id
    return client.search_runs([experiment], kind and f"tags.`castlewalls.kind` = '{kind}'")


def check_sent_once(store, points, launches=1, database=None):
    """MLflow has each of these and its trainings once, whole, and nothing else."""
    client = MlflowClient(f"sqlite:///{database}") if database else client_of(store)
    experiment = client.get_experiment_by_name("amplification").experiment_id
    runs = client.search_runs([experiment])
    assert {run.info.status for run in runs} == {"FINISHED"}
    wanted = {point.measure.digest: point.measure for point in points}
    steps = list(ancestors(wanted.values()))
    wanted |= {step.digest: step for step in steps if step.shape == "fit"}
    found = {run.data.tags.get(DIGEST): run for run in runs}
    assert found.keys() - {None} == wanted.keys()
    assert len(runs) == len(wanted) + launches
    for digest, step in wanted.items():
        run, folder = found[digest], store.folder(step)
        for name in run.data.metrics:
            history = client.get_metric_history(run.info.run_id, name)
            if step.shape == "fit":
                with (folder / "history.csv").open(newline="") as lines:
                    curve = [(int(row["step"]), float(row[name])) for row in csv.DictReader(lines)]
                assert [(entry.step, entry.value) for entry in history] == curve
            else:
                assert len(history) == 1
        if step.shape == "fit":
            assert run.data.params["steps"] == str(step.settings.steps)
        else:
            with np.load(folder / "groups.npz") as groups:
                names = {f"{name}.png" for name in groups.files if len(groups[name])}
            files = {file.path for file in client_of(store).list_artifacts(run.info.run_id)}
            assert files == names | {"metrics.json"}


class TestWhatIsSent:
    def test_everything_once_below_its_launch_with_the_report_and_nothing_elsewhere(
        self, sent, some
    ):
        check_sent_once(sent, some)
        [launch] = runs_of(sent, "launch")
        assert launch.data.tags["scale"] == "tiny"
        page = client_of(sent).list_artifacts(launch.info.run_id, "report")
        assert [file.path for file in page] == ["report/index.html"]
        for run in [*runs_of(sent, "point"), *runs_of(sent, "training")]:
            assert run.data.tags["mlflow.parentRunId"] == launch.info.run_id
            assert run.info.artifact_uri.startswith(f"file://{sent.root}/mlflow-artifacts/")
        assert not behind(sent, LABEL)

    def test_a_point_s_run_has_its_axes_numbers_and_definitions(self, sent, some):
        found = {run.data.tags[DIGEST]: run for run in runs_of(sent, "point")}
        for point in some:
            data = found[point.measure.digest].data
            row = json.loads((sent.folder(point.measure) / "metrics.json").read_text())
            assert data.params == {axis: str(value) for axis, value in point.axes.items()}
            assert data.metrics == {
                name: pytest.approx(value, rel=1e-12)
                for name, value in row.items()
                if isinstance(value, int | float) and name not in point.axes
            }
            assert data.tags["p_t"] == str(row["p_t"])
            assert data.tags["castlewalls.path"] == point.measure.path
            defined = {tag for tag in data.tags if tag.startswith("definition.")}
            assert {f"definition.{column}" for column in ("p_t", "g1", "g1_low")} <= defined
            assert data.tags["definition.p_t"].startswith("p_t: pN / (pN + N_t)")
            assert "definition.auroc" not in defined

    def test_what_is_not_finished_or_not_whole_is_left_for_later(self, unsent, some):
        store = unsent()
        path = store.folder(some[0].measure) / "metrics.json"
        path.write_text(path.read_text().replace("0.", "1."))
        store.discard(some[1].measure)
        assert mirrored(store, some) is None
        [point] = runs_of(store, "point")
        assert point.data.tags[DIGEST] == some[2].measure.digest


class TestCatchingUp:
    def test_a_server_that_is_away_costs_a_bounded_time_and_gets_all_of_it_later(
        self, unsent, some, monkeypatch
    ):
        store, began = unsent(), time.monotonic()
        # Port 9 of this machine, where nobody listens.
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:hunter2@127.0.0.1:9")
        remark = mirrored(store, some)
        assert time.monotonic() - began < PATIENCE_SECONDS
        assert remark.startswith("MLflow at http://127.0.0.1:9 did not take the results (")
        assert remark.endswith("they are in the store, and the next launch sends them")
        assert "hunter2" not in remark
        assert "\n" not in remark
        assert behind(store, LABEL)
        assert not behind(store, "amplification-laptop")
        monkeypatch.delenv("MLFLOW_TRACKING_URI")
        assert mirrored(store, some) is None
        assert not behind(store, LABEL)
        check_sent_once(store, some)

    def test_doubles_of_two_drivers_become_one(self, sent, some, copied):
        """Both had asked before either had sent."""
        store = copied(sent)
        client = client_of(store)
        [first, *_] = runs_of(store, "point")
        double = client.create_run(first.info.experiment_id, tags=first.data.tags)
        assert mirrored(store, some) is None
        assert double.info.run_id not in {run.info.run_id for run in runs_of(store, "point")}
        check_sent_once(store, some, launches=2)

    def test_a_connection_that_breaks_leaves_nothing_out_and_nothing_double(self, unsent, some):
        """It breaks after 16 requests, and the last answer is lost."""

        class Breaking(MlflowClient):
            def __init__(self, address):
                super().__init__(address)
                self.left = 16

            def __getattribute__(self, name):
                value = super().__getattribute__(name)
                return self.limited(value) if name in REQUESTS else value

            def limited(self, request):
                def ask(*arguments, **named):
                    if self.left <= 0:
                        raise ConnectionError("broken")
                    answer = request(*arguments, **named)
                    self.left -= 1
                    if self.left == 0:
                        raise ConnectionError("broken before the answer came")
                    return answer

                return ask

        store, points = unsent(), [some[0], some[2]]  # of two models
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("mlflow.MlflowClient", Breaking)
            assert mirrored(store, points) is not None
        assert behind(store, LABEL)
        assert mirrored(store, points) is None
        launches = len(runs_of(store, "launch"))
        unfinished = [run for run in runs_of(store) if run.info.status != "FINISHED"]
        for run in unfinished:  # of the launch that broke off
            assert run.data.tags["castlewalls.kind"] == "launch"
            client_of(store).set_terminated(run.info.run_id)
        check_sent_once(store, points, launches)


def test_a_database_is_there_whole_or_not_at_all_and_the_first_driver_s(tmp_path, monkeypatch):
    path, interrupted = tmp_path / "mlflow.db", True

    class Client:
        """MLflow's client: interrupted halfway, then overtaken by another driver."""

        def __init__(self, address):
            Path(address.removeprefix("sqlite:///")).write_text("half, or the second")

        def search_experiments(self, **_):
            if interrupted:
                raise KeyboardInterrupt
            path.write_text("first")

    monkeypatch.setattr(mlflow, "MlflowClient", Client)
    with pytest.raises(KeyboardInterrupt):
        tracking.make_database(path)
    assert not list(tmp_path.iterdir())
    interrupted = False
    tracking.make_database(path)
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.slow
def test_a_server_that_was_away_has_everything_once_in_the_end(
    tmp_path, database, tiny_store, copied, some, monkeypatch
):
    own, store = tmp_path / "mlflow.db", copied(tiny_store)
    shutil.copy(database, own)
    port = free_port(None, usual=0)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
    assert mirrored(store, some) is not None
    words = ["--backend-store-uri", f"sqlite:///{own}", "--host", "127.0.0.1", "--port", str(port)]
    words += ["--artifacts-destination", str(tmp_path / "files"), "--workers", "1"]
    server = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", *words],
        env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 180  # a busy machine takes long to start it
        while mirrored(store, some) is not None:
            assert time.monotonic() < deadline
        check_sent_once(store, some, database=own)
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()
