"""The graph of study ``detection``: its points and steps, counted by hand, and what it shares."""

from collections import Counter
from dataclasses import replace

import pytest

from orchestrator.step import ancestors
from orchestrator.studies import DETECTION
from orchestrator.studies.scales import CIFAR10, LAPTOP, TINY
from tasks import detectors

DETECTORS = ("cd", "strip", "fct")


def points_of(scale=TINY, study=DETECTION, **changes):
    chosen = study.chosen(scale).with_values(**{"detector": DETECTORS, **changes})
    return study.points(scale, chosen)


def steps_of(points):
    return list(ancestors(point.measure for point in points))


def digests(points, task):
    return {step.digest for step in steps_of(points) if step.task == task}


def cells(points, *axes):
    return Counter(tuple(point.axes[axis] for axis in axes) for point in points)


class TestPoints:
    def test_at_laptop_they_are_what_fits_the_time(self):
        points = points_of(LAPTOP)
        poisons = [("none", 0.0), *(("badnets1", ratio) for ratio in (0.01, 0.05, 0.1))]
        poisons += [("blend", 0.01), ("blend", 0.1), ("unicolor", 0.1)]
        assert cells(points, "trigger", "poison_ratio") == dict.fromkeys(poisons, 6)
        sets = [("training", None, None), ("generation", 5.0, "ddim")]
        assert cells(points, "image_set", "guidance_weight", "sampler") == dict.fromkeys(sets, 21)
        assert cells(points, "detector") == dict.fromkeys([(name,) for name in DETECTORS], 14)
        assert len({point.name for point in points}) == len(points) == 42

    def test_every_poisoned_set_has_one_classifier_and_one_generation_set(self):
        tasks = Counter(step.task for step in steps_of(points_of(LAPTOP)))
        of_a_set = ("poison", "train_diffusion", "conditions", "sample", "dissect", "attack")
        assert tasks == {
            **dict.fromkeys(of_a_set, 7),
            **dict.fromkeys(("mark", "judge_accuracy"), 3),  # triggers
            **dict.fromkeys(("detect", "detection_row"), 7 * 3 * 2),
            "prepare": 7 * 3,
            "train_classifier": 7 + 3 + 1,  # and three triggers' judges and the judge of content
            "datasets": 1,
        }

    def test_the_first_trigger_has_every_ratio_the_second_both_ends_and_others_the_largest(self):
        ratios = (0.1, 0.02, 0.05)
        names = ("unicolor", "badnets1", "blend")
        points = points_of(LAPTOP, trigger=names, poison_ratio=ratios)
        assert set(cells(points, "trigger", "poison_ratio")) == {
            *(("badnets1", ratio) for ratio in ratios),
            ("blend", 0.02),
            ("blend", 0.1),
            ("unicolor", 0.1),
        }

    def test_a_set_is_drawn_for_every_guidance_weight_and_sampler(self):
        points = points_of(guidance_weight=(1.0, 2.0), sampler=("ddim", "sde"), seed=(0, 1))
        assert cells(points, "image_set") == {("training",): 2 * 3 * 2, ("generation",): 2 * 3 * 8}
        assert len(digests(points, "sample")) == 2 * 4 * 2
        assert len(digests(points, "train_classifier")) == 2 * 2 + 2


class TestNullPoints:
    def test_they_share_one_risk_over_all_of_them(self):
        for points, nulls in [
            (points_of(LAPTOP), 6),
            (points_of(seed=(0, 1), guidance_weight=(1.0, 2.0), detector=("cd", "fct")), 12),
        ]:
            clean = [point.measure.settings for point in points if point.axes["trigger"] == "none"]
            assert len(clean) == nulls
            assert {settings.null_level for settings in clean} == {1 - 0.05 / nulls}
            assert {settings.pretend_ratio for settings in clean} == {0.1}

    @pytest.mark.parametrize("judge", ["blend", "badnets1"])
    def test_the_first_trigger_judges_and_without_any_badnets1(self, judge):
        names = ("blend", "unicolor") if judge == "blend" else ("none",)
        points = points_of(trigger=names, poison_ratio=(0.0,))
        assert cells(points, "trigger", "judge_trigger") == {("none", judge): 6}
        assert {point.measure.inputs["attack"].settings.trigger.name for point in points} == {judge}


@pytest.fixture(scope="module")
def by_set():
    """The inputs of the points of one detector at ten percent, by image set."""
    points = points_of(seed=(3,), detector=("strip",), poison_ratio=(0.1,))
    return {point.axes["image_set"]: point.measure.inputs for point in points}


class TestSteps:
    def test_detectors_are_given_nothing_that_tells_poison(self):
        for step in steps_of(points_of()):
            if step.task in ("prepare", "detect"):
                assert not {"manifest", "dataset", "dissection", "judges"} & set(step.inputs)
        assert {name.task for name in steps_of(points_of()) if "manifest" in name.inputs} == {
            "conditions",
            "detection_row",
        }

    def test_one_classifier_scores_both_sets(self, by_set):
        training, generation = by_set["training"], by_set["generation"]
        assert training["prepared"].digest == generation["prepared"].digest
        prepared = training["prepared"]
        for suspicion in (training["suspicion"], generation["suspicion"]):
            assert suspicion.inputs["prepared"].digest == prepared.digest
        assert generation["training_suspicion"].digest == training["suspicion"].digest
        classifier = prepared.inputs["classifier"]
        assert classifier.settings == replace(TINY.classifier, seed=3)
        assert classifier.streams["manifest"].digest == training["manifest"].digest
        assert classifier.digest == training["attack"].inputs["classifier"].digest

    def test_the_generation_set_is_as_large_as_the_training_set_and_labelled_alike(self):
        for scale, n in [(LAPTOP, 1437), (TINY, 200), (CIFAR10, 50_000)]:
            [drawn] = {
                step.digest: step
                for step in steps_of(points_of(scale, poison_ratio=(0.1,), trigger=("blend",)))
                if step.task == "sample"
            }.values()
            assert (drawn.settings.n, drawn.settings.conditions) == (n, ())
            assert drawn.settings.steps == scale.sampler_steps["ddim"]
            trained = drawn.inputs["model"].streams["manifest"]
            assert drawn.inputs["conditions"].inputs["manifest"].digest == trained.digest

    def test_detectors_have_the_scale_s_fields_and_the_point_s_seed(self, by_set):
        settings = by_set["generation"]["suspicion"].settings
        assert settings.detector == detectors.Strip(overlays=5, seed=3)
        assert (settings.image_set, settings.n) == ("generation", 200)
        assert by_set["training"]["suspicion"].settings.n == 1437
        assert LAPTOP.detector("strip") == detectors.Strip()


class TestSharing:
    def test_one_more_detector_adds_detection_only(self):
        fewer = {step.digest for step in steps_of(points_of(detector=("cd", "strip")))}
        added = Counter(step.task for step in steps_of(points_of()) if step.digest not in fewer)
        # Its own two states, four sets and four rows; and the level of all null points is another.
        assert added == {"prepare": 2, "detect": 4, "detection_row": 4 + 4}
