"""Study ``diffusion_classifier``: which points it has, and what they share with other studies."""

from collections import Counter
from dataclasses import replace

import pytest

from orchestrator.cli import parsing
from orchestrator.studies import AMPLIFICATION, DEFENSE, DETECTION, DIFFUSION_CLASSIFIER
from orchestrator.studies.scales import CIFAR10, LAPTOP, SCALES, TINY
from tasks.steps.denoise_classify import kept
from tasks.triggers.unicolor import Unicolor
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

    def test_without_poison_every_trigger_attacks_a_model_of_the_clean_set(self):
        points = points_of(
            DIFFUSION_CLASSIFIER,
            TINY,
            trigger="badnets1,wanet",
            poison_ratio="0",
            filter_ratio="0.05",
        )
        attacks = Counter(
            (point.axes["trigger"], point.axes["judge_trigger"], point.axes["trigger_pixels"])
            for point in points
        )
        assert attacks == {("none", "badnets1", 4): 2, ("none", "wanet", None): 2}

    def test_typed_triggers_have_no_contrasts(self):
        found = cells(points_of(DIFFUSION_CLASSIFIER, TINY, trigger="unicolor"))
        assert {trigger for trigger, *_ in found} == {"unicolor"}

    def test_contrasts_are_of_the_first_noise_model_and_seed(self):
        found = cells(points_of(DIFFUSION_CLASSIFIER, TINY, noise_model="edm,ddpm", seed="3,1"))
        contrasts = [cell for cell in found if cell[0] != "badnets1"]
        assert contrasts == [("rectangle", 1, 0.1, "edm", 3), ("blend", None, 0.1, "edm", 3)]

    def test_a_cell_of_the_grid_is_no_contrast_again(self):
        scale = replace(TINY, own_triggers=(Unicolor(side=3),))
        for one in (TINY, scale):
            points = points_of(DIFFUSION_CLASSIFIER, one, trigger="badnets1,unicolor,blend")
            assert len({point.measure.digest for point in points}) == len(points)
        assert {cell[1] for cell in cells(points) if cell[0] == "unicolor"} == {9}

    def test_no_filter_is_classified_with_whatever_is_typed(self):
        """The change is from it."""
        points = points_of(DIFFUSION_CLASSIFIER, TINY, filter_ratio="0.2,0.1", trigger="blend")
        assert {point.axes["filter_ratio"] for point in points} == {0.1, 0.2}
        for point in points:
            assert point.measure.settings.classify.filter_ratios == (0.0, 0.1, 0.2)

    def test_there_is_neither_guidance_nor_sampler(self):
        swept = DIFFUSION_CLASSIFIER.chosen(TINY)
        assert not {"guidance_weight", "sampler", "classifier", "detector"} & swept.keys()
        assert {"noise_model", "filter_ratio"} <= swept.keys()
        for study in (AMPLIFICATION, DETECTION, DEFENSE):
            assert not {"noise_model", "filter_ratio"} & study.chosen(TINY).keys()

    @pytest.mark.parametrize(
        ("scale", "least", "most"), [(LAPTOP, 1 / 64, 4 / 64), (CIFAR10, 0.005, 0.0625)]
    )
    def test_rectangles_span_the_areas_that_are_asked_about(self, scale, least, most):
        pixels = scale.dataset.image_size**2
        rectangles = [
            x.axes
            for x in points_of(DIFFUSION_CLASSIFIER, scale)
            if x.axes["trigger"] == "rectangle"
        ]
        shares = sorted({axes["trigger_pixels"] / pixels for axes in rectangles})
        assert least <= shares[0] <= 1.2 * least
        assert shares[-1] == most


