"""Ten test images whose verdicts are known, reduced to rows that are counted by hand."""

import json
from dataclasses import replace

import pytest

from analysis.statistics.intervals import wilson
from analysis.statistics.paired import Pairs, difference
from tasks import triggers
from tasks.data import datasets
from tasks.rows import defense_row
from tasks.rows.row import OF_GENERATIONS as OF_GENERATIONS_COLUMNS
from tasks.steps import attack, poison
from tasks.triggers.blend import Blend
from tasks.triggers.wanet import Wanet
from tests.tasks.defended import (
    AFTER,
    BEFORE,
    CHANGES,
    CLEAN,
    CORRECTED,
    FRESH,
    GENERATION,
    LABELS,
    OF_GENERATIONS,
    TRAINING,
    TRIGGER,
    empty,
    write_attack,
    write_dissection,
)


@pytest.fixture
def attacked(tmp_path):
    """A function that writes what ``attack`` does of a classifier whose verdicts are known."""
    return lambda name, **said: write_attack(tmp_path / name, **said)


@pytest.fixture
def dissection(tmp_path):
    return write_dissection(tmp_path / "dissection")


@pytest.fixture
def poison_with(digits, tmp_path):
    """A function that poisons the digits with the trigger of a name."""

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

    def run(settings, **inputs):
        out = tmp_path / "out"
        out.mkdir(exist_ok=True)
        defense_row.run(settings, **inputs, out=out)
        return json.loads((out / "metrics.json").read_text())

    return run


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
    def test_accuracy_and_attack_are_counted(self, defended, of_training):
        row = defended(TRAINING, **of_training)
        assert (row["n"], row["correct"], row["test_accuracy"]) == (10, 9, 0.9)
        assert (row["test_accuracy_low"], row["test_accuracy_high"]) == wilson(9, 10)
        assert (row["attack_n"], row["attack_count"], row["attack_success_rate"]) == (8, 7, 7 / 8)
        bounds = (row["attack_success_rate_low"], row["attack_success_rate_high"])
        assert bounds == wilson(7, 8)

    def test_it_is_compared_with_nothing(self, defended, of_training):
        row = defended(TRAINING, **of_training)
        assert empty(row) == CHANGES | FRESH | OF_GENERATIONS | {"weights"}

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
        for name, counts in {
            "test_accuracy": {"both": 8, "first_only": 0, "second_only": 1, "neither": 1},
            "attack_success_rate": {"both": 1, "first_only": 1, "second_only": 6, "neither": 0},
        }.items():
            found = [row[f"{name}_change{end}"] for end in ("", "_low", "_high")]
            expected = difference(Pairs(**counts))
            assert found == [expected.value, expected.low, expected.high]
        assert row["test_accuracy_change"] == -0.1
        assert row["attack_success_rate_change"] == -5 / 8

    def test_g1_is_counted_among_all_generations(self, defended, of_generation):
        row = defended(GENERATION, **of_generation)
        assert (row["generation_n"], row["n_train"]) == (10, 10)
        assert (row["generation_g1"], row["generation_g1_count"]) == (0.2, 2)
        assert (row["generation_g1_low"], row["generation_g1_high"]) == wilson(2, 10)
        share = (row["generation_trigger_ratio"], row["generation_trigger_ratio_count"])
        assert share == (0.5, 5)
        bounds = (row["generation_trigger_ratio_low"], row["generation_trigger_ratio_high"])
        assert bounds == wilson(5, 10)

    def test_rows_of_all_image_sets_have_the_same_columns(
        self, defended, of_training, of_generation
    ):
        rows = [defended(TRAINING, **of_training), defended(GENERATION, **of_generation)]
        del of_generation["dissection"]
        rows.append(defended(CORRECTED, **of_generation))
        assert rows[0].keys() == rows[1].keys() == rows[2].keys()


class TestControls:
    def test_a_clean_classifier_is_attacked_with_the_trigger_it_controls(
        self, defended, attacked, poison_with
    ):
        manifest = poison_with(triggers.Nothing(), 0.0)
        row = defended(
            replace(TRAINING, **CLEAN),
            manifest=manifest,
            attack=attacked("clean", wrong=[], misled=[4]),
        )
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
        assert row["fresh_attack_success_rate"] == 1 / 8
        assert (
            row["fresh_attack_success_rate_low"],
            row["fresh_attack_success_rate_high"],
        ) == wilson(1, 8)
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
        "change",
        [{"network": "resnet18"}, {"target": "9"}, {"trigger": Blend()}],
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
        with pytest.raises(
            ValueError, match="expected two classifiers with the same weights, got others"
        ):
            defended(GENERATION, **{**of_generation, "attack": other})


class TestSettings:
    @pytest.mark.parametrize("name", OF_GENERATIONS_COLUMNS)
    def test_generations_have_a_sampler_and_other_images_have_none(self, name):
        with pytest.raises(ValueError, match=f"expected a {name} for generations"):
            replace(GENERATION, **{name: None})
        with pytest.raises(ValueError, match=f"expected a {name} for generations"):
            replace(CORRECTED, **{name: getattr(GENERATION, name)})

    def test_the_weights_that_a_network_started_from_are_in_the_row(
        self, defended, of_training, attacked
    ):
        of_training["attack"] = attacked("pretrained", **BEFORE, weights="0123456789ab")
        assert defended(TRAINING, **of_training)["weights"] == "0123456789ab"
