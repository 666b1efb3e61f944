"""Study ``diffusion_classifier``: which points it has, and what they share with other studies."""

from dataclasses import replace

import pytest

from orchestrator.cli import parsing
from orchestrator.studies import AMPLIFICATION, DEFENSE, DIFFUSION_CLASSIFIER
from orchestrator.studies.scales import CIFAR10, LAPTOP, TINY
from tests.orchestrator.studies.graphs import added, points_of, steps_of

FILTERS = (0.0, 0.01, 0.05, 0.1, 0.2)


def cells(points):
    """Trigger and pixels, poison ratio, noise model and seed, with its filter ratios."""
    found = {}
    for point in points:
        names = ("judge_trigger", "trigger_pixels", "poison_ratio", "noise_model", "seed")
        cell = tuple(point.axes[name] for name in names)
        found.setdefault(cell, []).append(point.axes["filter_ratio"])
    return found


class TestPoints:
    def test_every_poison_and_seed_has_both_models_and_every_filter(self):
        points = points_of(DIFFUSION_CLASSIFIER, LAPTOP, seed="0,1,2")
        found = cells(points)
        # badnets1 is two pixels a side on digits.
        assert set(found) == {
            *(("badnets1", 4, 0.0, model, 0) for model in ("ddpm", "edm")),
            *(
                ("badnets1", 4, ratio, model, seed)
                for ratio in (0.01, 0.05, 0.1)
                for model in ("ddpm", "edm")
                for seed in (0, 1, 2)
            ),
            *(("rectangle", pixels, 0.05, "ddpm", 0) for pixels in (1, 2, 4)),
            ("blend", None, 0.05, "ddpm", 0),
        }
        assert all(tuple(ratios) == FILTERS for ratios in found.values())
        assert len({point.name for point in points}) == len(points) == 24 * 5

    def test_contrasts_are_of_the_first_noise_model_and_seed(self):
        found = cells(points_of(DIFFUSION_CLASSIFIER, TINY, noise_model="edm,ddpm", seed="3,1"))
        contrasts = [cell for cell in found if cell[0] != "badnets1"]
        assert contrasts == [("rectangle", 1, 0.1, "edm", 3), ("blend", None, 0.1, "edm", 3)]

    def test_no_filter_is_classified_with_whatever_is_typed(self):
        """The change is from it."""
        points = points_of(DIFFUSION_CLASSIFIER, TINY, filter_ratio="0.2,0.1", trigger="blend")
        assert {point.axes["filter_ratio"] for point in points} == {0.1, 0.2}
        for point in points:
            assert point.measure.settings.classify.filter_ratios == (0.0, 0.1, 0.2)

    @pytest.mark.parametrize(
        ("scale", "least", "most"), [(LAPTOP, 1 / 64, 4 / 64), (CIFAR10, 0.005, 0.0625)]
    )
    def test_rectangles_span_the_areas_that_are_asked_about(self, scale, least, most):
        pixels = scale.dataset.image_size**2
        axes = [point.axes for point in points_of(DIFFUSION_CLASSIFIER, scale)]
        sizes = {one["trigger_pixels"] for one in axes if one["trigger"] == "rectangle"}
        shares = sorted(size / pixels for size in sizes)
        assert least <= shares[0] <= 1.2 * least
        assert shares[-1] == most


class TestSettings:
    def test_both_models_see_what_the_point_says(self):
        for point in points_of(DIFFUSION_CLASSIFIER, TINY):
            inputs = point.measure.inputs
            said, attack = inputs["classified"].settings, inputs["attack"].settings
            said_of = inputs["classified"].inputs
            assert said == point.measure.settings.classify
            assert said.trigger == attack.trigger
            assert said.trigger.name == point.axes["judge_trigger"]
            assert said.target_class == attack.target_class == point.axes["target_class"]
            model, classifier = said_of["model"], inputs["attack"].inputs["classifier"]
            for training in (model, classifier):
                assert training.streams["manifest"] == inputs["manifest"]
                assert training.settings.seed == said.seed == point.axes["seed"]
            assert model.settings.noise_model == point.axes["noise_model"]


class TestSharing:
    def test_the_main_job_s_ddpms_are_used_again(self):
        main = steps_of(AMPLIFICATION, LAPTOP)
        own = steps_of(DIFFUSION_CLASSIFIER, LAPTOP)
        new = {
            step.streams["manifest"].settings.trigger.name
            for digest, step in own.items()
            if step.task == "train_diffusion"
            and step.settings.noise_model == "ddpm"
            and digest not in main
        }
        assert new == {"rectangle", "blend"}

    def test_the_defense_s_classifiers_are_attacked_as_they_were(self):
        defense = steps_of(DEFENSE, LAPTOP)
        own = steps_of(DIFFUSION_CLASSIFIER, LAPTOP, seed="0,1,2", poison_ratio="0,0.01,0.05,0.1")
        of_badnets = [
            digest
            for digest, step in own.items()
            if step.task == "attack" and step.settings.trigger.name == "badnets1"
        ]
        assert len(of_badnets) == 1 + 3 * 3
        assert {*of_badnets} <= defense.keys()

    def test_a_further_filter_trains_nothing(self):
        tasks = added(DIFFUSION_CLASSIFIER, TINY, filter_ratio="0,0.05,0.1")
        assert tasks == {"denoise_classify", "classification_row"}


def test_more_test_images_than_there_are_are_refused():
    more = replace(TINY, classify=replace(TINY.classify, test_images=361))
    with pytest.raises(ValueError, match="at most 360 test images, all there are, got 361"):
        points_of(DIFFUSION_CLASSIFIER, more)


class TestCosts:
    def test_fewer_draws_keep_the_stages_that_come_before_them(self, tmp_path):
        asked = parsing.request(
            "diffusion_classifier", scale="laptop", store=str(tmp_path), draws=20
        )
        assert asked.scale.classify.draws == 20
        before = LAPTOP.classify.stages
        assert asked.scale.classify.stages == tuple(one for one in before if one < 20)
        assert asked.typed == ("--draws", "20")
