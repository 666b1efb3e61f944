"""A server that is away, breaks off or comes back has everything once in the end."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from functools import partial
from http import HTTPStatus

import pytest

from orchestrator.run import tracking, unsent
from orchestrator.run.mlflow_runs import DIGEST
from orchestrator.run.tracking import Mirror, behind, catch_up
from orchestrator.store.store import Store
from tests.orchestrator.sent import LAUNCH, check_sent_once, mirrored, mlflow_of, runs_of

pytestmark = pytest.mark.usefixtures("no_server")

REQUESTS = {
    "create_experiment",
    "create_run",
    "delete_run",
    "get_experiment_by_name",
    "log_artifact",
    "log_artifacts",
    "log_batch",
    "log_image",
    "search_runs",
    "set_terminated",
}
"""What is asked of MLflow's client."""


class TestWhatIsRemembered:
    @pytest.fixture
    def away(self, no_server, monkeypatch):  # noqa: ARG002 - it goes first
        """Port 9 of this machine, where nobody listens."""
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")

    def test_nothing_when_all_of_it_arrived(self, sent):
        assert not behind(sent)
        assert not list((sent.root / unsent.FOLDER).iterdir())

    @pytest.mark.usefixtures("away")
    def test_a_launch_that_could_not_be_sent_is_finished_as_itself(self, empty, some, monkeypatch):
        report = empty.root / "reports" / "amplification-tiny"
        report.mkdir(parents=True)
        (report / "index.html").write_text("a page")
        assert mirrored(empty, some, report) is not None
        assert behind(empty)
        [launch] = unsent.left(empty)
        monkeypatch.delenv("MLFLOW_TRACKING_URI")
        said = catch_up(empty, "amplification", some)
        assert said == (
            f"MLflow at {tracking.uri(empty)} was behind; it now has what earlier launches could "
            f"not send ({len(some)} points)"
        )
        assert not behind(empty)
        check_sent_once(empty, some)
        [run] = runs_of(empty, "launch")
        assert run.info.start_time == launch.began
        assert run.data.tags["mlflow.runName"] == LAUNCH["name"]
        assert catch_up(empty, "amplification", some) is None
        check_sent_once(empty, some)

    @pytest.mark.usefixtures("away")
    def test_it_holds_no_secret(self, empty, some, monkeypatch):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:hunter2@127.0.0.1:9")
        assert mirrored(empty, some) is not None
        [path] = (empty.root / unsent.FOLDER).iterdir()
        assert "hunter2" not in path.read_text()

    @pytest.mark.usefixtures("away")
    def test_other_points_stay_remembered_and_start_nothing(self, empty, some, monkeypatch):
        assert mirrored(empty, some) is not None
        monkeypatch.delenv("MLFLOW_TRACKING_URI")
        assert catch_up(empty, "amplification", []) is None
        assert catch_up(empty, "composition", some) is None
        assert catch_up(empty, "amplification", some[:1]) is not None
        assert behind(empty)
        assert {run.data.tags[DIGEST] for run in runs_of(empty, "point")} == {
            some[0].measure.digest
        }
        assert catch_up(empty, "amplification", some) is not None
        assert not behind(empty)
        check_sent_once(empty, some)

    def test_the_launch_after_a_killed_one_sends_what_that_one_made(self, empty, some):
        """A killed driver leaves its launch as it was remembered at the start."""
        killed = unsent.new(empty, "amplification", LAUNCH, [p.measure.digest for p in some])
        killed.begin()
        empty.discard(some[2].measure)
        mirror = Mirror(empty, "amplification", LAUNCH, some)
        mirror.add(some[:2])
        mirror.start()
        assert mirror.close(None) is None
        assert not behind(empty)
        first, second = sorted(runs_of(empty, "launch"), key=lambda run: run.info.start_time)
        assert (first.info.status, second.info.status) == ("KILLED", "FINISHED")
        assert {run.data.tags["mlflow.parentRunId"] for run in runs_of(empty, "point")} == {
            first.info.run_id
        }

    @pytest.mark.parametrize("text", ["", "{}", "[1]", '{"experiment": 1}', "\x00"])
    def test_a_damaged_file_is_passed_over(self, tiny_store, copied, text):
        store = copied(tiny_store)
        (store.root / unsent.FOLDER).mkdir()
        (store.root / unsent.FOLDER / "0123456789ab.json").write_text(text)
        assert not behind(store)

    @pytest.mark.parametrize(
        "report", ["..", "../elsewhere", "generations_row", "/etc", "reports/../.."]
    )
    def test_a_report_elsewhere_is_not_sent(self, tmp_path, report):
        """A store may come from others, and MLflow is where its user is logged in."""
        launch = unsent.new(Store(tmp_path), "amplification", LAUNCH, [])
        launch.end([], tmp_path / "reports" / "mine")
        [found] = unsent.left(Store(tmp_path))
        assert found.report_folder() == tmp_path / "reports" / "mine"
        launch.path.write_text(launch.path.read_text().replace("reports/mine", report))
        [found] = unsent.left(Store(tmp_path))
        assert found.report_folder() is None


