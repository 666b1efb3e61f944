"""Axes: what is swept by default, and what can be typed."""

import pytest

from orchestrator.run.placement import Placement
from orchestrator.studies import (
    AMPLIFICATION,
    COMPOSITION,
    DEFENSE,
    DETECTION,
    DIFFUSION_CLASSIFIER,
    STUDIES,
    studies_at,
)
from orchestrator.studies.axes import DETECTOR, SEED, TRIGGER, Axes
from orchestrator.studies.scales import CIFAR10, LAPTOP, SCALES, TINY
from tasks.detectors import DETECTORS
from tasks.triggers import TRIGGERS
from tests.orchestrator.studies.graphs import points_of, steps_of

DETECTOR_NAMES = tuple(kind.name for kind in DETECTORS)


def test_nothing_typed_is_the_study_s_own_at_each_scale():
    assert AMPLIFICATION.chosen(LAPTOP).guidance_weight == (1, 2, 5)
    assert AMPLIFICATION.chosen(CIFAR10).guidance_weight == (1, 2, 3, 6, 11)
    assert DETECTION.chosen(CIFAR10).guidance_weight == (CIFAR10.paper_guidance,)
    assert DEFENSE.chosen(TINY).seed == (0,)
    assert DEFENSE.chosen(LAPTOP).seed == (0, 1, 2)
    assert AMPLIFICATION.chosen(CIFAR10).target_class == "deer"


def test_what_is_typed_replaces_its_axis_and_no_other():
    usual = AMPLIFICATION.chosen(LAPTOP)
    axes = AMPLIFICATION.chosen(LAPTOP, {"guidance_weight": "1,5", "seed": "3-4", "trigger": None})
    assert axes == usual.with_values(guidance_weight=(1.0, 5.0), seed=(3, 4))


def test_a_range_of_seeds_holds_both_ends():
    assert SEED.parsed("0-4", LAPTOP) == (0, 1, 2, 3, 4)
    assert SEED.parsed("7,1-3,2", LAPTOP) == (7, 1, 2, 3)


@pytest.mark.parametrize("typed", ["4-0", "0-1000", "0-99999999999"])
def test_a_range_that_counts_down_or_for_ever_is_refused(typed):
    with pytest.raises(ValueError, match=r"^--seed takes ranges that count up, .*e\.g\. "):
        SEED.parsed(typed, LAPTOP)


@pytest.mark.parametrize(
    ("name", "typed", "said"),
    [
        ("trigger", "badnet1", r"unknown trigger 'badnet1'; did you mean badnets1\?"),
        ("target_class", "ten", r"unknown target class 'ten'; there are: 0, 1, "),
        ("poison_ratio", "10", r"--poison-ratio must be in \[0, 1\), got 10; .* write 0\.1"),
        ("poison_ratio", "-0.1", r"--poison-ratio must be in \[0, 1\), got -0\.1"),
        ("guidance_weight", "-1", r"--guidance-weight must be in \[0, 1000\), got -1"),
        ("seed", "-1", r"--seed must be in \[0, "),
        ("detector", "xyz", rf"unknown detector 'xyz'; there are: {', '.join(DETECTOR_NAMES)}\."),
        ("poison_ratio", "5%%", r"takes numbers, e\.g\. .* got '5%%'"),
        ("poison_ratio", "0.1-0.3", "takes numbers"),
        ("guidance_weight", "5%", "takes numbers"),
        ("filter_ratio", "120%", "got 1.2; .* write 0.01 or 1%"),
        ("seed", "5%", "takes whole numbers"),
    ],
)
def test_a_bad_word_gets_one_line_that_says_what_to_type(name, typed, said):
    study = next(study for study in STUDIES if name in {axis.name for axis in study.axes})
    with pytest.raises(ValueError, match=said) as caught:
        study.chosen(TINY, {name: typed})
    assert "\n" not in str(caught.value)


def test_an_axis_that_the_study_has_not_is_refused_with_those_that_it_has():
    with pytest.raises(ValueError, match=r"^study amplification has no --detector; its axes are "):
        AMPLIFICATION.chosen(TINY, {"detector": "cd"})


def test_every_trigger_and_detector_can_be_typed():
    names = tuple(trigger.name for trigger in TRIGGERS)
    assert TRIGGER.parsed(",".join(names), TINY) == names
    assert DETECTOR.parsed(",".join(DETECTOR_NAMES), TINY) == DETECTOR_NAMES
    assert DETECTOR.default(TINY) == DETECTOR_NAMES


def test_an_axis_that_a_study_has_not_is_no_attribute():
    with pytest.raises(AttributeError, match="no axis 'clip'; it has seed"):
        Axes(seed=(0,)).clip  # noqa: B018


