"""Joining a cluster: what is refused and in which words, tokens, signals, what may be added."""

import json
import os
import shlex
import signal
import socket
import stat
import sys
from pathlib import Path

import pytest

from orchestrator.run import cluster, environment, nodes, sessions
from orchestrator.run.conductor_actor import ConductorHandle
from orchestrator.run.nodes import Facts
from orchestrator.run.placement import GIB, Placement
from orchestrator.run.request import NoCluster
from orchestrator.store.store import Store

VERSIONS = {"Python": "3.11.7", "ray": "2.60.0", "torch": "2.14.1"}
WORKER = {"CPU": 8.0, "GPU": 1.0, "memory": 32.0 * GIB}
CONFIGURATION = {
    "max_workers": 8,
    "head_node_type": "head",
    "available_node_types": {
        "head": {"resources": {"CPU": 0}, "max_workers": 0},
        "gpu": {"resources": WORKER, "min_workers": 0, "max_workers": 3},
        "cpu": {"resources": {"CPU": 16, "memory": 64 * GIB}, "max_workers": 99},
    },
}


def node(resources, **labels):
    return {"Resources": resources, "Labels": labels, "Alive": True}


def added(told, *live):
    head = node({nodes.HEAD: 1.0, "memory": GIB})
    return nodes.summed(list(nodes.addable(told, [head, *live])))


class TestWhatMayBeAdded:
    def test_a_head_alone_may_get_every_node_of_every_group(self):
        assert list(nodes.addable({}, [node(WORKER)])) == []
        assert added(CONFIGURATION) == {"CPU": 3 * 8 + 8 * 16, "GPU": 3, "memory": 608 * GIB}

    def test_nodes_that_came_are_not_counted_twice(self):
        labelled = node(WORKER, **{nodes.GROUP: "gpu"})
        told_by_its_size = node({**WORKER, "node:10.0.0.2": 1.0})
        assert added(CONFIGURATION, labelled, told_by_its_size)["GPU"] == 1
        assert added(CONFIGURATION, *[labelled] * 9)["GPU"] == 0

    def test_of_kuberay_s_autoscaler_nothing_is_known_and_nothing_is_bounded(self, monkeypatch):
        monkeypatch.setenv("KUBERAY_GEN_RAY_START_CMD", "ray start --head --no-monitor")
        assert min(nodes.capacity().values()) > 1e12


class TestUnfitNodes:
    STORE = Store(Path("/shared/store"))

    @pytest.mark.parametrize(
        ("unfit", "said"),
        [
            (
                Facts({**VERSIONS, "ray": "9.9"}),
                "of ray: here it is 2.60.0, but on node 10.0.0.2: 9.9",
            ),
            (
                Facts(VERSIONS, "it is empty"),
                "sees the store /shared/store: node 10.0.0.2: it is empty",
            ),
            ("it did not answer", "node 10.0.0.2: it did not answer. Remove it from the cluster"),
        ],
    )
    def test_one_is_refused_with_why_and_what_to_do(self, unfit, said):
        nodes.refuse_unfit({"10.0.0.1": Facts(VERSIONS)}, self.STORE, Facts(VERSIONS))
        answers = {"10.0.0.1": Facts(VERSIONS), "10.0.0.2": unfit}
        with pytest.raises(NoCluster) as refusal:
            nodes.refuse_unfit(answers, self.STORE, Facts(VERSIONS))
        assert said in str(refusal.value)
        assert "\n" not in str(refusal.value)


def test_an_address_where_no_cluster_can_be_joined_is_refused_with_what_to_do():
    with pytest.raises(NoCluster, match=r"got ray://head:10001.*`castlewalls submit`"):
        join("ray://head:10001")
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
    with pytest.raises(NoCluster, match=f"no Ray cluster answers at 127.0.0.1:{port}"):
        join(f"127.0.0.1:{port}")


def join(address):
    with cluster.connected(address, dashboard=False, verbose=False):
        raise AssertionError("joined")


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A user's home of its own, without a token anywhere."""
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in (environment.TOKEN, environment.TOKEN_FILE):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


