"""Words and numbers that people type."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator import choices
from orchestrator.studies import AMPLIFICATION, STUDIES
from orchestrator.studies.scales import LAPTOP, SCALES, TINY, chosen_axes
from tasks.steps import sample
from tasks.triggers import TRIGGERS


class TestKnown:
    def test_a_known_word_is_itself(self):
        assert choices.known("tiny", ["tiny", "laptop"], "scale") == "tiny"

    def test_a_near_miss_gets_a_did_you_mean(self):
        with pytest.raises(ValueError, match=r"^unknown scale 'latop'; did you mean laptop\?$"):
            choices.known("latop", ["tiny", "laptop"], "scale")

    def test_a_far_miss_gets_all_there_are(self):
        with pytest.raises(ValueError, match=r"^unknown scale 'x'; there are: tiny, laptop\.$"):
            choices.known("x", ["tiny", "laptop"], "scale")

    @given(st.text(), st.lists(st.text(min_size=1), min_size=1))
    def test_anything_else_is_refused(self, word, options):
        if word in options:
            assert choices.known(word, options, "word") == word
        else:
            with pytest.raises(ValueError, match=r"^unknown word "):
                choices.known(word, options, "word")


class TestLists:
    def test_nothing_typed_stays_nothing(self):
        assert choices.words(None) is None
        assert choices.numbers(None, "--seed", int) is None

    def test_words_lose_blanks_and_repetitions(self):
        assert choices.words(" a, b ,a") == ("a", "b")

    @pytest.mark.parametrize("text", ["", ",", "1,,2", "1,", " "])
    def test_nothing_between_commas_is_refused(self, text):
        with pytest.raises(ValueError, match="commas between them"):
            choices.words(text)

    @given(st.lists(st.floats(0, 100), min_size=1))
    def test_numbers_come_back_each_once(self, values):
        text = ",".join(repr(value) for value in values)
        assert choices.numbers(text, "--guidance-weight", float) == tuple(dict.fromkeys(values))

    def test_one_and_one_point_zero_are_one_number(self):
        assert choices.numbers("1,1.0,2", "--guidance-weight", float) == (1.0, 2.0)
        assert choices.numbers("0.1,0.10,1e-1", "--poison-ratio", float) == (0.1,)

    @pytest.mark.parametrize("word", ["nan", "inf", "-inf", "NaN", "1e999"])
    def test_what_is_not_finite_is_refused(self, word):
        with pytest.raises(ValueError, match=f"--poison-ratio takes finite numbers, got '{word}'"):
            choices.numbers(f"0.1,{word}", "--poison-ratio", float)

    @pytest.mark.parametrize("word", ["ten", "1/2", "0,1;2"])
    def test_what_is_no_number_is_named_with_its_flag(self, word):
        with pytest.raises(ValueError, match=r"^--poison-ratio takes numbers, e\.g\. .* got '"):
            choices.numbers(word, "--poison-ratio", float)

    @pytest.mark.parametrize("word", ["1.5", "1e3", "a"])
    def test_a_seed_is_a_whole_number(self, word):
        with pytest.raises(ValueError, match="--seed takes whole numbers"):
            choices.numbers(word, "--seed", int)


class TestPlainMeanings:
    @given(st.integers(0, 999))
    def test_percent_is_the_fraction_that_one_would_type(self, tenths):
        typed, percent = f"0.{tenths:03}", f"{tenths // 10}.{tenths % 10}%"
        assert choices.ratios(percent, "--poison-ratio") == (float(typed),)

    def test_percent_and_fractions_stand_side_by_side(self):
        assert chosen_axes(LAPTOP, poison_ratio="5%,0.1, 10 %").poison_ratio == (0.05, 0.1)
        assert chosen_axes(LAPTOP, filter_ratio="1%,.5%,0").filter_ratio == (0.01, 0.005, 0.0)

    def test_a_range_of_seeds_holds_both_ends(self):
        assert chosen_axes(LAPTOP, seed="0-4").seed == (0, 1, 2, 3, 4)
        assert chosen_axes(LAPTOP, seed="7,1-3,2").seed == (7, 1, 2, 3)

    @pytest.mark.parametrize("typed", ["4-0", "0-1000", "0-99999999999"])
    def test_a_range_that_counts_down_or_for_ever_is_refused(self, typed):
        with pytest.raises(ValueError, match=r"^--seed takes ranges that count up, .*e\.g\. "):
            chosen_axes(LAPTOP, seed=typed)

    @pytest.mark.parametrize(
        ("flag", "typed", "said"),
        [
            ("poison_ratio", "100%", r"must be in \[0, 1\), got 1; .* write 0\.1 or 10%"),
            ("poison_ratio", "-5%", "got -0.05"),
            ("poison_ratio", "5%%", r"takes numbers, e\.g\. .* got '5%%'"),
            ("poison_ratio", "0.1-0.3", "takes numbers"),
            ("guidance_weight", "5%", "takes numbers"),
            ("guidance_weight", "1-5", "takes numbers"),
            ("filter_ratio", "120%", "got 1.2; .* write 0.01 or 1%"),
            ("seed", "5%", "takes whole numbers"),
        ],
    )
    def test_elsewhere_they_mean_nothing(self, flag, typed, said):
        with pytest.raises(ValueError, match=said):
            chosen_axes(LAPTOP, **{flag: typed})

    def test_what_was_understood_is_said_where_it_helps(self):
        assert choices.understood("5%,10%", (0.05, 0.1)) == "0.05,0.1"
        assert choices.understood("0-2", (0, 1, 2)) == "0,1,2"
        assert choices.understood("0.05,1e-3", (0.05, 0.001)) is None
        assert choices.understood("-1", (-1,)) is None


class TestPaths:
    def test_a_tilde_is_the_home_folder(self, monkeypatch, tmp_path):
        monkeypatch.setenv("HOME", str(tmp_path))
        assert choices.path("~/pics", "--images") == tmp_path / "pics"
        assert str(choices.path("a/~b", "--images")) == "a/~b"

    @pytest.mark.parametrize("text", ["", " ", "\t"])
    def test_nothing_is_no_path(self, text):
        with pytest.raises(ValueError, match=r"^--images is empty; give it a value or leave it"):
            choices.path(text, "--images")

    def test_a_stranger_s_home_is_refused(self):
        with pytest.raises(ValueError, match=r"^--store ~nobody-here/x: nobody knows"):
            choices.path("~nobody-here/x", "--store")


class TestAxes:
    @pytest.mark.parametrize("scale", SCALES, ids=lambda scale: scale.name)
    def test_nothing_typed_is_the_scale_s_own(self, scale):
        assert chosen_axes(scale) == scale.axes

    def test_what_is_typed_replaces_its_axis_and_no_other(self):
        axes = chosen_axes(LAPTOP, guidance_weight="1,5", seed="3")
        assert axes == replace(LAPTOP.axes, guidance_weight=(1.0, 5.0), seed=(3,))

    def test_a_zero_is_typed_too(self):
        assert chosen_axes(LAPTOP, poison_ratio="0").poison_ratio == (0.0,)
        assert chosen_axes(LAPTOP, seed="0").seed == (0,)
        assert chosen_axes(LAPTOP, guidance_weight="0").guidance_weight == (0.0,)

    @pytest.mark.parametrize(
        ("flag", "typed", "said"),
        [
            ("trigger", "badnet1", r"unknown trigger 'badnet1'; did you mean badnets1\?"),
            ("trigger", "badnets1,xyz", r"unknown trigger 'xyz'; there are: none, "),
            ("sampler", "ddimm", r"unknown sampler 'ddimm'; did you mean ddim\?"),
            ("target_class", "ten", r"unknown target class 'ten'; there are: 0, 1, "),
            ("target_class", "", r"unknown target class ''; there are: 0, 1, "),
            ("poison_ratio", "10", r"--poison-ratio must be in \[0, 1\), got 10; .* write 0\.1"),
            ("poison_ratio", "-0.1", r"--poison-ratio must be in \[0, 1\), got -0\.1"),
            ("poison_ratio", "1", r"--poison-ratio must be in \[0, 1\), got 1;"),
            ("poison_ratio", "nan", r"--poison-ratio takes finite numbers, got 'nan'"),
            ("poison_ratio", "", "commas between them"),
            ("guidance_weight", "-1", r"--guidance-weight must be in \[0, 1000\), got -1"),
            ("guidance_weight", "inf", "--guidance-weight takes finite numbers"),
            ("seed", "-1", r"--seed must be in \[0, "),
            ("seed", "1.5", "--seed takes whole numbers"),
            ("trigger", "", "commas between them"),
            ("detector", "stripe", r"unknown detector 'stripe'; did you mean strip\?"),
            ("detector", "xyz", r"unknown detector 'xyz'; there are: cd, strip, fct\."),
            ("classifier", "vgg", r"unknown classifier 'vgg'; "),
        ],
    )
    def test_a_bad_word_gets_one_line_that_says_what_to_type(self, flag, typed, said):
        with pytest.raises(ValueError, match=said) as caught:
            chosen_axes(TINY, **{flag: typed})
        assert "\n" not in str(caught.value)

    def test_every_trigger_sampler_and_detector_can_be_typed(self):
        typed = ",".join(trigger.name for trigger in TRIGGERS)
        assert chosen_axes(TINY, trigger=typed).trigger == tuple(t.name for t in TRIGGERS)
        assert chosen_axes(TINY, sampler=",".join(sample.SAMPLERS)).sampler == sample.SAMPLERS
        assert chosen_axes(TINY, detector="cd,strip,fct") == TINY.axes

    def test_axes_that_differ_have_digests_that_do(self):
        assert TINY.axes.digest != LAPTOP.axes.digest
        assert TINY.axes.digest == replace(TINY.axes).digest
        assert TINY.axes.digest != replace(TINY.axes, detector=("cd",)).digest

    def test_the_axis_of_detectors_left_older_digests_as_they_were(self):
        assert LAPTOP.axes.digest == "52e2637e"


class TestStudies:
    @pytest.mark.parametrize("study", STUDIES, ids=lambda study: study.name)
    @pytest.mark.parametrize("scale", SCALES, ids=lambda scale: scale.name)
    def test_points_are_cells_with_names_of_their_own(self, study, scale):
        points = study.points(scale, study.axes(scale))
        assert len({point.name for point in points}) == len(points)
        assert len({point.measure.digest for point in points}) == len(points)
        assert len({tuple(point.axes.items()) for point in points}) == len(points)
        for point in points:
            settings = point.measure.settings
            assert all(value == getattr(settings, axis) for axis, value in point.axes.items())

    def test_the_main_job_is_what_it_was_fixed_to_be(self):
        points = AMPLIFICATION.points(LAPTOP, LAPTOP.axes)
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
        for point in AMPLIFICATION.points(LAPTOP, LAPTOP.axes):
            judge = point.measure.inputs["judges"].settings.trigger
            assert judge.stamps
            assert judge.name == point.axes["judge_trigger"]

    def test_axes_that_hold_no_point_are_refused(self):
        with pytest.raises(ValueError, match="these axes hold no point"):
            AMPLIFICATION.points(TINY, chosen_axes(TINY, trigger="none", poison_ratio="0.1"))

    def test_the_other_conditions_are_all_classes_but_the_target(self):
        for point in AMPLIFICATION.points(TINY, chosen_axes(TINY, target_class="3")):
            asked = point.measure.inputs["other_dissection"].inputs["generations"].settings
            assert asked.conditions == (0, 1, 2, 4, 5, 6, 7, 8, 9)
            own = point.measure.inputs["generations"].settings
            assert own.conditions == (3,)
