"""Study ``detection`` at ``tiny``: after the main job one detector, then the others by command."""

import csv
import json
import os
import subprocess
import sys
from collections import Counter

import numpy as np
import pytest

from orchestrator.cli import asking
from orchestrator.graph import plan
from orchestrator.run import report
from orchestrator.run.local import run_in_process
from orchestrator.studies import DETECTION
from orchestrator.studies.scales import TINY

pytestmark = [pytest.mark.ray, pytest.mark.slow]

PATIENCE = 480
"""Seconds that a busy machine may take before a test gives up."""


def castlewalls(*words):
    return subprocess.run(
        [sys.executable, "-m", "orchestrator", *words],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
        env={**os.environ, "COLUMNS": "200"},
    )


@pytest.fixture(scope="module")
def first(tiny_store, copied):
    """Cognitive Distillation after the main job, made in this process; the tasks that it took."""
    store = copied(tiny_store)
    asked = asking.request(
        "detection", scale="tiny", store=str(store.root), axes={"detector": "cd"}
    )
    planned = plan.make(asked.points(), store)
    run_in_process([point.measure for point in asked.points()], store)
    return store, Counter(step.task for step in planned.to_run)


@pytest.fixture(scope="module")
def store(first):
    return first[0]


@pytest.fixture(scope="module")
def added(store):
    """What was planned to run for the other detectors, as paths, before it ran; and the run."""
    points = DETECTION.points(TINY, DETECTION.axes(TINY))
    planned = [step.path for step in plan.make(points, store).to_run]
    return planned, castlewalls("run", "detection", "--scale", "tiny", "--store", str(store.root))


@pytest.fixture(scope="module")
def rows(store, added):
    with (store.root / "reports" / "detection-tiny" / "results.csv").open(newline="") as lines:
        return list(csv.DictReader(lines))


def test_after_the_main_job_no_diffusion_model_and_no_judge_is_trained(first):
    assert first[1] == {
        "train_classifier": 2,
        "attack": 2,
        "prepare": 2,
        "conditions": 2,
        "sample": 2,
        "dissect": 2,
        "detect": 4,
        "detection_row": 4,
    }


def test_further_detectors_run_detection_only(added):
    planned, done = added
    assert done.returncode == 0, done.stdout + done.stderr
    assert {path.partition("/")[0] for path in planned} == {"prepare", "detect", "detection_row"}
    started = [line for line in done.stdout.splitlines() if " started " in line]
    assert len(started) == len(planned)


def test_it_says_nothing_that_is_not_its_own(added):
    _, done = added
    assert done.stderr == ""
    for word in ("WARNING", "INFO", "Traceback", "Removed the following", "not within valid"):
        assert word not in done.stdout


def test_every_detector_has_a_row_for_both_sets(rows):
    assert len(rows) == 12
    found = {(row["detector"], row["image_set"], row["trigger"]) for row in rows}
    assert found == {
        (detector, image_set, trigger)
        for detector in ("cd", "strip", "fct")
        for image_set in ("training", "generation")
        for trigger in ("none", "badnets1")
    }
    for row in rows:
        assert 0 <= float(row["auroc_low"]) <= float(row["auroc_high"]) <= 1
        drawn = row["image_set"] == "generation"
        assert (row["guidance_weight"], row["sampler"]) == (("5.0", "ddim") if drawn else ("", ""))
        assert row["n"] == ("200" if drawn else "1437")


def test_poison_is_told_by_the_manifest_and_by_the_judge(rows):
    for row in rows:
        positives = int(row["n_positive"])
        if row["trigger"] == "none":
            assert positives == 0.1 * int(row["n"]) // 1  # made-up flags
            assert float(row["null_level"]) == pytest.approx(1 - 0.05 / 6)
        elif row["image_set"] == "training":
            assert positives == int(row["n_poisoned"]) == 143
        else:
            assert positives == int(row["g1_count"]) + int(row["g2_count"])


def test_the_page_shows_the_scores_that_the_rows_are_from(store, rows):
    asked = asking.request("detection", scale="tiny", store=str(store.root))
    for point in report.finished(asked):
        scores = report.arrays(store, point)["scores"]
        row = report.row_of(asked, point)
        assert int(scores["poisoned"].sum()) == row["n_positive"]
        assert np.isfinite(scores["suspicion"]).all()
    page = (store.root / "reports" / "detection-tiny" / "index.html").read_text()
    assert page.startswith("<!doctype html>")


def test_again_starts_nothing_and_changes_nothing(store, added):
    path = store.root / "reports" / "detection-tiny" / "results.csv"
    before = path.read_bytes()
    again = castlewalls("run", "detection", "--scale", "tiny", "--store", str(store.root))
    assert "nothing was started" in again.stdout
    assert path.read_bytes() == before


def test_tune_keeps_the_axes_flat_and_has_none_of_a_training_set_s_guidance(store, added):
    trials = {
        path.parent.name: json.loads(path.read_text())
        for path in store.root.glob("tune/*/*/params.json")
    }
    assert len(trials) == 8 + 2  # two detectors' points, and the null points of the first
    for axes in trials.values():
        assert set(DETECTION.swept(TINY.axes)) < set(axes)
        assert (axes["guidance_weight"] is None) == (axes["image_set"] == "training")
    assert len(list(store.root.glob("tune/*/*/events.out.tfevents.*"))) == len(trials)


def test_mlflow_has_every_point_and_every_training(store, added):
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{store.root / 'mlflow.db'}")
    runs = client.search_runs([client.get_experiment_by_name("detection").experiment_id])
    kinds = sorted(run.data.tags["castlewalls.kind"] for run in runs)
    # Two diffusion models, two classifiers and two judges.
    assert kinds == ["launch"] + ["point"] * 12 + ["training"] * 6
    points = [run for run in runs if run.data.tags["castlewalls.kind"] == "point"]
    for run in points:
        assert 0 <= run.data.metrics["auroc"] <= 1
        assert "DeLong" in run.data.tags["definition.interval"]
        names = {file.path for file in client.list_artifacts(run.info.run_id)}
        assert {"most_suspicious.png", "least_suspicious.png"} <= names
