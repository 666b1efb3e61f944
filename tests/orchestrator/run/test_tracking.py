"""MLflow has each finished thing once, and nothing waits for it or fails with it."""

import csv
import json
import time
from pathlib import Path

import pytest

from orchestrator.run import tracking
from orchestrator.run.mlflow_runs import DEFINITIONS, DIGEST, loss_curve, make_database
from orchestrator.run.tracking import PATIENCE_SECONDS
from orchestrator.step import ancestors
from orchestrator.studies import DETECTION
from orchestrator.studies.scales import TINY
from tests.orchestrator.sent import mirrored, runs_of

pytestmark = pytest.mark.usefixtures("no_server")


class TestWhatIsSent:
    def test_a_point_s_run_has_its_axes_numbers_and_definitions(self, sent, some):
        found = {run.data.tags[DIGEST]: run for run in runs_of(sent, "point")}
        assert set(found) == {point.measure.digest for point in some}
        for point in some:
            data = found[point.measure.digest].data
            row = json.loads((sent.folder(point.measure) / "metrics.json").read_text())
            assert data.params == {axis: str(value) for axis, value in point.axes.items()}
            for name, value in row.items():
                if isinstance(value, int | float) and name not in point.axes:
                    assert data.metrics[name] == pytest.approx(value, rel=1e-12)
            assert DEFINITIONS["generations_row"].items() <= data.tags.items()
            assert data.tags["p_t"] == str(row["p_t"])
            assert data.tags["castlewalls.path"] == point.measure.path

    def test_a_training_s_run_has_its_whole_loss_curve(self, sent, some):
        from mlflow import MlflowClient

        client = MlflowClient(tracking.uri(sent))
        trained = {
            step.digest: step
            for step in ancestors(point.measure for point in some)
            if step.shape == "fit"
        }
        found = {run.data.tags[DIGEST]: run for run in runs_of(sent, "training")}
        assert set(found) == set(trained)
        for digest, step in trained.items():
            with (sent.folder(step) / "history.csv").open(newline="") as lines:
                expected = [(int(row["step"]), float(row["loss"])) for row in csv.DictReader(lines)]
            curve = client.get_metric_history(found[digest].info.run_id, "loss")
            assert [(entry.step, entry.value) for entry in curve] == expected
            assert found[digest].data.params["steps"] == str(step.settings.steps)

    def test_every_run_hangs_below_its_launch(self, sent):
        [launch] = runs_of(sent, "launch")
        for kind in ("point", "training"):
            for run in runs_of(sent, kind):
                assert run.data.tags["mlflow.parentRunId"] == launch.info.run_id
                assert run.info.status == "FINISHED"
        assert launch.info.status == "FINISHED"
        assert launch.data.tags["scale"] == "tiny"

    def test_pictures_and_the_page_are_there(self, sent):
        from mlflow import MlflowClient

        client = MlflowClient(tracking.uri(sent))
        [launch] = runs_of(sent, "launch")
        page = client.list_artifacts(launch.info.run_id, "report")
        assert [file.path for file in page] == ["report/index.html"]
        for run in runs_of(sent, "point"):
            names = {file.path for file in client.list_artifacts(run.info.run_id)}
            assert "metrics.json" in names
            assert names & {"g1.png", "g2.png", "g3.png", "g4.png"}

    def test_nothing_leaves_the_store(self, sent):
        assert tracking.uri(sent) == f"sqlite:///{sent.root}/mlflow.db"
        for kind in ("launch", "point", "training"):
            for run in runs_of(sent, kind):
                assert run.info.artifact_uri.startswith(f"file://{sent.root}/mlflow-artifacts/")


class TestOtherRows:
    def test_a_row_of_detection_is_sent_without_what_it_lacks(self, sent, copied):
        store = copied(sent)
        point = DETECTION.points(TINY, DETECTION.chosen(TINY))[0]
        row = {"auroc": 0.25, "training_auroc": None, "p_t": None, "detector": "cd"}
        with store.publish(point.measure) as attempt:
            (attempt.folder / "metrics.json").write_text(json.dumps(row))
        assert mirrored(store, [point]) is None
        [run] = (
            run for run in runs_of(store, "point") if run.data.tags[DIGEST] == point.measure.digest
        )
        assert run.data.metrics == {"auroc": 0.25}
        assert run.data.params["image_set"] == "training"
        assert not {"guidance_weight", "sampler"} & set(run.data.params)
        assert "DeLong" in run.data.tags["definition.interval"]
        assert "p_t" not in run.data.tags


