"""The doctor: what it finds wrong, what it passes, and that it leaves nothing behind."""

import io
import os
import socket
import sqlite3
import subprocess
import sys
from concurrent import futures
from contextlib import contextmanager
from dataclasses import replace

import grpc
import pytest
from rich.console import Console

from orchestrator.cli import doctor, findings, machine
from orchestrator.cli.findings import Finding
from orchestrator.store.store import Store, open_store
from tests.orchestrator.machines import WELL
from tests.orchestrator.servers import server_of


def test_the_ranges_are_those_of_pyproject():
    asked = doctor.wanted()
    assert asked.python == ">=3.11"
    assert asked.packages["torch"] == "<2.15,>=2.14"
    assert asked.extras == {"ray": "[data,default,train,tune]"}
    here = machine.look(asked.packages, {})
    assert findings.versions(here, asked).level == "good"


@contextmanager
def head(answer):
    """A gRPC server that answers every call with ``answer(context)``."""

    class Every(grpc.GenericRpcHandler):
        def service(self, _):
            return grpc.unary_unary_rpc_method_handler(lambda _, context: answer(context))

    with futures.ThreadPoolExecutor(1) as pool:
        server = grpc.server(pool, handlers=[Every()])
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            server.stop(None).wait()


@pytest.mark.parametrize(
    ("answer", "guarded", "level"),
    [
        (lambda _: b"", False, "wrong"),
        (lambda context: context.abort(grpc.StatusCode.UNAUTHENTICATED, "token"), True, "good"),
        (lambda context: context.abort(grpc.StatusCode.UNAVAILABLE, "TLS"), None, "note"),
    ],
    ids=["lets in", "turns away", "does not say"],
)
def test_a_head_is_asked_as_a_stranger_and_past_proxies(monkeypatch, answer, guarded, level):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # nobody listens there
    with head(answer) as address:
        assert machine.guarded(address) is guarded
        assert doctor.guard(address).level == level


class TestStore:
    def test_a_good_one_is_passed_and_nothing_stays(self, tmp_path):
        store = open_store(str(tmp_path / "new" / "store"))
        with doctor.leaving_nothing(store.root):
            assert doctor.kept(store).level in ("good", "note")
            assert list(store.root.iterdir()) == []
        assert list(tmp_path.iterdir()) == []

    def test_what_was_there_stays(self, tmp_path):
        kept = tmp_path / "store"
        kept.mkdir()
        with doctor.leaving_nothing(kept):
            doctor.kept(open_store(str(kept)))
        assert kept.is_dir()

    def test_one_that_cannot_be_written_to_is_wrong(self, tmp_path):
        (tmp_path / "file").touch()
        finding = doctor.kept(Store(tmp_path / "file" / "store"))
        assert finding.level == "wrong"
        assert finding.says.startswith(f"cannot write to the store {tmp_path}/file/store: ")
        assert "--store" in finding.cure

    def test_a_node_that_has_another_folder_of_the_same_name_is_told(self, tmp_path):
        here, there = tmp_path / "here", tmp_path / "there"
        there.mkdir()
        probe = open_store(str(here)).probe()
        assert machine.look_at_node([], "/tmp", (str(here), probe))[1] is None
        _, blind = machine.look_at_node([], "/tmp", (str(there), probe))
        assert f"it does not find in {there} what was just written" in blind
        assert list(there.iterdir()) == []
        assert "s3://" in doctor.unseen(blind, str(there)).cure
        assert "credentials" in doctor.unseen("access denied", "s3://bucket/x").cure


