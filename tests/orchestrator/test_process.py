"""What a process finds around it: other packages of our names, no home, proxies, taken ports."""

import getpass
import os
import socket
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import requests

from orchestrator import ROOT, process
from orchestrator.store.store import Store
from tests.orchestrator.servers import server_of

NOBODY = "http://127.0.0.1:9"
"""A proxy that refuses; the port is kept for what throws everything away."""


def python(*words, cwd, **environment):
    return subprocess.run(
        [sys.executable, *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env={**os.environ, **environment},
    )


class TestPackagesOfOurNames:
    def test_those_of_the_current_folder_are_passed_over(self, decoys, tmp_path):
        words = ["-m", "orchestrator", "plan", "amplification", "--scale", "tiny"]
        done = python(*words, "--store", tmp_path / "store", cwd=decoys)
        assert (done.returncode, done.stderr) == (0, "")

    def test_those_that_are_imported_already_are_named_in_a_line(self, tmp_path):
        (tmp_path / "models.py").touch()
        done = python("-c", "import models, orchestrator", cwd=tmp_path)
        last = done.stderr.splitlines()[-1]
        assert last.startswith(f"ImportError: castlewalls has a package 'models', but {tmp_path}")

    @pytest.mark.ray
    def test_workers_import_ours_first_and_nothing_of_where_the_driver_stands(
        self, local_ray, decoys
    ):
        import ray

        assert local_ray.nodes.alive()
        path = ray.get(ray.remote(num_cpus=0)(lambda: (sys.path, str(Path.cwd()))).remote())
        assert path[1] == str(decoys)
        assert path[0][0] == str(ROOT)
        assert not {"", str(decoys)} & set(path[0])


@pytest.fixture
def nameless(tmp_path, monkeypatch):
    """A user whom the system does not know, as a container's may be."""

    def unknown(_):
        raise KeyError("getpwuid(): uid not found")

    for name in ("HOME", "LOGNAME", "USER", "LNAME", "USERNAME", "CASTLEWALLS_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", unknown)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


@pytest.mark.usefixtures("nameless")
class TestNoHome:
    def test_a_private_one_is_made_and_the_user_gets_a_name(self, tmp_path):
        with process.environment_kept():
            process.prepare()
            assert Path.home().parent == tmp_path
            assert stat.S_IMODE(Path.home().stat().st_mode) == 0o700
            assert getpass.getuser() == str(os.getuid())
            assert Store("s3://bucket/x").root.is_relative_to(Path.home())
        assert "HOME" not in os.environ


class TestProxies:
    @pytest.fixture(autouse=True)
    def a_proxy_that_refuses(self, monkeypatch):
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        for name in ("http_proxy", "https_proxy", "HTTP_PROXY"):
            monkeypatch.setenv(name, NOBODY)

    def test_what_listens_on_loopback_is_asked_directly(self):
        with server_of(200) as port, process.environment_kept():
            process.prepare()
            for host in ("127.0.0.1", "localhost"):
                assert requests.get(f"http://{host}:{port}/", timeout=5).status_code == 200

    def test_exceptions_of_the_user_s_own_stay(self, monkeypatch):
        monkeypatch.setenv("no_proxy", "example.org, 127.0.0.1")
        with process.environment_kept():
            process.prepare()
            assert os.environ["no_proxy"] == "example.org,127.0.0.1,localhost,::1"
        assert os.environ["no_proxy"] == "example.org, 127.0.0.1"


def test_the_usual_one_is_taken_if_it_is_free_and_another_if_not():
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        assert process.free_port(None, usual=port) not in (0, port)
    assert process.free_port(None, usual=port) == port
