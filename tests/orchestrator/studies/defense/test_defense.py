"""Study ``defense``: which points it has, and what they share with other studies."""

from collections import Counter

from orchestrator.studies import DEFENSE, DETECTION
from orchestrator.studies.scales import LAPTOP, TINY
from tests.orchestrator.studies.graphs import added, points_of, steps_of


def cells(points):
    return Counter((point.axes["trigger"], point.axes["image_set"]) for point in points)


class TestPoints:
    def test_each_set_of_images_has_one_for_every_poison_and_seed(self):
        points = points_of(DEFENSE, LAPTOP)
        assert cells(points) == {
            ("none", "training"): 3,
            ("none", "generation"): 6,
            ("badnets1", "training"): 4 * 3,
            ("badnets1", "corrected"): 4 * 3,
            ("badnets1", "generation"): 4 * 3 * 2,
        }
        assert len({point.name for point in points}) == len(points)

    def test_labels_that_are_right_are_not_corrected(self):
        typed = {"trigger": "clean_label,badnets1", "poison_ratio": "0.05", "seed": "0"}
        points = points_of(DEFENSE, LAPTOP, **typed)
        assert cells(points)[("clean_label", "corrected")] == 0
        assert cells(points)[("badnets1", "corrected")] == 1


class TestSharing:
    def test_detection_s_classifiers_and_generation_sets_are_used_again(self):
        found = steps_of(DETECTION, LAPTOP, trigger="badnets1")
        typed = {"seed": "0", "guidance_weight": "5", "poison_ratio": "0,0.01,0.05,0.1"}
        new = [s for d, s in steps_of(DEFENSE, LAPTOP, **typed).items() if d not in found]
        assert not {"sample", "conditions", "train_diffusion"} & {step.task for step in new}
        # Classifiers of corrected sets and of generation sets alone are new.
        trained = [step.streams for step in new if step.task == "train_classifier"]
        on = {streams.get("manifest", streams["dataset"]).task for streams in trained}
        assert on == {"correct", "collect"}

    def test_a_further_guidance_weight_trains_no_diffusion_model(self):
        tasks = added(DEFENSE, LAPTOP, guidance_weight="1,2,5")
        assert "train_diffusion" not in tasks
        assert {"sample", "collect", "train_classifier", "attack", "defense_row"} <= tasks

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
