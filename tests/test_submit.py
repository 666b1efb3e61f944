"""A run as a job: what is refused here, what a cluster says, and a study that comes back."""

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench.nodes import Nodes
from orchestrator.cli import commands  # noqa: F401 - declares the words of `run`
from orchestrator.cli.submit import EXCLUDES, command, dashboard, passed_on

SMALLEST = ["amplification", "--scale", "tiny", "--trigger", "none", "--poison-ratio", "0"]
SMALLEST += ["--guidance-weight", "1", "--training-steps", "10"]
REFUSED_AT_ONCE = [*SMALLEST, "--training-steps", "5"]
REFUSED_BY_RAY = [*SMALLEST, "--gpus-per-training", "64"]
PATIENCE = 480
"""Seconds that a command may take on a busy machine before the test gives up."""


class TestTheCommand:
    def test_is_the_typed_one_and_joins_the_cluster(self):
        words = [*SMALLEST, "--target-class", "8", "--store", "s3://bucket/a folder"]
        whole, name = command(words)
        expected = ["python", "-m", "orchestrator", "run", *words, "--address", "auto"]
        assert shlex.split(whole) == expected
        assert name == "amplification-tiny"

    def test_says_what_variables_of_this_machine_say(self, monkeypatch):
        monkeypatch.setenv("CASTLEWALLS_STORE", "gs://bucket/store")
        monkeypatch.setenv("CASTLEWALLS_DATA", "/shared/data")
        words = shlex.split(command(SMALLEST)[0])
        assert words[words.index("--store") + 1] == "gs://bucket/store"
        assert words[words.index("--data") + 1] == "/shared/data"

    @pytest.mark.parametrize(
        ("words", "why"),
        [
            ("amplificatio", "did you mean amplification"),
            ("amplification --scale tinny", "did you mean tiny"),
            ("amplification --scal tiny", "No such option: --scal"),
            ("amplification --trigger badnet1", "did you mean badnets1"),
            ("amplification --actors 0", "--actors must be at least 1"),
            ("amplification --address auto", "give --address before the study"),
            *(
                (f"{study} {flag}", f"{flag} is a place on this machine")
                for study, flag in (
                    ("amplification", "--images photos"),
                    ("amplification", "--images s3://bucket/photos"),
                    ("triggers", "--trigger-setting image_patch.picture=bomb.png"),
                    ("defense", "--classifier-weights resnet18.pth"),
                )
            ),
        ],
    )
    def test_is_refused_here_when_run_would_refuse_it(self, words, why):
        with pytest.raises(ValueError, match=re.escape(why)):
            command([*words.split(), "--store", "/shared/store"])

    @pytest.mark.parametrize("store", ["artifacts", "./there", "~/store"])
    def test_needs_a_store_that_is_not_a_place_on_this_machine(self, store):
        with pytest.raises(ValueError, match="absolute path that every node"):
            command([*SMALLEST, "--store", store])

    def test_needs_a_store(self, monkeypatch):
        monkeypatch.delenv("CASTLEWALLS_STORE", raising=False)
        with pytest.raises(ValueError, match="submit needs --store"):
            command(SMALLEST)

    def test_holds_no_password(self):
        with pytest.raises(ValueError, match="no user, password or key") as refused:
            command([*SMALLEST, "--store", "s3://me:hush@bucket/store"])
        assert "hush" not in str(refused.value)


class TestWhatIsPassedOn:
    def test_is_the_address_of_the_mlflow_server(self):
        here = {"MLFLOW_TRACKING_URI": "https://mlflow:5000", "AWS_SECRET_ACCESS_KEY": "hush"}
        assert passed_on(here, print) == {"MLFLOW_TRACKING_URI": "https://mlflow:5000"}

    @pytest.mark.parametrize("server", ["sqlite:///mlflow.db", "file:///runs", "runs"])
    def test_is_not_a_place_on_this_machine(self, server):
        said = []
        assert passed_on({"MLFLOW_TRACKING_URI": server}, said.append) == {}
        assert said == ["MLFLOW_TRACKING_URI has no http address and is not passed on"]

    def test_is_no_password(self):
        with pytest.raises(ValueError, match="holds a password") as refused:
            passed_on({"MLFLOW_TRACKING_URI": "http://me:hush@mlflow:5000"}, print)
        assert "hush" not in str(refused.value)


