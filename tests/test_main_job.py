"""The main job through its command, at ``tiny``: once undisturbed, once ended again and again."""

import random
import shutil
import signal
from pathlib import Path

import pytest

from bench.chaos import results
from bench.drivers import Driver

WORDS = ["amplification", "--scale", "tiny", "--trigger", "badnets1"]
WORDS += ["--guidance-weight", "2", "--poison-ratio", "0,0.1"]


def run(store: Path) -> str:
    """What the whole command says."""
    driver = Driver([*WORDS, "--store", str(store)])
    assert driver.end() == 0, driver.said
    return driver.said


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    store = tmp_path_factory.mktemp("undisturbed")
    return store, run(store)


@pytest.mark.ray
@pytest.mark.slow
class TestTheMainJob:
    def test_ends_with_a_table_a_finding_and_a_page(self, undisturbed):
        store, said = undisturbed
        page = store / "reports" / said.split("/reports/")[-1].strip()
        assert page.name == "index.html"
        assert "G1" in page.read_text()
        assert "BadNets-1  10%" in said
        for word in ("WARNING", "INFO", "Traceback", "ray.init", "Trial ", "alembic"):
            assert word not in said

    def test_again_starts_nothing_and_changes_nothing(self, undisturbed):
        store, _ = undisturbed
        before, again = results(store), run(store)
        assert "nothing was started" in again
        assert " started " not in again
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

    def test_told_to_end_it_says_how_to_go_on(self, tmp_path):
        driver = Driver([*WORDS, "--store", str(tmp_path)])
        assert driver.wait_for(lambda: bool(driver.events("started"))), driver.said
        driver.process.send_signal(random.choice([signal.SIGINT, signal.SIGTERM]))
        assert driver.end() == 130, driver.said
        assert "the same command goes on from there" in driver.said
        assert "Traceback" not in driver.said

    def test_killed_in_a_training_it_goes_on_to_the_same_results(self, undisturbed, tmp_path):
        store, _ = undisturbed
        for made in (record.parent for record in store.glob("*/*/record.json")):
            if made.match("poison/*") or "badnets1-p0.1-" not in made.name:
                shutil.copytree(made, tmp_path / made.relative_to(store))
        driver = Driver([*WORDS, "--store", str(tmp_path), "--checkpoint-seconds", "0"])
        checkpoint = ".checkpoints/*/*/[0-9]*/record.json"
        assert driver.wait_for(lambda: any(tmp_path.glob(checkpoint))), driver.said
        driver.process.kill()
        assert driver.end() == -signal.SIGKILL, driver.said
        assert "Traceback" not in driver.said
        run(tmp_path)
        assert results(tmp_path) == results(store)
