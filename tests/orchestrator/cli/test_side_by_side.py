from dataclasses import replace
from math import sqrt

import pytest

from analysis.statistics.comparison import GENERATIONS, OTHERS, counts_in
from orchestrator.cli.side_by_side import (
    SAME_IMAGES,
    UNKNOWN_IMAGES,
    Cell,
    Measured,
    is_short,
    joined,
    lines,
    shown,
    to_csv,
)
from tests.made_up import make_row, template_matched
from tests.made_up_defense import make_defense_row


def point(counts, images="a", others="a", **changes):
    row = template_matched(make_row(counts=counts, **changes))
    return Measured(row, {GENERATIONS: images, OTHERS: others})


def detected(image_set, auroc=0.5):
    """A row of a study of detection; a training set has neither guidance nor sampler."""
    drawn = {"guidance_weight": 5.0, "sampler": "ddim"} if image_set == "generation" else {}
    bounded = {"auroc": auroc, "auroc_low": 0.25, "auroc_high": 0.75}
    row = {"guidance_weight": None, "sampler": None, "image_set": image_set, "seed": 0, **drawn}
    return Measured({**row, **bounded}, {GENERATIONS: f"{image_set} {auroc}"})


def compared(*sides):
    """The lines of sides, each a point or a list of one a seed, by their names."""
    sides = [side if isinstance(side, list) else [side] for side in sides]
    return {line.name: line for line in lines(Cell({}, tuple(map(tuple, sides))))}


def bounds(estimate):
    return estimate.value, estimate.low, estimate.high


class TestDifferences:
    def test_two_sets_of_images_have_newcombe_s_published_interval(self):
        # Newcombe 1998 (two samples), table II, method 10: 56/70 - 48/80.
        found = compared(point((48, 0, 0, 32)), point((56, 0, 0, 14), images="b"))["g1"]
        assert bounds(found.difference) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)
        assert found.basis == "Newcombe: 70 and 80 images"
        assert (found.values[0].value, found.values[1].value) == (0.6, 0.8)

    def test_the_other_way_round_it_is_the_negative(self):
        found = compared(point((56, 0, 0, 14)), point((48, 0, 0, 32), images="b"))["g1"]
        assert bounds(found.difference) == pytest.approx((-0.2, -0.3339, -0.0524), abs=5e-5)

    def test_the_difference_to_p_t_moves_by_the_two_p_t(self):
        # 71 and 143 poisoned beside 139: p_t = 71 / 210 and 143 / 282.
        few, many = point((48, 0, 0, 32), ratio=0.05), point((56, 0, 0, 14), images="b", ratio=0.1)
        found = compared(few, many)["amplification_difference"].difference
        by = 71 / 210 - 143 / 282
        assert bounds(found) == pytest.approx((0.2 + by, 0.0524 + by, 0.3339 + by), abs=5e-5)

    def test_the_same_images_are_not_two_samples(self):
        found = compared(point((48, 0, 0, 32)), point((56, 0, 0, 24)))
        assert found["g1"].difference is None
        assert found["g1"].basis == SAME_IMAGES
        assert found["amplification_difference"].basis == SAME_IMAGES

    def test_images_of_other_classes_may_be_the_same_where_the_target_s_are_not(self):
        found = compared(point((48, 0, 0, 32)), point((56, 0, 0, 24), images="b"))
        assert found["g1"].difference is not None
        assert found["other_match_ratio"].basis == SAME_IMAGES
        other = compared(point((48, 0, 0, 32)), point((56, 0, 0, 24), others="b"))
        assert other["other_match_ratio"].difference.value == 0
        assert other["g1"].basis == SAME_IMAGES

    def test_images_that_nobody_can_tell_apart_are_not_taken_for_two_samples(self):
        unknown = Measured(make_row(counts=(56, 0, 0, 24)), {})
        found = compared(point((48, 0, 0, 32)), unknown)["g1"]
        assert (found.difference, found.basis) == (None, UNKNOWN_IMAGES)

    def test_what_was_measured_on_test_images_has_none(self):
        first = point((48, 0, 0, 32))
        second = point((56, 0, 0, 24), images="b", others="b")
        found = compared(first, second)
        for name in ("content_accuracy", "trigger_false_positive_rate", "amplification", "p_t"):
            assert (found[name].difference, found[name].basis) == (None, "")

    def test_aurocs_have_none(self):
        found = compared(detected("training"), detected("generation"))
        assert found["auroc"].values[0].low is not None
        assert not any(line.difference for line in found.values())

    def test_three_paired_seeds_have_student_s(self):
        # Shares differ by 0.1, 0.2 and 0.3: mean 0.2, standard deviation 0.1.
        sides = [
            [
                point((count, 0, 0, 100 - count), f"{side}{seed}", seed=seed)
                for seed, count in counts
            ]
            for side, counts in enumerate(
                ([(0, 10), (1, 20), (2, 30)], [(0, 20), (1, 40), (2, 60)])
            )
        ]
        found = compared(*sides)["g1"]
        half = 4.302652729911275 * 0.1 / sqrt(3)
        assert bounds(found.difference) == pytest.approx((0.2, 0.2 - half, 0.2 + half))
        assert found.basis == "Student: 3 seeds"
        assert found.values[0].value == pytest.approx(0.2)

    def test_two_seeds_are_pooled(self):
        first = [point((24, 0, 0, 16), f"a{seed}", seed=seed) for seed in (0, 1)]
        second = [point((28, 0, 0, 7), f"b{seed}", seed=seed) for seed in (0, 1)]
        found = compared(first, second)["g1"]
        assert bounds(found.difference) == pytest.approx((0.2, 0.0524, 0.3339), abs=5e-5)

    def test_three_sides_have_none(self):
        found = compared(*(point((48, 0, 0, 32), name) for name in "abc"))
        assert len(found["g1"].values) == 3
        assert not any(line.difference for line in found.values())


