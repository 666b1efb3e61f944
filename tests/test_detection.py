"""Study ``detection`` at ``tiny`` after the main job: one detector, then the others."""

from collections import Counter
from itertools import product

import pytest

from bench.local import run_in_process
from orchestrator.cli import parsing
from orchestrator.graph import plan
from orchestrator.run import report

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made(tiny_store, copied):
    """The study, and which tasks the first detector and then the others took."""
    store, took = copied(tiny_store), []
    for names in ("cd", "cd,strip,fct"):
        where = {"scale": "tiny", "store": str(store.root)}
        asked = parsing.request("detection", **where, detector=names)
        took.append(Counter(step.task for step in plan.make(asked.points(), store).to_run))
        run_in_process([point.measure for point in asked.points()], store)
    return asked, took


def test_after_the_main_job_no_diffusion_model_and_no_judge_is_trained(made):
    twice = ("train_classifier", "attack", "prepare", "conditions", "sample", "dissect")
    assert made[1][0] == {**dict.fromkeys(twice, 2), "detect": 4, "detection_row": 4}
    assert made[1][1].keys() == {"prepare", "detect", "detection_row"}


def test_every_detector_has_a_row_for_both_sets(made):
    rows = report.rows_of(made[0]).to_dict("records")
    every = product(("cd", "strip", "fct"), ("training", "generation"), ("none", "badnets1"))
    found = [(row["detector"], row["image_set"], row["trigger"]) for row in rows]
    assert sorted(found) == sorted(every)
    for row in rows:
        assert 0 <= row["auroc_low"] <= row["auroc_high"] <= 1
        drawn = row["image_set"] == "generation"
        assert (row["guidance_weight"], row["sampler"]) == (
            (5.0, "ddim") if drawn else (None, None)
        )
        assert row["n"] == (200 if drawn else 1437)
        flags = row["g1_count"] + row["g2_count"] if drawn else 143
        if row["trigger"] == "none":  # made-up flags
            flags = row["n"] // 10
            assert row["null_level"] == pytest.approx(1 - 0.05 / 6)
        assert row["n_positive"] == flags
