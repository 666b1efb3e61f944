"""Study ``detection`` at ``tiny``: after the main job one detector, then the others by command."""

import csv
import json
from collections import Counter
from itertools import product

import pytest

from bench.drivers import Driver
from orchestrator.cli import parsing
from orchestrator.graph import plan
from orchestrator.run.local import run_in_process
from orchestrator.studies import DETECTION
from orchestrator.studies.scales import TINY

pytestmark = [pytest.mark.ray, pytest.mark.slow]


@pytest.fixture(scope="module")
def first(tiny_store, copied):
    """Cognitive Distillation after the main job, made in this process; the tasks that it took."""
    store = copied(tiny_store)
    asked = parsing.request("detection", scale="tiny", store=str(store.root), detector="cd")
    planned = plan.make(asked.points(), store)
    run_in_process([point.measure for point in asked.points()], store)
    return store, Counter(step.task for step in planned.to_run)


@pytest.fixture(scope="module")
def store(first):
    return first[0]


@pytest.fixture(scope="module")
def added(store):
    """What was planned to run for the other detectors, as paths, before it ran; and the run."""
    points = DETECTION.points(TINY, DETECTION.chosen(TINY))
    planned = [step.path for step in plan.make(points, store).to_run]
    driver = Driver(["detection", "--scale", "tiny", "--store", str(store.root)])
    return planned, (driver.end(), driver.said)


@pytest.fixture(scope="module")
def rows(store, added):
    with (store.root / "reports" / "detection-tiny" / "results.csv").open(newline="") as lines:
        return list(csv.DictReader(lines))


def test_after_the_main_job_no_diffusion_model_and_no_judge_is_trained(first):
    twice = ("train_classifier", "attack", "prepare", "conditions", "sample", "dissect")
    assert first[1] == {**dict.fromkeys(twice, 2), "detect": 4, "detection_row": 4}


def test_further_detectors_run_detection_only(added):
    planned, (code, said) = added
    assert code == 0, said
    assert {path.partition("/")[0] for path in planned} == {"prepare", "detect", "detection_row"}
    assert len([line for line in said.splitlines() if " started " in line]) == len(planned)
    for word in ("WARNING", "INFO", "Traceback", "Removed the following", "not within valid"):
        assert word not in said


def test_every_detector_has_a_row_for_both_sets(rows):
    every = product(("cd", "strip", "fct"), ("training", "generation"), ("none", "badnets1"))
    found = [(row["detector"], row["image_set"], row["trigger"]) for row in rows]
    assert sorted(found) == sorted(every)
    for row in rows:
        assert 0 <= float(row["auroc_low"]) <= float(row["auroc_high"]) <= 1
        drawn = row["image_set"] == "generation"
        assert (row["guidance_weight"], row["sampler"]) == (("5.0", "ddim") if drawn else ("", ""))
        assert row["n"] == ("200" if drawn else "1437")
        flags = int(row["g1_count"]) + int(row["g2_count"]) if drawn else 143
        if row["trigger"] == "none":  # made-up flags
            flags = int(row["n"]) // 10
            assert float(row["null_level"]) == pytest.approx(1 - 0.05 / 6)
        assert int(row["n_positive"]) == flags


def test_tune_keeps_the_axes_flat_and_has_none_of_a_training_set_s_guidance(store, added):
    trials = {
        path.parent.name: json.loads(path.read_text())
        for path in store.root.glob("tune/*/*/params.json")
    }
    assert len(trials) == 8 + 2  # two detectors' points, and the null points of the first
    for axes in trials.values():
        assert {axis.name for axis in DETECTION.axes} < set(axes)
        assert (axes["guidance_weight"] is None) == (axes["image_set"] == "training")
    assert len(list(store.root.glob("tune/*/*/events.out.tfevents.*"))) == len(trials)