class TestTracking:
    @pytest.fixture
    def tracked(self, tmp_path, monkeypatch):
        """What is found with ``MLFLOW_TRACKING_URI`` as given."""

        def look(uri=None):
            if uri is None:
                monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
            else:
                monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
            return doctor.tracked(open_store(str(tmp_path)))

        return look

    def test_without_a_server_the_first_run_makes_a_database(self, tracked, tmp_path):
        finding = tracked()
        assert finding.level == "good"
        assert str(tmp_path / "mlflow.db") in finding.says
        assert list(tmp_path.iterdir()) == []

    def test_a_database_of_mlflow_s_is_passed_and_another_file_is_not(self, tracked, tmp_path):
        path = tmp_path / "mlflow.db"
        path.write_text("no database at all" * 100)
        assert tracked().level == "wrong"
        assert f"mv {path} {path}.broken" in tracked().cure
        path.unlink()
        with sqlite3.connect(path) as database:
            database.execute("create table alembic_version (version_num text)")
        assert tracked().level == "good"

    @pytest.mark.parametrize("scheme", ["http", "postgresql"])
    def test_a_server_that_nobody_answers_for_is_wrong_and_its_password_is_not_told(
        self, tracked, scheme
    ):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        finding = tracked(f"{scheme}://me:s3cr3t@127.0.0.1:{port}/flow?token=t0k3n")
        assert finding.level == "wrong"
        assert finding.says.startswith(f"{scheme}://127.0.0.1:{port}/flow does not answer (")
        assert "s3cr3t" not in repr(finding)
        assert "t0k3n" not in repr(finding)

    def test_a_server_that_is_not_mlflow_s_is_wrong(self, tracked):
        with server_of(404) as port:
            finding = tracked(f"http://me:s3cr3t@127.0.0.1:{port}")
        assert finding.level == "wrong"
        assert "did not answer as MLflow does" in finding.says
        assert "404" in finding.says
        assert "s3cr3t" not in repr(finding)

    def test_a_folder_is_no_tracking_server_any_more(self, tracked):
        assert tracked("file:///tmp/mlruns").level == "wrong"
        assert tracked("mlruns").level == "wrong"


def node(address, number, **resources):
    return {"NodeManagerAddress": address, "NodeID": f"{number}" * 40, "Resources": resources}


HEAD = {"node:__internal_head__": 1.0}


class TestNodes:
    def told(self, *answers):
        names = {f"10.0.0.{number}": answer for number, answer in enumerate(answers)}
        nodes = {name: node(name, 1, CPU=1.0) for name in names}
        return list(doctor.of_nodes(nodes, names, WELL, ("ray", "torch"), "/data"))

    def test_equal_ones_are_a_good_line_each(self):
        found = self.told((WELL, None), (WELL, None))
        assert {finding.level for finding in found} == {"good"}
        assert [finding.about for finding in found] == ["node", "node", "versions", "store"]

    def test_what_several_have_is_said_once_with_their_names(self):
        slow = replace(WELL, threads={"OMP_NUM_THREADS": "4"})
        found = self.told(*[(slow, "no credentials")] * 5, (WELL, None))
        threads, store = (finding for finding in found if finding.level != "good")
        assert threads.says.startswith("on 10.0.0.0, 10.0.0.1, 10.0.0.2 and 2 more: OMP_NUM_")
        assert store.says == "on 10.0.0.0, 10.0.0.1, 10.0.0.2 and 2 more: no credentials"

    @pytest.mark.parametrize(
        ("other", "level"),
        [
            (replace(WELL, python="3.11.8"), "wrong"),
            (replace(WELL, versions={**WELL.versions, "torch": "2.14.0"}), "wrong"),
            (replace(WELL, versions={"ray": "2.60.0"}), "wrong"),
        ],
        ids=["python", "torch", "missing"],
    )
    def test_another_version_on_a_node_is_wrong(self, other, level):
        [finding] = [one for one in self.told((other, None)) if one.level != "good"]
        assert (finding.level, finding.about) == (level, "versions")
        assert finding.says.startswith("on 10.0.0.0: ")

    def test_one_that_does_not_answer_is_wrong_and_says_nothing_of_the_store(self):
        found = self.told((WELL, None), doctor.silent())
        assert [finding.level for finding in found] == ["good", "wrong"]
        assert found[1].says.startswith("on 10.0.0.1: no answer within")

    def test_several_on_one_machine_are_told_apart(self):
        nodes = [node("10.0.0.2", 3), node("10.0.0.1", 2), node("10.0.0.1", 1)]
        assert list(doctor.named(nodes)) == ["10.0.0.1 (111111)", "10.0.0.1 (222222)", "10.0.0.2"]

    @pytest.mark.parametrize(
        ("nodes", "more", "level"),
        [
            ([node("a", 1, **HEAD), node("b", 2, CPU=4.0)], [], "good"),
            ([node("a", 1, CPU=4.0, **HEAD)], [], "good"),
            ([node("a", 1, CPU=4.0, **HEAD), node("b", 2, CPU=4.0)], [], "note"),
            ([node("a", 1, **HEAD)], [], "wrong"),
            ([node("a", 1, **HEAD)], [{"CPU": 8.0, "GPU": 1.0}], "good"),
        ],
        ids=["head apart", "one machine", "head works too", "head alone", "head that grows"],
    )
    def test_a_cluster_has_to_have_a_cpu_and_its_head_better_none(self, nodes, more, level):
        resources = [one["Resources"] for one in nodes]
        assert doctor.shape(nodes, [*resources, *more]).level == level