class TestSendingAgain:
    def test_what_is_there_is_not_sent_twice(self, sent, some, copied):
        store = copied(sent)
        assert mirrored(store, some) is None
        assert len(runs_of(store, "launch")) == 2
        assert len(runs_of(store, "point")) == len(some)
        assert len(runs_of(store, "training")) == len(runs_of(sent, "training"))

    def test_what_was_half_sent_is_sent_again(self, sent, copied, tiny_points):
        from mlflow import MlflowClient

        store = copied(sent)
        [fresh] = [
            point
            for point in tiny_points
            if point.axes["trigger"] == "relabel_only" and point.axes["guidance_weight"] == 2
        ]
        client = MlflowClient(tracking.uri(store))
        experiment = client.get_experiment_by_name("amplification").experiment_id
        half = {DIGEST: fresh.measure.digest, "castlewalls.kind": "point"}
        client.create_run(experiment, tags=half)
        assert mirrored(store, [fresh]) is None
        assert [
            run.info.status
            for run in runs_of(store, "point")
            if run.data.tags[DIGEST] == fresh.measure.digest
        ] == ["FINISHED"]

    def test_unfinished_points_are_left_for_later(self, sent, copied, tiny_points):
        store = copied(sent)
        missing = next(point for point in tiny_points if point.axes["trigger"] == "relabel_only")
        store.discard(missing.measure)
        assert mirrored(store, [missing]) is None
        digests = {run.data.tags[DIGEST] for run in runs_of(store, "point")}
        assert missing.measure.digest not in digests


class TestADeadServer:
    @pytest.fixture
    def dead(self, no_server, monkeypatch):  # noqa: ARG002 - it goes first
        """Port 9 of this machine, where nobody listens."""
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:hunter2@127.0.0.1:9")

    @pytest.mark.usefixtures("dead")
    def test_costs_a_bounded_time_and_gets_one_remark(self, tiny_store, copied, some):
        began = time.monotonic()
        remark = mirrored(copied(tiny_store), some)
        assert time.monotonic() - began < PATIENCE_SECONDS
        assert remark.startswith("MLflow at http://127.0.0.1:9 did not take the results (")
        assert remark.endswith("they are in the store, and the next launch sends them")
        assert "hunter2" not in remark
        assert "\n" not in remark

    @pytest.mark.usefixtures("dead")
    def test_the_next_launch_sends_what_it_missed(self, sent, some, copied, monkeypatch):
        store = copied(sent)
        assert mirrored(store, some) is not None
        monkeypatch.delenv("MLFLOW_TRACKING_URI")
        assert mirrored(store, some) is None
        assert len(runs_of(store, "point")) == len(some)

    def test_a_database_that_is_none_gets_one_remark(self, tiny_store, copied, some):
        store = copied(tiny_store)
        (store.root / "mlflow.db").write_text("this is no database")
        remark = mirrored(store, some)
        assert remark.startswith(f"MLflow at sqlite:///{store.root}/mlflow.db did not take ")
        assert "\n" not in remark


class TestADatabaseInTheMaking:
    def test_is_there_whole_or_not_at_all(self, tmp_path, monkeypatch):
        import mlflow

        class Interrupted:
            """MLflow's client, interrupted when half of the database is written."""

            def __init__(self, address):
                Path(address.removeprefix("sqlite:///")).write_text("half")

            def search_experiments(self, **_):
                raise KeyboardInterrupt

        monkeypatch.setattr(mlflow, "MlflowClient", Interrupted)
        with pytest.raises(KeyboardInterrupt):
            make_database(tmp_path / "mlflow.db")
        assert not list(tmp_path.iterdir())

    def test_of_two_drivers_is_that_of_the_first(self, tmp_path, monkeypatch):
        import mlflow

        path = tmp_path / "mlflow.db"

        class Slow:
            """MLflow's client, which takes so long that another driver is done before it."""

            def __init__(self, address):
                Path(address.removeprefix("sqlite:///")).write_text("second")

            def search_experiments(self, **_):
                path.write_text("first")

        monkeypatch.setattr(mlflow, "MlflowClient", Slow)
        make_database(path)
        assert path.read_text() == "first"
        assert list(tmp_path.iterdir()) == [path]


class TestLossCurves:
    def test_every_column_is_a_curve_by_step(self, tmp_path):
        path = tmp_path / "history.csv"
        path.write_text("step,loss,learning_rate\n50,0.5,1e-3\n100,0.25,1e-4\n")
        assert loss_curve(path) == [
            ("loss", 0.5, 50),
            ("learning_rate", 1e-3, 50),
            ("loss", 0.25, 100),
            ("learning_rate", 1e-4, 100),
        ]

    def test_without_a_history_there_is_none(self, tmp_path):
        assert loss_curve(tmp_path / "history.csv") == []
