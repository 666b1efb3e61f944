"""Facts of a machine are those that the system has, and none of them is secret."""

import os
import secrets
import subprocess
import sys

import pytest

from orchestrator.cli import machine
from orchestrator.cli.machine import Listener, Token


class TestLooking:
    def test_the_facts_of_this_machine_are_those_that_the_system_has(self):
        facts = machine.look(["rich", "no-such-package"], {"OMP_NUM_THREADS": "3", "HOME": "/x"})
        assert facts.python == ".".join(map(str, sys.version_info[:3]))
        assert facts.versions["no-such-package"] is None
        assert facts.cores == len(os.sched_getaffinity(0))
        assert 0 < facts.memory.free <= facts.memory.total
        assert 0 < facts.temporary_disk.free < facts.temporary_disk.total
        assert facts.threads == {"OMP_NUM_THREADS": "3"}

    @pytest.mark.parametrize("mode", [0o600, 0o644])
    def test_a_token_is_described_and_never_told(self, tmp_path, mode):
        token = secrets.token_hex(32)
        (tmp_path / ".ray").mkdir()
        file = tmp_path / ".ray" / "auth_token"
        file.write_text(token)
        file.chmod(mode)
        by_file = machine.look([], {"HOME": str(tmp_path)})
        by_variable = machine.look([], {"HOME": str(tmp_path), "RAY_AUTH_TOKEN": token})
        assert by_file.token == Token(str(file), mode)
        assert by_variable.token == Token("RAY_AUTH_TOKEN")
        assert token not in repr((by_file, by_variable))

    def test_a_token_file_that_is_named_is_looked_for_there(self, tmp_path):
        named = {"HOME": str(tmp_path), "RAY_AUTH_TOKEN_PATH": str(tmp_path / "token")}
        assert machine.look([], {"HOME": str(tmp_path)}).token is None
        assert machine.look([], named).token == Token(str(tmp_path / "token"))
        (tmp_path / "token").touch(0o600)
        assert machine.look([], named).token == Token(str(tmp_path / "token"), 0o600, empty=True)

    def test_a_gpu_without_a_working_driver_is_told(self, tmp_path):
        (tmp_path / "nvidia-smi").write_text("#!/bin/sh\necho no devices were found\nexit 6\n")
        (tmp_path / "nvidia-smi").chmod(0o755)
        facts = machine.look([], {"PATH": f"{tmp_path}:/usr/bin:/bin"})
        assert (facts.gpus, facts.gpu_trouble) == ((), "nvidia-smi failed: no devices were found")

    def test_gpus_that_torch_does_not_see_are_told(self, tmp_path):
        """There can be no such GPU: whatever this machine has, torch is shown none of it."""
        (tmp_path / "nvidia-smi").write_text("#!/bin/sh\necho A100, 40960 MiB\n")
        (tmp_path / "nvidia-smi").chmod(0o755)
        facts = machine.look([], {"PATH": f"{tmp_path}:/usr/bin:/bin", "CUDA_VISIBLE_DEVICES": ""})
        assert facts.gpus == ("A100, 40960 MiB",)
        assert "sees 0 of 1 (CUDA_VISIBLE_DEVICES is '')" in facts.gpu_trouble


LISTEN = """
import http.server, sys
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(int(sys.argv[2]))
        self.end_headers()
    def log_message(self, *_):
        pass
server = http.server.HTTPServer((sys.argv[3], 0), Page)
print(server.server_port, flush=True)
server.serve_forever()
"""


class TestOpenPorts:
    @pytest.mark.parametrize(
        ("program", "status", "host", "guarded"),
        [
            ("mlflow", 200, "0.0.0.0", False),
            ("mlflow", 401, "0.0.0.0", True),
            ("tensorboard", 200, "0.0.0.0", None),
            ("mlflow", 200, "127.0.0.1", "not seen"),
            ("something", 200, "0.0.0.0", "not seen"),
        ],
    )
    def test_who_listens_beyond_loopback_is_seen(self, tmp_path, program, status, host, guarded):
        """A process that goes by the program's name, on a port of its own."""
        script = tmp_path / program
        script.write_text(LISTEN)
        words = [sys.executable, str(script), "server", str(status), host]
        with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
            try:
                port = int(process.stdout.readline())
                seen = [one for one in machine.listening() if one.process == process.pid]
            finally:
                process.kill()
        if guarded == "not seen":
            assert seen == []
        else:
            name = {"mlflow": "MLflow", "tensorboard": "TensorBoard"}[program]
            assert seen == [Listener(name, f"0.0.0.0:{port}", process.pid, guarded)]
