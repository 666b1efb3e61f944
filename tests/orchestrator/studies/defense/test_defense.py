"""Study ``defense``: which points it has, and what they share with other studies."""

from collections import Counter

import pytest

from orchestrator.run.placement import Placement
from orchestrator.step import ancestors
from orchestrator.studies import AMPLIFICATION, DEFENSE, DETECTION
from orchestrator.studies.scales import LAPTOP, SCALES, TINY


def steps_of(study, scale, **typed):
    points = study.points(scale, study.chosen(scale, typed))
    return {step.digest: step for step in ancestors(point.measure for point in points)}


def cells(points):
    return Counter((point.axes["trigger"], point.axes["image_set"]) for point in points)


class TestPoints:
    def test_each_set_of_images_has_one_for_every_poison_and_seed(self):
        points = DEFENSE.points(LAPTOP, DEFENSE.chosen(LAPTOP))
        assert cells(points) == {
            ("none", "training"): 3,
            ("none", "generation"): 6,
            ("badnets1", "training"): 4 * 3,
            ("badnets1", "corrected"): 4 * 3,
            ("badnets1", "generation"): 4 * 3 * 2,
        }
        assert len({point.name for point in points}) == len(points)

    def test_labels_that_are_right_are_not_corrected(self):
        points = DEFENSE.points(
            LAPTOP,
            DEFENSE.chosen(
                LAPTOP, dict(trigger="clean_label,badnets1", poison_ratio="0.05", seed="0")
            ),
        )
        assert cells(points)[("clean_label", "corrected")] == 0
        assert cells(points)[("badnets1", "corrected")] == 1

    def test_without_poison_every_trigger_attacks(self):
        axes = DEFENSE.chosen(TINY, dict(trigger="badnets1,wanet", poison_ratio="0"))
        judges = Counter(point.axes["judge_trigger"] for point in DEFENSE.points(TINY, axes))
        assert judges == {"badnets1": 2, "wanet": 2}

    def test_a_training_set_has_neither_guidance_nor_sampler(self):
        for point in DEFENSE.points(TINY, DEFENSE.chosen(TINY)):
            drawn = point.axes["image_set"] == "generation"
            assert (point.axes["guidance_weight"] is None) == (not drawn)
            assert (point.axes["sampler"] is None) == (not drawn)

    @pytest.mark.parametrize(
        ("typed", "said"),
        [
            ({"trigger": "relabel_only"}, "relabel_only stamps none; leave it out of --trigger"),
            ({"trigger": "none"}, "hold no point"),
            ({"trigger": "clean_label", "poison_ratio": "0.2"}, "target class 8"),
        ],
    )
    def test_what_makes_no_sense_is_refused(self, typed, said):
        with pytest.raises(ValueError, match=said):
            DEFENSE.points(TINY, DEFENSE.chosen(TINY, typed))


class TestSharing:
    def test_the_main_job_s_models_and_judges_are_used_again(self):
        main = steps_of(AMPLIFICATION, LAPTOP)
        own = steps_of(DEFENSE, LAPTOP, seed="0")
        models = {digest for digest, step in own.items() if step.task == "train_diffusion"}
        assert models <= main.keys()
        judges = {
            digest
            for digest, step in own.items()
            if step.task == "train_classifier" and step.settings.name in ("content", "trigger")
        }
        assert judges <= main.keys()

    def test_detection_s_classifiers_and_generation_sets_are_used_again(self):
        found = steps_of(DETECTION, LAPTOP, trigger="badnets1")
        own = steps_of(
            DEFENSE, LAPTOP, seed="0", guidance_weight="5", poison_ratio="0,0.01,0.05,0.1"
        )
        for task in ("sample", "conditions"):
            assert {d for d, step in own.items() if step.task == task} <= found.keys()
        on_poison = {
            digest
            for digest, step in own.items()
            if step.task == "train_classifier"
            and step.streams.get("manifest") is not None
            and step.streams["manifest"].task == "poison"
        }
        assert on_poison - found.keys() == {
            digest for digest in on_poison if own[digest].settings.name == "trigger"
        }

    def test_a_further_guidance_weight_trains_no_diffusion_model(self):
        before = steps_of(DEFENSE, LAPTOP)
        added = steps_of(DEFENSE, LAPTOP, guidance_weight="1,2,5")
        tasks = {step.task for digest, step in added.items() if digest not in before}
        assert "train_diffusion" not in tasks
        assert {"sample", "collect", "train_classifier", "attack", "defense_row"} <= tasks

    def test_another_network_shares_everything_but_its_classifiers(self):
        before, added = (
            steps_of(DEFENSE, TINY, classifier=network) for network in ("small", "resnet18")
        )
        tasks = {step.task for digest, step in added.items() if digest not in before}
        assert tasks == {"train_classifier", "attack", "defense_row"}

    def test_vgg_which_normalizes_nothing_learns_at_a_tenth_of_the_rate_and_nobody_else(self):
        rates = {
            step.settings.network: step.settings.learning_rate
            for network in ("small", "resnet50", "vgg16")
            for step in steps_of(DEFENSE, TINY, classifier=network).values()
            if step.task == "train_classifier" and step.settings.name == "classifier"
        }
        assert rates == {"small": 1e-3, "resnet50": 1e-3, "vgg16": 1e-4}

    def test_clean_label_s_noise_is_made_once_for_all_ratios_and_seeds(self):
        own = steps_of(
            DEFENSE, LAPTOP, trigger="clean_label", poison_ratio="0.01,0.02,0.05", seed="0,1"
        )
        assert Counter(step.task for step in own.values())["perturb"] == 1


class TestCosts:
    @pytest.mark.parametrize("scale", SCALES, ids=lambda scale: scale.name)
    def test_every_step_can_be_placed_and_has_a_cost(self, scale):
        for step in steps_of(DEFENSE, scale, seed="0").values():
            assert step.settings.expected_seconds > 0
            assert step.settings.expected_bytes > 0
            assert Placement(actors=1).bundle(step, {"CPU": 2.0}).memory > 0
