import csv
import io

import pytest

from analysis.old.rows import row_key
from orchestrator.studies.defense.finding import headline
from orchestrator.studies.defense.table import DEFENSE_COLUMNS
from orchestrator.studies.results import summary, table, to_csv
from tests.made_up_defense import (
    defense_study,
    freshly_attacked,
    judged,
    make_cell,
    make_defense_row,
)

CELL = {"training": (351, 240), "corrected": (350, 4), "generation": (342, 16)}


@pytest.fixture(scope="module")
def small():
    """BadNets-1 at 1 % and the clean pair, one seed."""
    return [*make_cell("badnets1", 0.01, CELL, 18), *make_cell("badnets1", 0.0, CLEAN, 0)]


CLEAN = {"training": (360, 3), "generation": (342, 4)}


def test_the_summary_says_what_changed_and_what_generating_costs(small):
    # The interval of the cost is Newcombe's for two samples, as these rows have it.
    assert summary(small) == (
        "BadNets-1 (class “8”), small CNN: from the poisoned training set to as many generations "
        "(w = 2, DDIM) ASR goes 75% → 5.0% at 1%; TA goes 98% → 95% at 1%; the ASR is clearly "
        "lower at 1 of 1 ratio and clearly higher at 0. Generating alone, without poison, changes "
        "the test accuracy by −5.0 points [−7.8, −2.9] for the small CNN (1 seed). Of 6 verdicts 2 "
        "supported, 1 failed and 3 not tested."
    )


def test_the_summary_counts_ratios_with_less_and_with_more_attacks():
    worse = {"training": (350, 100), "generation": (340, 200)}
    same = {"training": (350, 100), "generation": (340, 100)}
    rows = [
        *make_cell("wanet", 0.01, CELL),
        *make_cell("wanet", 0.02, worse),
        *make_cell("wanet", 0.05, same),
    ]
    said = summary(rows)
    assert "clearly lower at 1 of 3 ratios and clearly higher at 1." in said
    assert "ASR goes 75% → 5.0% at 1%, 31% → 62% at 2% and 31% → 31% at 5%" in said
    assert "Generating alone" not in said


def test_the_summary_says_how_the_attack_follows_g1_and_how_a_fresh_warp_does():
    rows = [
        row for seed in (0, 1, 2) for row in make_cell("wanet", 0.01, CELL, 18 + seed, seed=seed)
    ]
    assert "rank correlation" not in summary(rows)  # the attacks are all alike
    rows = [
        freshly_attacked(row, 160 if row["image_set"] == "training" else 8)
        for seed in (0, 1, 2)
        for row in make_cell(
            "wanet", 0.01, {**CELL, "generation": (342, 16 + seed)}, 18 + seed, seed=seed
        )
    ]
    said = summary(rows)
    assert (
        "Over 3 classifiers of generations the ASR has a rank correlation (Spearman) of +1.00"
        in said
    )
    assert "; with a warp that nobody trained on it goes 50% → 2.5% at 1%." in said


def test_what_is_missing_is_said_and_nothing_at_all_too(small):
    training = [row for row in small if row["image_set"] == "training"]
    assert "one of the generations is missing" in summary(training)
    clean = [row for row in small if row["poison_ratio"] == 0]
    nothing = "No poisoned point has been measured yet."
    assert summary([]) == summary(clean) == nothing
    unmeasured = make_cell("badnets1", 0.01, {"training": (350, None), "generation": (340, None)})
    assert "is missing" in summary(unmeasured)
    assert headline([]) == headline(clean) == headline(unmeasured) == []


def test_big_numbers_are_of_the_lowest_and_the_highest_ratio(small):
    more = {"training": (350, 316), "generation": (340, 190)}
    rows = [*small, *make_cell("badnets1", 0.05, more), *make_cell("blend", 0.01, CELL)]
    assert headline(rows) == [
        (
            "75% → 5.0%",
            "BadNets-1, small CNN: attack success at p = 1%, poisoned training set → generations",
        ),
        (
            "99% → 59%",
            "BadNets-1, small CNN: attack success at p = 5%, poisoned training set → generations",
        ),
        ("98% → 95%", "test accuracy at p = 1%, likewise"),
        ("100% → 95%", "test accuracy without poison: what generating costs"),
    ]


def test_the_terminals_table_has_a_line_a_ratio_and_way_of_generating(small):
    headers, lines = table(small)
    assert headers == [
        *("trigger", "p", "w", "seed", "classifier"),
        *("TA train → gen", "ASR train → gen", "G1 in gen"),
    ]
    assert lines == [
        [
            *("no poison, BadNets-1 attacks", "0%", "2", "0", "small CNN"),
            *("100.0% → 95.0%", "0.9% → 1.2%", "0.0%"),
        ],
        ["BadNets-1", "1%", "2", "0", "small CNN", "97.5% → 95.0%", "75.0% → 5.0%", "1.3%"],
    ]


def test_the_terminals_table_has_samplers_seeds_and_dashes_where_they_belong():
    training = make_defense_row(counts=(351, None))
    other = make_defense_row(
        image_set="generation", counts=(342, 16), sampler="sde", classifier="vgg16"
    )
    seeds = [make_defense_row("blend", image_set="generation", seed=seed) for seed in (3, 4)]
    headers, lines = table([training, other, *seeds])
    assert headers[3] == "sampler"
    assert {len(line) for line in lines} == {len(headers)}
    assert [line[:6] for line in lines] == [
        ["BadNets-1", "1%", "", "", "0", "small CNN"],
        ["BadNets-1", "1%", "2", "SDE", "0", "VGG-16"],
        ["BadNets-2", "1%", "2", "DDIM", "2 seeds", "small CNN"],
    ]
    assert [line[6:] for line in lines[:2]] == [
        ["97.5% → –", "– → –", ""],
        ["– → 95.0%", "– → 5.0%", ""],
    ]


def test_the_results_file_starts_with_network_set_and_both_rates_and_keeps_every_column():
    rows = defense_study()
    lines = list(csv.DictReader(io.StringIO(to_csv(rows[::-1]))))
    header = list(lines[0])
    assert tuple(header[: len(DEFENSE_COLUMNS)]) == DEFENSE_COLUMNS
    assert header[8:11] == ["classifier", "image_set", "n"]
    assert header[11:17] == [
        *("test_accuracy", "test_accuracy_low", "test_accuracy_high"),
        *("attack_success_rate", "attack_success_rate_low", "attack_success_rate_high"),
    ]
    assert set(header) == set(rows[0])
    assert header[len(DEFENSE_COLUMNS) :] == sorted(header[len(DEFENSE_COLUMNS) :])
    training = next(line for line in lines if line["image_set"] == "training")
    assert training["guidance_weight"] == training["attack_success_rate_change"] == ""
    assert to_csv(rows) == to_csv(rows[::-1])


def test_every_row_has_a_key_of_its_own():
    rows = [row for seed in range(3) for row in defense_study((seed,))]
    rows += [{**row, "classifier": "vgg16"} for row in rows]
    assert len({row_key(row) for row in rows}) == len(rows)


def test_a_judged_row_keeps_its_share_of_g1():
    assert judged(make_defense_row(image_set="generation"), 18)["generation_g1"] == 18 / 1437
