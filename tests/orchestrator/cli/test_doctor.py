"""The doctor finds each problem, passes what is well, and leaves nothing behind."""

import os
import re
import subprocess
import sys
from concurrent import futures
from contextlib import contextmanager
from dataclasses import replace

import grpc
import psutil
import pytest

from orchestrator.cli import doctor
from orchestrator.cli.doctor import FULL, GIB
from orchestrator.run import nodes
from orchestrator.store.store import Store, open_store


def memory(free, total, cores=2):
    few, many = (doctor.OBJECT_STORE + doctor.TORCH_PROCESS * (n + 1) for n in (1, cores))
    return doctor.room("memory", doctor.Space(free, total), few, many, "top", FULL)


@pytest.mark.parametrize(
    ("finding", "level", "found", "cure"),
    [
        (doctor.cpus(4, 2.5), "note", "2.5 to use; steps are placed on 4,", "taskset -c 0-1 "),
        (doctor.cpus(2, None), "good", "2 to use", ""),
        (memory(7 * GIB // 2, 16 * GIB), "good", "3.5 GiB of 16.0 GiB free", ""),
        (memory(5 * GIB // 2, 16 * GIB), "note", "2.8 GiB are better", "top"),
        (memory(3 * GIB // 2, 16 * GIB), "wrong", "2.0 GiB are needed", "top"),
        (memory(40 * GIB, 1000 * GIB), "wrong", "50.0 GiB are needed", "top"),
    ],
    ids=str,
)
def test_each_check_has_its_level_and_cure(finding, level, found, cure):
    assert finding.level == level
    assert found in finding.found
    assert cure in finding.cure
    assert (level == "good") != bool(finding.cure)


@pytest.mark.parametrize(
    ("environment", "mode", "level", "found"),
    [
        ({}, None, "good", "no token"),
        ({}, 0o600, "good", "auth_token"),
        ({}, 0o640, "wrong", "others can read it"),
        ({"RAY_AUTH_TOKEN": "s3cr3t"}, 0o644, "good", "RAY_AUTH_TOKEN"),
        ({"RAY_AUTH_TOKEN_PATH": "/nowhere"}, 0o600, "wrong", "cannot be read"),
        ({"RAY_AUTH_MODE": "disabled"}, 0o600, "wrong", "'disabled'"),
    ],
)
def test_a_token_is_looked_for_where_ray_does_and_never_told(
    tmp_path, environment, mode, level, found
):
    if mode is not None:
        (tmp_path / ".ray").mkdir()
        (tmp_path / ".ray" / "auth_token").write_text("s3cr3t")
        (tmp_path / ".ray" / "auth_token").chmod(mode)
    finding = doctor.token({"HOME": str(tmp_path), **environment})
    assert finding.level == level
    assert found in finding.found
    assert "s3cr3t" not in repr(finding)


class TestFacts:
    def test_memory_and_cpus_are_those_of_the_container(self, tmp_path):
        assert doctor.memory_of(tmp_path).total == psutil.virtual_memory().total
        assert doctor.cpu_quota(tmp_path) is None
        written = {"cpu.max": "250000 100000", "memory.max": "1000", "memory.current": "700"}
        for name, text in (written | {"memory.stat": "anon 1\ninactive_file 50"}).items():
            (tmp_path / name).write_text(f"{text}\n")
        assert doctor.memory_of(tmp_path) == doctor.Space(350, 1000)
        assert doctor.cpu_quota(tmp_path) == 2.5

    @pytest.mark.parametrize(
        ("script", "found"),
        [
            ("echo no devices were found\nexit 6", "nvidia-smi failed: no devices were found"),
            ("echo A100, 40960 MiB", "A100, 40960 MiB; torch"),
        ],
    )
    def test_gpus_without_a_driver_or_hidden_from_torch_are_told(self, tmp_path, script, found):
        (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / "nvidia-smi").chmod(0o755)
        environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "CUDA_VISIBLE_DEVICES": ""}
        finding = doctor.gpus(environment)
        assert finding.level == "wrong"
        assert finding.found.startswith(found)
        assert ("sees 0 of 1 (CUDA_VISIBLE_DEVICES is '')" in finding.found) == ("A100" in found)


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
    ("answer", "level"),
    [
        (lambda _: b"", "wrong"),
        (lambda context: context.abort(grpc.StatusCode.UNAUTHENTICATED, "token"), "good"),
        (lambda context: context.abort(grpc.StatusCode.UNAVAILABLE, "TLS"), "note"),
    ],
    ids=["lets in", "refuses", "does not say"],
)
def test_a_head_is_asked_without_a_token_and_past_proxies(monkeypatch, answer, level):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # nobody listens there
    with head(answer) as address:
        assert doctor.guard(address).level == level


@pytest.mark.parametrize("there", [False, True])
def test_a_good_store_is_passed_and_nothing_stays(tmp_path, there):
    store = open_store(str(tmp_path / "new" / "store"))
    if there:
        store.root.mkdir(parents=True)
    with doctor.leaving_nothing(store.root):
        assert doctor.writable(store).level in ("good", "note")
        assert list(store.root.iterdir()) == []
    assert store.root.exists() == there == bool(list(tmp_path.iterdir()))
    (tmp_path / "file").touch()
    finding = doctor.writable(Store(tmp_path / "file" / "store"))
    assert (finding.level, "cannot write to the store" in finding.found) == ("wrong", True)


def test_each_unfit_node_is_named_with_its_cure(tmp_path):
    store, own = Store(tmp_path), nodes.facts()
    assert [one.level for one in doctor.fit({"one": own, "two": own}, store)] == ["good"]
    older = replace(own, versions={**own.versions, "ray": "1.0"})
    blind = replace(own, unseen="it does not find what was written")
    found = doctor.fit({"one": own, "two": older, "three": blind, "four": "silent"}, store)
    assert {one.level for one in found} == {"wrong"}
    told = ["two: 1.0", "Install", "three: it does", "Give", "four: silent", "Remove"]
    for finding, said, cure in zip(found, told[::2], told[1::2], strict=True):
        assert said in finding.found
        assert finding.cure.startswith(cure)


def run_doctor(*words, **environment):
    """The command in a process of its own."""
    command, own = [sys.executable, "-m", "orchestrator", "doctor"], {**os.environ, **environment}
    return subprocess.run([*command, *words], capture_output=True, text=True, env=own)


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
        assert re.fullmatch(r"\d+ good, \d+ to note, [1-9] wrong", lines[-1])
        assert done.stderr == ""
        assert [path.name for path in tmp_path.iterdir()] == ["token"]

    @pytest.mark.ray
    @pytest.mark.slow
    def test_every_node_of_a_cluster_is_checked(self, local_ray, tmp_path):
        import ray

        assert local_ray.EMBEDDED_OBJECT_STORE == doctor.OBJECT_STORE
        address = ray.get_runtime_context().gcs_address
        bound_to_loopback = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}  # as this Ray is, alone
        store = str(tmp_path / "store")
        done = run_doctor("--address", address, "--store", store, **bound_to_loopback)
        assert f"good  authentication: the cluster at {address}\n" in done.stdout
        assert "good  nodes: 1 node with our versions and a view of the store\n" in done.stdout
        assert "Traceback" not in done.stderr
        assert list(tmp_path.iterdir()) == []
