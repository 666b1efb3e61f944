"""The main job through its command, at ``tiny``: once undisturbed, once ended again and again."""

import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bench.chaos import results
from bench.drivers import Driver

WORDS = ["amplification", "--scale", "tiny", "--guidance-weight", "2", "--trigger", "badnets1"]
PATIENCE = 240
"""Seconds that a command may take on a busy machine before the test gives up."""


def command(store: Path, *more: str) -> list[str]:
    return [sys.executable, "-m", "orchestrator", "run", *WORDS, "--store", str(store), *more]


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
        _half_made(store, tmp_path)  # only what actors share is made again, and of one class
        for path in [*store.glob("sample/9classes-*"), *store.glob("train_diffusion/*")]:
            shutil.copytree(path, tmp_path / path.relative_to(store))
        done = subprocess.run(
            command(tmp_path, "--actors", "2", "--poison-ratio", "0.1"),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        [two] = (line for line in results(tmp_path).splitlines() if b"badnets1" in line)
        assert two in results(store).splitlines()

    def test_interrupted_ended_and_killed_it_goes_on_to_the_same_results(
        self, undisturbed, tmp_path
    ):
        store, _ = undisturbed
        _half_made(store, tmp_path)
        chance = random.Random()
        polite = chance.choice([signal.SIGINT, signal.SIGTERM])
        told = (polite, 130), (signal.SIGKILL, -signal.SIGKILL)
        for number, code in told:
            driver = Driver([*WORDS, "--store", str(tmp_path), "--checkpoint-seconds", "0"])
            ended = chance.randint(1, 2)
            driver.wait_for(lambda ended=ended, driver=driver: len(driver.events("done")) >= ended)
            driver.process.send_signal(number)
            assert driver.end() == code, driver.said
            assert ("the same command goes on from there" in driver.said) == (code == 130)
            assert "Traceback" not in driver.said
        last = Driver([*WORDS, "--store", str(tmp_path)])
        assert last.end() == 0, last.said
        assert results(tmp_path) == results(store)


def _half_made(made: Path, store: Path) -> None:
    """Copy what the diffusion models are made of, and judged by, from a finished store."""
    for task in ("datasets", "poison", "mark", "train_classifier", "assess"):
        shutil.copytree(made / task, store / task)