def test_findings_are_a_line_each_with_the_cure_below():
    output = io.StringIO()
    found = [
        Finding("good", "cores", "2"),
        Finding("wrong", "store", "[gone]", "give another with --store"),
    ]
    doctor.print_findings(found, Console(file=output, width=40))
    assert output.getvalue().splitlines() == [
        "good  cores: 2",
        "wrong store: [gone]",
        "      cure: give another with --store",
        "1 good, 0 to note, 1 wrong",
    ]


def run_doctor(*words, **environment):
    """The command in a process of its own; what it imported is the last line of its errors."""
    code = (
        "import sys\n"
        "from orchestrator.cli import commands\n"
        f"sys.argv = ['castlewalls', 'doctor', *{words!r}]\n"
        "try:\n"
        "    commands.main()\n"
        "finally:\n"
        "    heavy = {'ray', 'torch', 'mlflow'} & set(sys.modules)\n"
        "    print('HEAVY', sorted(heavy), file=sys.stderr)\n"
    )
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


class TestTheCommand:
    def test_a_token_that_others_can_read_ends_it_with_code_1(self, tmp_path):
        (tmp_path / "token").write_text("0123456789abcdef")
        (tmp_path / "token").chmod(0o644)
        named = {"RAY_AUTH_TOKEN_PATH": str(tmp_path / "token"), "RAY_AUTH_TOKEN": ""}
        done = run_doctor("--store", str(tmp_path / "store"), **named)
        assert done.returncode == 1
        lines = done.stdout.splitlines()
        [line] = [line for line in lines if line.startswith("wrong authentication: ")]
        assert lines[lines.index(line) + 1] == f"      cure: chmod 600 {tmp_path}/token"
        assert "0123456789abcdef" not in done.stdout
        assert done.stderr == "HEAVY []\n"
        assert [path.name for path in tmp_path.iterdir()] == ["token"]

    def test_a_store_of_an_unknown_kind_is_bad_usage(self):
        done = run_doctor("--store", "zzz://somewhere")
        assert done.returncode == 2
        assert done.stdout == ""
        assert "castlewalls: --store takes" in done.stderr

    @pytest.mark.ray
    def test_every_node_of_a_cluster_is_looked_at(self, local_ray, tmp_path):
        import ray

        assert local_ray.EMBEDDED_OBJECT_STORE == findings.OBJECT_STORE
        address = ray.get_runtime_context().gcs_address
        store = tmp_path / "store"
        bound_to_loopback = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}  # as this Ray is, alone
        done = run_doctor("--address", address, "--store", str(store), **bound_to_loopback)
        assert f"good  authentication: the cluster at {address} asks for a token" in done.stdout
        assert "good  cluster: 1 node(s) with " in done.stdout
        assert "good  versions: the same on every node as here" in done.stdout
        assert "good  store: read and written on every node" in done.stdout
        assert "Traceback" not in done.stderr
        assert list(tmp_path.iterdir()) == []
