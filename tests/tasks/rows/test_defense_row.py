"""Ten test images and ten generations that are made up; every column counted by hand."""

import json
from dataclasses import replace

import numpy as np
import pytest

from analysis.statistics.intervals import wilson
from analysis.statistics.paired import difference
from tasks import triggers
from tasks.data import datasets
from tasks.rows import defense_row
from tasks.rows.defense_row import Settings
from tasks.rows.row import OF_GENERATIONS
from tasks.steps import attack, poison
from tasks.triggers import BadNets1
from tasks.triggers.blend import Blend
from tasks.triggers.wanet import Wanet
from tests.tasks import made
from tests.tasks.made import NOT_DRAWN, POINT, bounded, empty, with_bounds

TRIGGER = BadNets1()
TRAINING = Settings(**POINT, **NOT_DRAWN, classifier="small", image_set="training")
CORRECTED = replace(TRAINING, image_set="corrected")
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
def poison_with(digits, tmp_path):
    """A function that poisons the digits with a trigger."""

    def run(trigger, ratio=0.1):
        out = tmp_path / f"poison-{trigger.name}"
        out.mkdir()
        settings = poison.Settings(trigger=trigger, target_class="8", poison_ratio=ratio)
        poison.run(settings, dataset=digits, out=out)
        return out

    return run


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

    def test_a_real_classifier_has_the_numbers_of_its_attack(
        self, defended, digits, poisoned, classifier, tmp_path
    ):
        folder = tmp_path / "attack"
        folder.mkdir()
        settings = attack.Settings(trigger=TRIGGER, target_class="8", verdicts=True)
        attack.run(settings, dataset=digits, classifier=classifier, out=folder)
        row = defended(TRAINING, manifest=poisoned, attack=folder)
        measured = json.loads((folder / "attack.json").read_text())
        assert {name: row[name] for name in measured} == measured
        eights = datasets.read_classes(digits).counts["test"][8]
        assert (row["n"], row["attack_n"]) == (360, 360 - eights)


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

    def test_rows_of_all_image_sets_have_the_same_columns(
        self, defended, of_training, of_generation
    ):
        rows = [defended(TRAINING, **of_training), defended(GENERATION, **of_generation)]
        del of_generation["dissection"]
        rows.append(defended(CORRECTED, **of_generation))
        assert rows[0].keys() == rows[1].keys() == rows[2].keys()


def test_a_clean_classifier_is_attacked_with_the_trigger_it_controls(
    defended, attacked, poison_with
):
    manifest = poison_with(triggers.Nothing(), 0.0)
    clean = replace(TRAINING, trigger="none", poison_ratio=0.0)
    row = defended(clean, manifest=manifest, attack=attacked("clean", wrong=[], misled=[4]))
    assert (row["attack_success_rate"], row["p_t"], row["n_poisoned"]) == (1 / 8, 0, 0)
    assert (row["trigger"], row["judge_trigger"]) == ("none", "badnets1")


class TestFresh:
    WANET = Wanet()
    SETTINGS = replace(GENERATION, trigger="wanet", judge_trigger="wanet")

    @pytest.fixture
    def inputs(self, attacked, poison_with, dissection):
        own, fresh = {"trigger": self.WANET}, {"trigger": self.WANET.fresh()}
        return {
            "manifest": poison_with(self.WANET),
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

    def test_a_fresh_warp_that_is_the_old_one_is_refused(self, defended, inputs):
        inputs["fresh_attack"] = inputs["attack"]
        with pytest.raises(ValueError, match="expected a fresh_attack with a trigger drawn again"):
            defended(self.SETTINGS, **inputs)


class TestRefused:
    @pytest.mark.parametrize(
        "change", [{"poison_ratio": 0.05}, {"target_class": "9"}, {"trigger": "blend"}]
    )
    def test_the_manifest_of_another_point(self, defended, of_training, change):
        with pytest.raises(ValueError, match="expected the manifest of"):
            defended(replace(TRAINING, **change), **of_training)

    @pytest.mark.parametrize(
        "change", [{"network": "resnet18"}, {"target_class": "9"}, {"trigger": Blend()}]
    )
    def test_an_attack_on_another_point(self, defended, of_training, attacked, change):
        of_training["attack"] = attacked("other", wrong=[], misled=[], **change)
        with pytest.raises(ValueError, match="expected an attack of"):
            defended(TRAINING, **of_training)

    def test_classifiers_that_were_shown_other_images(self, defended, of_generation, attacked):
        other = attacked("other", wrong=[], misled=[], labels=LABELS[:9])
        with pytest.raises(ValueError, match="shown the same images, got others"):
            defended(GENERATION, **{**of_generation, "training_attack": other})

    def test_generations_that_are_compared_with_nothing(self, defended, of_generation):
        del of_generation["training_attack"]
        with pytest.raises(ValueError, match=r"training_attack.* got none for generation"):
            defended(GENERATION, **of_generation)

    def test_generations_that_nobody_counted(self, defended, of_generation):
        del of_generation["dissection"]
        with pytest.raises(ValueError, match=r"dissection or collected.* got neither"):
            defended(GENERATION, **of_generation)

    def test_a_dissection_of_some_of_them(self, defended, of_generation, digits):
        with pytest.raises(ValueError, match="of all 1437 generations, got 10"):
            defended(GENERATION, **of_generation, collected=digits)

    def test_a_network_that_started_from_other_weights(self, defended, of_generation, attacked):
        other = attacked("pretrained", **AFTER, weights="0123456789ab")
        with pytest.raises(ValueError, match="two classifiers with the same weights, got others"):
            defended(GENERATION, **{**of_generation, "attack": other})


@pytest.mark.parametrize("name", OF_GENERATIONS)
def test_generations_have_a_sampler_and_other_images_have_none(name):
    for settings, other in ((GENERATION, CORRECTED), (CORRECTED, GENERATION)):
        with pytest.raises(ValueError, match=f"expected a {name} for generations"):
            replace(settings, **{name: getattr(other, name)})


def test_the_weights_that_a_network_started_from_are_in_the_row(defended, of_training, attacked):
    of_training["attack"] = attacked("pretrained", **BEFORE, weights="0123456789ab")
    assert defended(TRAINING, **of_training)["weights"] == "0123456789ab"
