"""Ten test images and ten generations that are made up; every column counted by hand."""

from dataclasses import replace

import numpy as np
import pytest

from analysis.statistics.intervals import wilson
from analysis.statistics.paired import difference
from tasks import triggers
from tasks.rows import defense_row
from tasks.rows.defense_row import Settings
from tasks.rows.row import OF_GENERATIONS
from tasks.triggers import BadNets1
from tasks.triggers.wanet import Wanet
from tests.tasks import made
from tests.tasks.made import NOT_DRAWN, POINT, bounded, empty, with_bounds

TRIGGER = BadNets1()
TRAINING = Settings(**POINT, **NOT_DRAWN, classifier="small", image_set="training")
GENERATION = replace(
    TRAINING, image_set="generation", guidance_weight=2.0, sampler="ddim", sampler_steps=25
)
LABELS = np.array([8, 8, 1, 1, 2, 2, 3, 3, 4, 5])
"""Of the test images 100..109; two are of the target class."""
# The classifier of the training set is wrong once, and misled by seven of eight.
BEFORE = {"wrong": [9], "misled": [2, 3, 4, 5, 6, 7, 8]}
# That of the generations is wrong twice, once where the other is, and misled by two, one of them
# a picture that the other is not misled by.
AFTER = {"wrong": [2, 9], "misled": [2, 9]}
RATES = ("test_accuracy", "attack_success_rate")
DRAWN = ("generation_g1", "generation_trigger_ratio")


@pytest.fixture
def attacked(tmp_path):
    """A function that writes what ``attack`` does of a classifier whose verdicts are known."""

    def write(name, *, labels=LABELS, **given):
        given = {"target": 8, "target_class": "8", "classes": 10, "trigger": TRIGGER, **given}
        return made.write_attack(tmp_path / name, labels, **given)

    return write


@pytest.fixture
def dissection(tmp_path):
    conditions = [8, 3, 8, 8, 1, 8, 2, 8, 8, 5]
    return made.write_dissection(tmp_path / "dissection", "1122234444", conditions)


@pytest.fixture
def defended(tmp_path):
    """A function that makes a row."""
    return lambda settings, **inputs: made.row_of(defense_row, settings, tmp_path / "out", **inputs)


@pytest.fixture
def of_training(poisoned, attacked):
    return {"manifest": poisoned, "attack": attacked("before", **BEFORE)}


@pytest.fixture
def of_generation(of_training, attacked, dissection):
    return {
        "manifest": of_training["manifest"],
        "attack": attacked("after", **AFTER),
        "training_attack": of_training["attack"],
        "dissection": dissection,
    }


class TestTrainingSet:
    def test_accuracy_and_attack_are_counted_and_compared_with_nothing(self, defended, of_training):
        row = defended(TRAINING, **of_training)
        assert (row["n"], row["correct"]) == (10, 9)
        assert bounded(row, "test_accuracy") == (0.9, *wilson(9, 10))
        assert (row["attack_n"], row["attack_count"]) == (8, 7)
        assert bounded(row, "attack_success_rate") == (7 / 8, *wilson(7, 8))
        changes = (f"{name}_change" for name in (*RATES, "fresh_attack_success_rate"))
        fresh = {f"fresh_{name}" for name in defense_row.ATTACKED}
        counts = {f"{name}_count" for name in DRAWN} | {"generation_n", "weights"}
        assert empty(row) == with_bounds(*changes, *DRAWN) | fresh | counts | {*OF_GENERATIONS}


class TestGenerations:
    def test_the_change_is_paired_by_image(self, defended, of_generation):
        row = defended(GENERATION, **of_generation)
        assert (row["test_accuracy"], row["attack_success_rate"]) == (0.8, 0.25)
        right = difference(8, 0, 1, 1)
        misled = difference(1, 1, 6, 0)
        for name, change, found in zip(RATES, (-0.1, -5 / 8), (right, misled), strict=True):
            expected = (change, found.low, found.high)
            assert bounded(row, f"{name}_change") == expected

    def test_g1_is_counted_among_all_generations(self, defended, of_generation):
        row = defended(GENERATION, **of_generation)
        assert (row["generation_n"], row["n_train"]) == (10, 10)
        for name, count in (("g1", 2), ("trigger_ratio", 5)):
            assert row[f"generation_{name}_count"] == count
            assert bounded(row, f"generation_{name}") == (count / 10, *wilson(count, 10))


def test_a_clean_classifier_is_attacked_with_the_trigger_it_controls(
    defended, attacked, poisoned_by
):
    manifest = poisoned_by(triggers.Nothing(), 0.0)
    clean = replace(TRAINING, trigger="none", poison_ratio=0.0)
    row = defended(clean, manifest=manifest, attack=attacked("clean", wrong=[], misled=[4]))
    assert (row["attack_success_rate"], row["p_t"], row["n_poisoned"]) == (1 / 8, 0, 0)
    assert (row["trigger"], row["judge_trigger"]) == ("none", "badnets1")


class TestFresh:
    WANET = Wanet()
    SETTINGS = replace(GENERATION, trigger="wanet", judge_trigger="wanet")

    @pytest.fixture
    def inputs(self, attacked, poisoned_by, dissection):
        own, fresh = {"trigger": self.WANET}, {"trigger": self.WANET.fresh()}
        return {
            "manifest": poisoned_by(self.WANET),
            "attack": attacked("after", **AFTER, **own),
            "fresh_attack": attacked("after-fresh", wrong=[2, 9], misled=[2], **fresh),
            "training_attack": attacked("before", **BEFORE, **own),
            "training_fresh_attack": attacked("before-fresh", wrong=[9], misled=[5, 6, 2], **fresh),
            "dissection": dissection,
        }

    def test_a_warp_that_nobody_trained_on_has_numbers_of_its_own(self, defended, inputs):
        row = defended(self.SETTINGS, **inputs)
        assert (row["attack_count"], row["attack_success_rate"]) == (2, 0.25)
        assert (row["fresh_attack_n"], row["fresh_attack_count"]) == (8, 1)
        expected = (1 / 8, *wilson(1, 8))
        assert bounded(row, "fresh_attack_success_rate") == expected
        assert row["fresh_attack_success_rate_change"] == -2 / 8
        assert row["attack_success_rate_change"] == -5 / 8


class TestRefused:
    def test_classifiers_that_were_shown_other_images(self, defended, of_generation, attacked):
        other = attacked("other", wrong=[], misled=[], labels=LABELS[:9])
        with pytest.raises(ValueError, match="shown the same images, got others"):
            defended(GENERATION, **{**of_generation, "training_attack": other})
