"""Clean controls whose images are called poisoned at random."""

from dataclasses import replace

import numpy as np
import pytest

from tasks import triggers
from tasks.rows import detection_row
from tasks.steps import poison
from tests.tasks.detected import (
    CLEAN,
    COMPARED,
    GENERATION,
    TRAINING,
    generation_inputs,
    opened,
    training_inputs,
)
from tests.tasks.made import empty, row_of

NULL = {"training": replace(TRAINING, **CLEAN), "generation": replace(GENERATION, **CLEAN)}


@pytest.fixture(scope="module")
def clean(digits, tmp_path_factory):
    """The inputs of both image sets."""
    root = tmp_path_factory.mktemp("clean")
    (root / "manifest").mkdir()
    settings = poison.Settings(trigger=triggers.Nothing(), target_class="8", poison_ratio=0)
    poison.run(settings, dataset=digits, out=root / "manifest")
    training = training_inputs(root, digits, root / "manifest")
    return {"training": training, "generation": generation_inputs(root, training)}


@pytest.mark.parametrize(("image_set", "n"), [("training", 1437), ("generation", 60)])
def test_flags_that_mean_nothing_leave_a_half(image_set, n, clean, tmp_path):
    row = row_of(detection_row, NULL[image_set], tmp_path / "out", **clean[image_set])
    assert (row["n"], row["n_positive"], row["pretend_ratio"]) == (n, n // 10, 0.1)
    assert row["null_level"] == 0.99
    assert row["null_low"] < row["auroc_low"] < row["auroc_high"] < row["null_high"]
    assert row["null_low"] <= 0.5 <= row["null_high"]
    assert row["tpr_at_5pct_fpr"] is not None
    assert empty(row) >= COMPARED
    assert opened(tmp_path / "out", "scores.npz")["poisoned"].sum() == n // 10


def test_the_flags_are_those_of_seed_and_set_whoever_looks(clean, tmp_path):
    changes = {"cd": {}, "strip": {"detector": "strip"}, "seed": {"seed": 1}}
    flags = {}
    for name, change in changes.items():
        settings = replace(NULL["training"], **change)
        row_of(detection_row, settings, tmp_path / name, **clean["training"])
        flags[name] = opened(tmp_path / name, "scores.npz")["poisoned"]
    np.testing.assert_array_equal(flags["cd"], flags["strip"])
    assert (flags["cd"] != flags["seed"]).any()
    assert (flags["cd"] != detection_row.pretend(NULL["generation"], 1437)).any()
