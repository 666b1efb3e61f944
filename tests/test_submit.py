"""A run as a job: what is refused here, what a cluster says, and a study that comes back."""

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from bench.nodes import Nodes
from orchestrator.cli.submit import EXCLUDES, _sizes, command, dashboard, passed_on

SMALLEST = ["amplification", "--scale", "tiny", "--trigger", "none", "--poison-ratio", "0"]
SMALLEST += ["--guidance-weight", "1", "--training-steps", "10"]
PATIENCE = 480
"""Seconds that a command may take on a busy machine before the test gives up."""


class TestTheCommand:
    def test_is_the_typed_one_and_joins_the_cluster(self):
        words = [*SMALLEST, "--target-class", "8", "--store", "s3://bucket/a folder"]
        whole = ["python", "-m", "orchestrator", "run", *words, "--address", "auto"]
        assert command(words) == (shlex.join(whole), "amplification-tiny")

    def test_says_what_variables_of_this_machine_say(self, monkeypatch):
        monkeypatch.setenv("CASTLEWALLS_STORE", "gs://bucket/store")
        monkeypatch.setenv("CASTLEWALLS_DATA", "/shared/data")
        whole, _ = command(SMALLEST)
        assert "--store gs://bucket/store" in whole
        assert "--data /shared/data" in whole

    @pytest.mark.parametrize(
        ("words", "why"),
        [
            ("amplification --scale tinny", "did you mean tiny"),
            ("amplification --scal tiny", "No such option: --scal"),
            ("amplification --trigger badnet1", "did you mean badnets1"),
            ("amplification --actors 0", "--actors must be at least 1"),
            ("amplification --address auto", "give --address before the study"),
            ("amplification --images s3://bucket/photos", "photos is a place on this machine"),
            ("triggers --trigger-setting image_patch.picture=x.png", "=x.png is a place on this"),
            ("defense --classifier-weights resnet18.pth", "resnet18.pth is a place on this"),
            ("amplification --store ./there", "absolute path that every node"),
            ("amplification --store s3://me:hush@bucket/store", "no user, password or key"),
        ],
    )
    def test_is_refused_here_when_run_would_refuse_it(self, words, why):
        study, *rest = words.split()
        with pytest.raises(ValueError, match=re.escape(why)) as refused:
            command([study, "--store", "/shared/store", *rest])
        assert "hush" not in str(refused.value)

    def test_needs_a_store(self, monkeypatch):
        monkeypatch.delenv("CASTLEWALLS_STORE", raising=False)
        with pytest.raises(ValueError, match="submit needs --store"):
            command(SMALLEST)


def test_the_address_of_the_mlflow_server_is_passed_on_and_no_password():
    said = []
    here = {"MLFLOW_TRACKING_URI": "https://mlflow:5000", "AWS_SECRET_ACCESS_KEY": "hush"}
    assert passed_on(here, said.append) == {"MLFLOW_TRACKING_URI": "https://mlflow:5000"}
    assert passed_on({"MLFLOW_TRACKING_URI": "sqlite:///mlflow.db"}, said.append) == {}
    assert said == ["MLFLOW_TRACKING_URI has no http address and is not passed on"]
    with pytest.raises(ValueError, match="holds a password") as refused:
        passed_on({"MLFLOW_TRACKING_URI": "http://me:hush@mlflow:5000"}, print)
    assert "hush" not in str(refused.value)


def test_a_dashboard_goes_by_its_host_and_port():
    assert dashboard("head:8265") == dashboard("http://head:8265/") == "http://head:8265"
    for typed in ("ray://head:10001", "auto://", "http://me:hush@head:8265", ""):
        with pytest.raises(ValueError, match="--address"):
            dashboard(typed)


def test_what_a_person_keeps_beside_the_code_is_not_shipped(tmp_path):
    kept = ["orchestrator/cli/commands.py", "tasks/data.py", "pyproject.toml", "photos/1.png"]
    left = [".git/HEAD", ".venv/bin/python", "artifacts/mlflow.db", "tests/test_cli.py", ".env"]
    left += ["orchestrator/__pycache__/cli.pyc", "castlewalls.egg-info/PKG-INFO", "secrets/key"]
    for path in (tmp_path / name for name in [*kept, *left]):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(10))
    (tmp_path / ".gitignore").write_text("secrets/\n")
    sent = dict.fromkeys(("orchestrator", "tasks", "pyproject.toml", "photos"), 10)
    assert _sizes(tmp_path, list(EXCLUDES)) == {**sent, ".gitignore": 9}