class TestTokens:
    def test_a_user_without_one_gets_one_that_nobody_else_can_read(self, home):
        said = []
        assert environment.trust_the_user(print, make=False) is None
        path = environment.trust_the_user(said.append, make=True)
        assert path == home / ".ray" / "auth_token"
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert len(path.read_text()) == 64
        assert environment.trust_the_user(said.append, make=True) == path
        assert said == []

    def test_one_that_others_could_read_is_closed_and_that_is_said_without_it(
        self, home, monkeypatch
    ):
        path = home / "token"
        path.write_text("a secret")
        path.chmod(0o644)
        monkeypatch.setenv(environment.TOKEN_FILE, str(path))
        said = []
        assert environment.trust_the_user(said.append, make=False) == path
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert [str(path) in line and "a secret" not in line for line in said] == [True]
        monkeypatch.setenv(environment.TOKEN, "chosen")  # which is the user's choice
        assert environment.trust_the_user(print, make=True) is None
        with environment.trusting_only_this_process():
            assert os.environ[environment.TOKEN] == "chosen"
        assert os.environ[environment.TOKEN] == "chosen"


def test_in_a_job_that_brings_it_only_what_the_job_does_not_say(monkeypatch):
    """Ray refuses to merge two environments that name the same thing."""
    from ray.runtime_env.runtime_env import _merge_runtime_env

    own = {"RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1"}
    for bringer, variables in (("working_dir", {}), ("py_modules", {**own, "OTHER": "2"})):
        job = {bringer: "gcs://code.zip", "env_vars": variables}
        monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", json.dumps({"runtime_env": job}))
        merged = _merge_runtime_env(job, environment.shipped())
        assert merged == {bringer: "gcs://code.zip", "env_vars": {**variables, **own}}


def test_the_longest_path_of_a_socket_is_the_system_s_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as fits, socket.socket(socket.AF_UNIX) as too_long:
        fits.bind("x" * sessions.LONGEST)
        with pytest.raises(OSError, match="too long"):
            too_long.bind("x" * (sessions.LONGEST + 1))


def test_a_session_is_private_in_the_first_folder_that_fits_and_goes(tmp_path, monkeypatch):
    """A folder too deep for sockets and a file where a folder should be cannot."""
    deep, file = tmp_path / ("deep" * 20), tmp_path / "file"
    deep.mkdir()
    file.touch()
    monkeypatch.setenv("RAY_TMPDIR", str(deep))
    monkeypatch.setenv("TMPDIR", str(file))
    with sessions.folder() as found:
        assert Path(found).parent == Path("/tmp")
        assert len(os.fsencode(Path(found).parent / sessions.BELOW)) < sessions.LONGEST
        assert stat.S_IMODE(Path(found).stat().st_mode) == 0o700
        (Path(found) / "session").mkdir()
    assert not Path(found).exists()
    monkeypatch.setattr(sessions, "SHORT", str(deep))
    with pytest.raises(OSError, match=r"export RAY_TMPDIR=/a/short/path \(at most \d+ letters\)"):
        sessions.folder().__enter__()


def test_sigterm_ends_what_runs_as_ctrl_c_does():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), cluster.ended_by_sigterm():
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize("path", ["/a b/it's/python", "/plain/python"])
def test_a_shell_starts_the_python_of_this_environment_whatever_its_path(monkeypatch, path):
    monkeypatch.setattr(sys, "executable", path)
    named = cluster.python_of_workers().get("py_executable", path)
    assert shlex.split(f"exec {named} -u") == ["exec", path, "-u"]


@pytest.mark.ray
class TestOnRay:
    def test_a_process_in_which_ray_runs_already_is_told_to_end_it(self, local_ray):
        assert local_ray.nodes.alive()
        with pytest.raises(NoCluster, match=r"already runs in this process. Call ray.shutdown\(\)"):
            join(None)

    def test_every_live_node_is_asked_and_a_step_without_gpus_sees_none(self, local_ray, tmp_path):
        import ray

        store = Store(tmp_path)
        with local_ray.store_seen(store) as token:
            said = nodes.ask(store, token)
            assert list(said.values()) == [nodes.facts(store, token)]
        assert not list(tmp_path.iterdir())
        visible = ray.remote(num_cpus=0)(os.getenv)
        assert ray.get(visible.remote("CUDA_VISIBLE_DEVICES")) == ""

    @pytest.mark.usefixtures("local_ray")
    def test_a_head_that_answers_is_not_given_up(self, tmp_path, tiny_points):
        conductor = ConductorHandle([tiny_points[0].measure], Store(tmp_path), Placement())
        conductor.refuse_lost()
        with socket.create_server(("127.0.0.1", 0)) as held:
            nobody = f"127.0.0.1:{held.getsockname()[1]}"
        conductor.head = nobody
        conductor.refuse_lost(patience=1e6)
        with pytest.raises(NoCluster, match=f"the head of the cluster at {nobody} is gone"):
            conductor.refuse_lost()