class TestAConnectionThatBreaks:
    @pytest.fixture
    def breaking(self):
        """A client of MLflow's that breaks after so many requests; the last answer is lost."""
        from mlflow import MlflowClient

        class Breaking(MlflowClient):
            def __init__(self, address, requests):
                super().__init__(address)
                self.left = requests

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

        return Breaking

    @pytest.mark.parametrize("requests", [18, 23])
    def test_leaves_nothing_out_and_nothing_double(self, empty, some, breaking, requests):
        points = [some[0], some[2]]  # of two models
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("mlflow.MlflowClient", partial(breaking, requests=requests))
            assert mirrored(empty, points) is not None
            for _ in range(20):
                if behind(empty):
                    catch_up(empty, "amplification", points)
        assert not behind(empty)
        check_sent_once(empty, points)

    def test_doubles_of_two_drivers_become_one(self, sent, some, copied):
        """Both had asked before either had sent."""
        store = copied(sent)
        client = mlflow_of(store)
        [first, *_] = runs_of(store, "point")
        double = client.create_run(first.info.experiment_id, tags=first.data.tags)
        assert mirrored(store, some) is None
        assert double.info.run_id not in {run.info.run_id for run in runs_of(store, "point")}
        check_sent_once(store, some, launches=2)


class Server:
    """An MLflow server of its own process group, with its database and files in a folder."""

    def __init__(self, folder, database):
        self.database = folder / "mlflow.db"
        shutil.copy(database, self.database)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        self.words = ["--backend-store-uri", f"sqlite:///{self.database}"]
        self.words += ["--artifacts-destination", str(folder / "files")]
        self.words += ["--host", "127.0.0.1", "--port", str(self.port), "--workers", "1"]
        self.process = None

    def start(self):
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", *self.words],
            env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        wait_for(self.answers)

    def answers(self):
        try:
            with urllib.request.urlopen(f"{self.address}/health", timeout=1) as answer:
                return answer.status == HTTPStatus.OK
        except OSError:
            return False

    def kill(self):
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


def wait_for(condition, seconds=180):
    """Poll until it holds; a busy machine takes long to start a server."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


class TestAServerThatComesAndGoes:
    @pytest.fixture
    def server(self, no_server, tmp_path, database, monkeypatch):  # noqa: ARG002 - it goes first
        server = Server(tmp_path, database)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
        monkeypatch.setattr(tracking, "RETRY_SECONDS", 1.0)
        yield server
        server.kill()

    def test_has_everything_once_in_the_end(self, server, tiny_store, copied, some):
        """Unreachable at first; there at the next launch; killed during it and started again."""
        store = copied(tiny_store)
        assert mirrored(store, some[:1]) is not None
        assert behind(store)

        server.start()
        assert catch_up(store, "amplification", some[:1]).endswith("could not send (1 point)")
        check_sent_once(store, some[:1], database=server.database)

        mirror = Mirror(store, "amplification", LAUNCH, some)
        mirror.add(some[:2])
        mirror.start()
        wait_for(lambda: mirror.sent == 1)  # the other one is there
        server.kill()
        mirror.add(some[2:])
        wait_for(lambda: mirror.failure)
        server.start()
        wait_for(lambda: not mirror.failure)
        assert mirror.close(None) is None
        assert not behind(store)
        check_sent_once(store, some, launches=2, database=server.database)
