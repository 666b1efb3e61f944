"""The main job through its command, at ``tiny``: once undisturbed, once with everything killed."""

import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

ARGUMENTS = ["run", "amplification", "--scale", "tiny", "--guidance-weight", "2"]
ARGUMENTS += ["--trigger", "badnets1"]
PATIENCE = 240
"""Seconds that a command may take on a busy machine before the test gives up."""


def command(store: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "orchestrator", *ARGUMENTS, "--store", str(store), *more]


def results(store: Path) -> bytes:
    [path] = (store / "reports").glob("*/results.csv")
    return path.read_bytes()


class Running:
    """A command whose lines can be waited for."""

    def __init__(self, store: Path, *more: str) -> None:
        self.process = subprocess.Popen(
            command(store, *more),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**os.environ, "COLUMNS": "200"},
            # A shell's background job ignores Ctrl-C, and its children would too.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        self.lines: list[str] = []
        self.news = threading.Condition()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        for line in self.process.stdout:
            with self.news:
                self.lines.append(line)
                self.news.notify_all()
        with self.news:
            self.news.notify_all()

    def wait_for(self, *words: str, count: int = 1) -> None:
        """Return when ``count`` lines hold all the words; fail when the command ends before."""

        def seen() -> bool:
            return sum(all(word in line for word in words) for line in self.lines) >= count

        with self.news:
            found = self.news.wait_for(
                lambda: seen() or not self.reader.is_alive(), timeout=PATIENCE
            )
        assert found, "".join(self.lines)
        assert seen(), "".join(self.lines)

    def kill(self, title: str) -> None:
        """SIGKILL one of the command's processes that goes by ``title``."""
        deadline = time.monotonic() + PATIENCE
        while not (found := [child for child in self.family() if _title(child) == title]):
            assert time.monotonic() < deadline, [_title(child) for child in self.family()]
            with self.news:
                self.news.wait(0.05)
        found[0].kill()

    def family(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def end(self) -> int:
        code = self.process.wait(timeout=PATIENCE)
        self.reader.join(timeout=10)
        return code


def _title(process: psutil.Process) -> str:
    try:
        return process.cmdline()[0]
    except (psutil.Error, IndexError):
        return ""


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    store = tmp_path_factory.mktemp("undisturbed")
    done = subprocess.run(
        command(store), capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return store, done


@pytest.mark.ray
@pytest.mark.slow
class TestTheMainJob:
    def test_ends_with_a_table_a_finding_and_a_page(self, undisturbed):
        store, done = undisturbed
        page = store / "reports" / done.stdout.split("/reports/")[-1].strip()
        assert page.name == "index.html"
        assert "G1" in page.read_text()
        assert "trigger ratio" in done.stdout

    def test_says_nothing_that_is_not_its_own(self, undisturbed):
        _, done = undisturbed
        assert done.stderr == ""
        for word in ("WARNING", "INFO", "Traceback", "ray.init", "Trial ", "alembic"):
            assert word not in done.stdout

    def test_again_starts_nothing_and_changes_nothing(self, undisturbed):
        store, _ = undisturbed
        before = results(store)
        again = subprocess.run(
            command(store), capture_output=True, text=True, timeout=PATIENCE, check=True
        )
        assert "nothing was started" in again.stdout
        assert " started " not in again.stdout
        assert results(store) == before

    def test_tune_names_trials_by_their_axes_and_keeps_the_axes_flat(self, undisturbed):
        store, _ = undisturbed
        trials = {path.parent.name: path for path in store.glob("tune/*/*/params.json")}
        assert "badnets1-p0.1-w2-ddim-8-seed0" in trials
        assert '"poison_ratio": 0.1' in trials["badnets1-p0.1-w2-ddim-8-seed0"].read_text()
        assert list(store.glob("tune/*/*/events.out.tfevents.*"))

    def test_mlflow_has_the_points_and_the_trainings(self, undisturbed):
        from mlflow import MlflowClient

        store, _ = undisturbed
        client = MlflowClient(f"sqlite:///{store / 'mlflow.db'}")
        experiment = client.get_experiment_by_name("amplification")
        runs = client.search_runs([experiment.experiment_id])
        kinds = sorted(run.data.tags["castlewalls.kind"] for run in runs)
        assert kinds == ["launch"] + ["point"] * 2 + ["training"] * 4
        [point] = (run for run in runs if run.info.run_name.startswith("badnets1-p0.1-w2"))
        assert point.data.params["poison_ratio"] == "0.1"
        assert 0 <= point.data.metrics["g1"] <= 1

    def test_two_actors_end_in_the_same_results(self, undisturbed, tmp_path):
        store, _ = undisturbed
        for task in ("datasets", "poison", "mark", "train_classifier", "train_diffusion", "assess"):
            shutil.copytree(store / task, tmp_path / task)  # only what actors share is made again
        subprocess.run(
            command(tmp_path, "--actors", "2", "--poison-ratio", "0.1"),
            timeout=PATIENCE,
            check=True,
        )
        [two] = (line for line in results(tmp_path).splitlines() if b"badnets1" in line)
        assert two in results(store).splitlines()

    def test_killed_and_interrupted_it_ends_in_the_same_results(self, undisturbed, tmp_path):
        store, _ = undisturbed
        chance = random.Random()
        often = ("--checkpoint-seconds", "0")

        interrupted = Running(tmp_path, *often)
        interrupted.wait_for("done", count=chance.randint(1, 5))
        interrupted.process.send_signal(signal.SIGINT)
        assert interrupted.end() == 130, "".join(interrupted.lines)
        assert "the same command goes on from there" in "".join(interrupted.lines)

        killed = Running(tmp_path, *often)
        killed.wait_for("started", "train_diffusion")
        killed.kill("ray::_build")
        killed.wait_for("retry")
        killed.wait_for("done", count=chance.randint(1, 4))
        killed.kill("ray::RayConductor")
        killed.wait_for("done", count=chance.randint(5, 10))
        killed.process.kill()
        killed.end()

        last = Running(tmp_path, *often)
        assert last.end() == 0, "".join(last.lines)
        assert results(tmp_path) == results(store)