@pytest.mark.parametrize(
    ("name", "images"),
    [
        ("g1", GENERATIONS),
        ("template_agreement", GENERATIONS),
        ("other_trigger_ratio", OTHERS),
        ("trigger_false_positive_rate", None),
        ("g1_corrected", None),
    ],
)
def test_a_fraction_says_which_images_it_counts(name, images):
    assert counts_in(template_matched(make_row()), name) == images


def test_without_a_template_match_there_is_nothing_to_count():
    assert counts_in(template_matched(make_row(), missed=None), "template_g1") is None
    assert counts_in(make_row(), "template_agreement") is None


class TestJoining:
    def test_runs_are_joined_where_both_have_a_point(self):
        runs = [
            [point((1, 0, 0, 9), ratio=ratio, seed=seed) for ratio, seed in places]
            for places in ([(0.1, 1), (0.1, 0), (0.05, 0)], [(0.2, 0), (0.1, 5)])
        ]
        cells, alone = joined(runs)
        assert [cell.place["poison_ratio"] for cell in cells] == [0.1]
        assert cells[0].seeds == ("0, 1", "5")
        assert [[one.row["poison_ratio"] for one in left] for left in alone] == [[0.05], [0.2]]

    def test_a_training_set_has_no_sampler_and_is_joined_too(self):
        run = [detected("generation"), detected("training")]
        cells, alone = joined([run, run])
        assert alone == [[], []]
        assert [cell.place["image_set"] for cell in cells] == ["training", "generation"]


class TestWords:
    def test_numbers_come_with_their_units(self):
        found = compared(point((48, 0, 0, 32)), point((56, 0, 0, 14), images="b"))
        assert shown(found["g1"]) == [
            "g1",
            "60.0% [49.0, 70.0]",  # Wilson, of 48 in 80
            "80.0% [69.2, 87.7]",
            "+20.0 points [5.2, 33.4]",
        ]
        assert shown(found["n"]) == ["n", "80", "70", ""]
        assert shown(found["amplification"])[1].startswith("×1.18 [0.97, 1.38")

    def test_an_auroc_has_three_decimals_and_what_is_missing_a_dash(self):
        training, generation = (detected(name) for name in ("training", "generation"))
        gained = replace(generation, row={**generation.row, "auroc_gain": -0.125})
        found = compared(training, gained)
        assert shown(found["auroc"])[1] == "0.500 [0.250, 0.750]"
        assert shown(found["auroc_gain"])[1:3] == ["–", "−0.125"]

    def test_two_classifiers_are_set_side_by_side_with_their_rates_first(self):
        sides = [
            Measured(make_defense_row(image_set=name, counts=pair), {})
            for name, pair in (("training", (360, 240)), ("generation", (342, 16)))
        ]
        found = compared(*sides)
        assert list(found)[:3] == ["n", "test_accuracy", "attack_success_rate"]
        # Both answered the same test images: no row says which of them alike.
        assert shown(found["attack_success_rate"]) == [
            "attack_success_rate",
            "75.0% [70.0, 79.4]",
            "5.0% [3.1, 8.0]",
            "",
        ]
        assert "classifier" not in found

    def test_a_terminal_is_spared_what_is_equal_or_only_a_count(self):
        found = compared(point((48, 0, 0, 32)), point((56, 0, 0, 24), images="b"))
        short = {name for name, line in found.items() if is_short(line)}
        assert {"n", "g1", "trigger_ratio"} <= short
        assert not {"g1_count", "n_train", "content_accuracy"} & short

    def test_the_file_has_exact_numbers_and_empty_cells(self):
        assert to_csv(["a", "b"], [["x", 0.1], [None, 1 / 3]]) == f"a,b\nx,0.1\n,{1 / 3!r}\n"