class Beside(Nodes):
    """Nodes that serve the Jobs API although another cluster of this machine may do so too."""

    def _start(self, name, words):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        return super()._start(name, [*words, "--dashboard-agent-listen-port", str(port)])


@pytest.fixture(scope="module")
def nodes():
    with pytest.MonkeyPatch.context() as patch:
        # A job's `python` is the one that the head finds.
        patch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
        with Beside(1, dashboard=True) as started:
            yield started


@pytest.fixture(scope="module")
def owner(nodes):
    """The environment of whoever has the cluster's token."""
    return {**nodes.environment, "RAY_API_SERVER_ADDRESS": nodes.dashboard}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("store")


@pytest.fixture(scope="module")
def study(owner, store):
    """A study that is made while the other tests run."""
    yield (process := submission(owner, *SMALLEST, "--store", str(store)))
    process.kill()
    process.communicate()


@pytest.fixture
def somebody(nodes, tmp_path):
    """The environment of a person on another machine, who has no token."""
    mine = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return {**mine, "HOME": str(tmp_path), "RAY_API_SERVER_ADDRESS": nodes.dashboard}


def submission(environment, *words):
    return subprocess.Popen(
        [sys.executable, "-m", "orchestrator", "submit", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def submitted(environment, *words):
    """The exit code of a submission, and what it said."""
    process = submission(environment, *words)
    said, _ = process.communicate(timeout=PATIENCE)
    return process.returncode, said


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.usefixtures("study")
class TestOnACluster:
    @pytest.mark.parametrize(
        ("token", "why"),
        [
            ({}, "needs a token and got none. Copy its head's ~/.ray/auth_token"),
            ({"RAY_AUTH_TOKEN": "0" * 64}, "does not accept this machine's token"),
        ],
    )
    def test_without_the_right_token_it_says_so(self, somebody, token, why):
        code, said = submitted(somebody | token, *SMALLEST, "--store", "/shared/store")
        assert (code, said.count("\n")) == (1, 1)
        assert why in said

    def test_more_than_ray_ships_is_refused_by_name(self, owner):
        small = {**owner, "RAY_max_grpc_message_size": "10000"}
        code, said = submitted(small, *SMALLEST, "--store", "/shared/store")
        assert code == 1
        assert re.search(r"Ray takes less than .*: \S+ alone is .* Move it elsewhere", said)

    def test_a_run_that_fails_there_fails_here(self, owner, store):
        code, said = submitted(owner, *SMALLEST, "--training-steps", "5", "--store", str(store))
        assert code == 1, said
        assert "steps of at least 10" in said
        assert said.endswith("the job failed with exit code 2; its log is above.\n")

    def test_ctrl_c_leaves_the_job_and_says_how_to_come_back(self, owner, store):
        process = submission(owner, *SMALLEST, "--gpus-per-training", "64", "--store", str(store))
        said = ""
        for line in process.stdout:
            said += line
            if "Running entrypoint" in line:
                process.send_signal(signal.SIGINT)
        assert process.wait(timeout=PATIENCE) == 130, said
        assert f"the job goes on; its log again: {log_of(said)}" in said
        assert "What fits: " in printed(owner, log_of(said))

    def test_with_the_token_the_study_is_made_and_its_log_comes_back(self, study, store):
        said, _ = study.communicate(timeout=PATIENCE)
        assert study.returncode == 0, said
        assert "  done     generations_row/" in said
        assert said.count("(12/12, ") == 1
        assert "no poison" in said
        [rows] = (store / "reports").glob("*/results.csv")
        assert len(rows.read_text().splitlines()) == 2

    def test_it_need_not_be_waited_for(self, owner, store):
        code, said = submitted(owner, *SMALLEST, "--store", str(store), "--no-wait")
        assert code == 0, said
        assert log_of(said).endswith(f"--address {owner['RAY_API_SERVER_ADDRESS']}")


def log_of(said):
    """The command that shows the log again, as it is printed."""
    return re.search(r"^ *its log: +(.+)$", said, re.MULTILINE)[1]


def printed(environment, line):
    """What a printed command says in a shell that knows nothing of how Ray is to behave."""
    mine = {name: value for name, value in environment.items() if name != "RAY_AUTH_MODE"}
    return subprocess.run(
        line, shell=True, capture_output=True, text=True, timeout=PATIENCE, check=True, env=mine
    ).stdout


def test_nobody_who_answers_is_said():
    nowhere = ["--store", "/shared/store", "--address", "127.0.0.1:1"]
    code, said = submitted(os.environ, *SMALLEST, *nowhere)
    assert code == 1
    assert "no dashboard answers at http://127.0.0.1:1: Connection refused" in said