BOTH = [
    pytest.param(scale, study, id=f"{scale.name}-{study.name}")
    for scale in SCALES
    for study in studies_at(scale)
]


class TestStudies:
    @pytest.mark.parametrize(("scale", "study"), BOTH)
    def test_points_are_cells_with_names_of_their_own(self, study, scale):
        points = study.points(scale, study.chosen(scale))
        assert len({point.name for point in points}) == len(points)
        assert len({point.measure.digest for point in points}) == len(points)
        assert len({tuple(point.axes.items()) for point in points}) == len(points)
        for point in points:
            settings = point.measure.settings
            assert all(value == getattr(settings, axis) for axis, value in point.axes.items())

    @pytest.mark.parametrize(("scale", "study"), BOTH)
    def test_every_step_can_be_placed_and_has_a_cost(self, study, scale):
        for step in steps_of(study, scale, seed="0").values():
            assert step.settings.expected_seconds > 0
            assert step.settings.expected_bytes > 0
            assert Placement(actors=1).bundle(step, {"CPU": 2.0}).memory > 0

    @pytest.mark.parametrize("study", [DETECTION, DEFENSE], ids=lambda study: study.name)
    @pytest.mark.parametrize("scale", [TINY, LAPTOP], ids=lambda scale: scale.name)
    def test_models_and_judges_of_other_studies_are_used_again(self, study, scale):
        known = steps_of(AMPLIFICATION, scale) | steps_of(COMPOSITION, scale)
        own = steps_of(study, scale, seed="0")
        new = [step for digest, step in own.items() if digest not in known]
        trained = [step for step in new if step.task.startswith("train_")]
        assert {step.settings.name for step in trained} == {"classifier"}
        assert "judge_accuracy" not in {step.task for step in new}

    def test_the_main_job_is_what_it_was_fixed_to_be(self):
        points = points_of(AMPLIFICATION, LAPTOP)
        cells = {
            (point.axes["trigger"], point.axes["poison_ratio"], point.axes["guidance_weight"])
            for point in points
        }
        ratios = [("none", 0.0), ("relabel_only", 0.1)]
        ratios += [("badnets1", ratio) for ratio in (0.01, 0.02, 0.05, 0.1)]
        assert cells == {(*poison, weight) for poison in ratios for weight in (1.0, 2.0, 5.0)}
        assert {point.axes["target_class"] for point in points} == {"8"}
        assert {point.axes["seed"] for point in points} == {0}
        diffusion = LAPTOP.diffusion
        assert (diffusion.block_channels, diffusion.layers_per_block) == ((32, 64), 1)
        assert (diffusion.attention_levels, diffusion.groups) == ((), 8)
        assert (diffusion.betas, diffusion.diffusion_steps) == ("squaredcos_cap_v2", 1000)
        assert (diffusion.steps, diffusion.batch_size) == (1000, 64)
        assert (diffusion.learning_rate, diffusion.ema_decay) == (1e-3, 0.995)
        assert diffusion.null_probability == 0.1
        for drawn in (LAPTOP.generations, LAPTOP.others):
            assert (drawn.n, drawn.sampler, drawn.steps, drawn.clip) == (500, "ddim", 25, "none")
        assert LAPTOP.others.guidance_weight == 2

    def test_controls_stamp_nothing_and_have_a_judge_all_the_same(self):
        for point in points_of(AMPLIFICATION, LAPTOP):
            judge = point.measure.inputs["judges"].settings.trigger
            assert judge.stamps
            assert judge.name == point.axes["judge_trigger"]

    @pytest.mark.parametrize(
        ("studies", "typed", "said"),
        [
            (STUDIES, {"trigger": "none", "poison_ratio": "0.1"}, "these axes hold no point"),
            (STUDIES[3:], {"trigger": "badnets1,relabel_only"}, "relabel_only stamps none"),
            (STUDIES[3:], {"trigger": "clean_label", "poison_ratio": "0.2"}, "target class 8"),
            (STUDIES, {"poison_ratio": "0.0001"}, "less than one image"),
            (STUDIES, {"poison_ratio": "0.95"}, "lie outside"),
            ([DIFFUSION_CLASSIFIER], {"filter_ratio": "0.99"}, "at least one of 64 values"),
        ],
    )
    def test_axes_that_hold_nothing_or_too_much_are_refused(self, studies, typed, said):
        for study in studies:
            with pytest.raises(ValueError, match=said):
                points_of(study, TINY, **typed)

    def test_the_other_conditions_are_all_classes_but_the_target(self):
        for point in points_of(AMPLIFICATION, TINY, target_class="3"):
            asked = point.measure.inputs["other_dissection"].inputs["generations"].settings
            assert asked.conditions == (0, 1, 2, 4, 5, 6, 7, 8, 9)
            own = point.measure.inputs["generations"].settings
            assert own.conditions == (3,)