class TestSettings:
    def test_both_models_see_what_the_point_says(self):
        for point in points_of(DIFFUSION_CLASSIFIER, TINY):
            inputs = point.measure.inputs
            said, attack = inputs["classified"].settings, inputs["attack"].settings
            assert said == point.measure.settings.classify
            assert said.trigger == attack.trigger
            assert said.trigger.name == point.axes["judge_trigger"]
            assert said.target_class == attack.target_class == point.axes["target_class"]
            trainings = (
                inputs["classified"].inputs["model"],
                inputs["attack"].inputs["classifier"],
            )
            for training in trainings:
                assert training.streams["manifest"] == inputs["manifest"]
                assert training.settings.seed == said.seed == point.axes["seed"]
            assert trainings[0].settings.noise_model == point.axes["noise_model"]

    def test_one_pass_serves_every_filter(self):
        points = points_of(DIFFUSION_CLASSIFIER, LAPTOP)
        assert len({point.measure.inputs["classified"].digest for point in points}) == 12
        assert len(points) == 12 * 5

    @pytest.mark.parametrize("scale", SCALES, ids=lambda scale: scale.name)
    def test_edm_is_the_ddpm_s_training_with_another_noise_model(self, scale):
        assert (scale.edm.noise_model, scale.edm.null_probability) == ("edm", 0.0)
        names = ("image_size", "channels", "classes", "augmentation")
        for name in names:
            assert getattr(scale.edm, name) == getattr(scale.diffusion, name)


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

    def test_no_judge_and_no_generation_is_needed(self):
        tasks = Counter(step.task for step in steps_of(DIFFUSION_CLASSIFIER, TINY).values())
        assert set(tasks) == {
            "datasets",
            "poison",
            "train_diffusion",
            "train_classifier",
            "denoise_classify",
            "attack",
            "classification_row",
        }

    @pytest.mark.parametrize("study", [AMPLIFICATION, DETECTION, DEFENSE], ids=lambda s: s.name)
    def test_other_studies_are_called_what_they_were_called(self, study):
        changed = replace(
            TINY,
            edm=replace(TINY.edm, steps=70),
            classify=replace(TINY.classify, draws=9),
        )
        assert steps_of(study, TINY).keys() == steps_of(study, changed).keys()


class TestRefused:
    @pytest.mark.parametrize(
        ("typed", "said"),
        [
            ({"trigger": "relabel_only"}, "relabel_only stamps none; leave it out of --trigger"),
            ({"trigger": "none"}, "hold no point"),
            ({"filter_ratio": "1"}, r"--filter-ratio must be in \[0, 1\), got 1;"),
            ({"filter_ratio": "-0.1"}, "for one percent write 0.01"),
            ({"filter_ratio": "0,0.99"}, "keeps at least one of 64 values, got 0.99"),
            ({"noise_model": "emd"}, "unknown noise model 'emd'; did you mean edm"),
            ({"trigger": "clean_label", "poison_ratio": "0.2"}, "target class 8"),
        ],
    )
    def test_axes_that_make_no_sense(self, typed, said):
        with pytest.raises(ValueError, match=said) as refusal:
            points_of(DIFFUSION_CLASSIFIER, TINY, **typed)
        assert "\n" not in str(refusal.value)

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            ({"test_images": 361}, "expected at most 360 test images, all there are, got 361"),
            ({"test_images": 0}, "--test-images must be at least 1, got 0"),
            ({"draws": 0}, "--draws must be at least 1, got 0"),
            ({"generations": 5}, "has no --generations"),
        ],
    )
    def test_words_that_make_no_sense(self, tmp_path, words, said):
        with pytest.raises(ValueError, match=said) as refusal:
            parsing.request("diffusion_classifier", scale="tiny", store=str(tmp_path), **words)
        assert "\n" not in str(refusal.value)
        with pytest.raises(ValueError, match="study defense has no --draws"):
            parsing.request("defense", scale="tiny", store=str(tmp_path), draws=5)


class TestCosts:
    @pytest.mark.parametrize("scale", SCALES, ids=lambda scale: scale.name)
    def test_every_filter_of_a_scale_leaves_something(self, scale):
        values = scale.dataset.image_size**2 * scale.dataset.channels
        counts = [kept(ratio, values) for ratio in scale.classify.filter_ratios]
        assert counts == sorted(set(counts), reverse=True)

    def test_fewer_draws_keep_the_stages_that_come_before_them(self, tmp_path):
        asked = parsing.request(
            "diffusion_classifier", scale="laptop", store=str(tmp_path), draws=20
        )
        assert asked.scale.classify.draws == 20
        before = LAPTOP.classify.stages
        assert asked.scale.classify.stages == tuple(one for one in before if one < 20)
        assert asked.typed == ("--draws", "20")