@pytest.mark.parametrize("typed", ["head:8265", "http://head:8265", "http://head:8265/"])
def test_a_dashboard_goes_by_its_host_and_port(typed):
    assert dashboard(typed) == "http://head:8265"


@pytest.mark.parametrize("typed", ["ray://head:10001", "auto://", "http://me:hush@head:8265", ""])
def test_what_is_no_dashboard_s_address_is_refused(typed):
    with pytest.raises(ValueError, match="--address"):
        dashboard(typed)


def test_what_a_person_keeps_beside_the_code_is_not_shipped(tmp_path):
    from orchestrator.cli.submit import _sizes

    kept = [
        "orchestrator/cli/commands.py",
        "tasks/steps/poison.py",
        "pyproject.toml",
        "photos/cat/1.png",
    ]
    left = [".git/HEAD", ".venv/bin/python", "artifacts/mlflow.db", "tests/test_cli.py", ".env"]
    left += ["orchestrator/__pycache__/cli.pyc", "castlewalls.egg-info/PKG-INFO", "secrets/key"]
    for name in [*kept, *left]:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(10))
    (tmp_path / ".gitignore").write_text("secrets/\n")
    found = _sizes(tmp_path, list(EXCLUDES))
    del found[".gitignore"]
    assert found == {"orchestrator": 10, "tasks": 10, "pyproject.toml": 10, "photos": 10}


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
    def test_without_a_token_it_says_where_one_is_to_be(self, somebody):
        code, said = submitted(somebody, *SMALLEST, "--store", "/shared/store")
        assert code == 1
        assert said.count("\n") == 1
        assert "needs a token and got none. Copy its head's ~/.ray/auth_token" in said

    def test_with_a_wrong_token_it_says_so(self, somebody):
        somebody["RAY_AUTH_TOKEN"] = "0" * 64
        code, said = submitted(somebody, *SMALLEST, "--store", "/shared/store")
        assert code == 1
        assert said.count("\n") == 1
        assert "does not accept this machine's token" in said

    def test_more_than_ray_ships_is_refused_by_name(self, owner):
        small = {**owner, "RAY_max_grpc_message_size": "10000"}
        code, said = submitted(small, *SMALLEST, "--store", "/shared/store")
        assert code == 1
        assert re.search(r"Ray takes less than .*: \S+ alone is .* Move it elsewhere", said)

    def test_a_run_that_fails_there_fails_here(self, owner, store):
        code, said = submitted(owner, *REFUSED_AT_ONCE, "--store", str(store))
        assert code == 1, said
        assert "steps of at least 10" in said
        assert said.endswith("the job failed with exit code 2; its log is above.\n")

    def test_ctrl_c_leaves_the_job_and_says_how_to_come_back(self, owner, store):
        process = submission(owner, *REFUSED_BY_RAY, "--store", str(store))
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "Running entrypoint" in line:
                process.send_signal(signal.SIGINT)
        said = "".join(lines)
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
        assert said.endswith(f"--address {owner['RAY_API_SERVER_ADDRESS']}\n")
        assert log_of(said)


def log_of(said):
    """The command that shows the log again, as it is printed."""
    return re.search(r"^ *its log: +(.+)$", said, re.MULTILINE)[1]


def printed(environment, line):
    """What a printed command says in a shell that knows nothing of how Ray is to behave."""
    mine = {name: value for name, value in environment.items() if name != "RAY_AUTH_MODE"}
    return subprocess.run(
        line, shell=True, capture_output=True, text=True, timeout=PATIENCE, check=True, env=mine
    ).stdout


def test_nobody_who_answers_is_said_in_seconds():
    begun = time.monotonic()
    code, said = submitted(
        os.environ, *SMALLEST, "--store", "/shared/store", "--address", "127.0.0.1:1"
    )
    assert code == 1
    assert "no dashboard answers at http://127.0.0.1:1: Connection refused" in said
    assert time.monotonic() - begun < PATIENCE
