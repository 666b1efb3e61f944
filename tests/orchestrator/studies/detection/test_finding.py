import csv
import io

import pytest

from analysis.old.rows import row_key
from orchestrator.studies.detection.answers import answers
from orchestrator.studies.detection.finding import headline, sentences
from orchestrator.studies.detection.table import DETECTION_COLUMNS
from orchestrator.studies.results import summary, table, to_csv
from tests.made_up_detection import (
    bounded,
    detection_pair,
    detection_study,
    make_detection_row,
)


def rows_of(*points, **changes):
    """Pairs of rows from (detector, ratio, training AUROC, generations' AUROC)."""
    return [
        row
        for detector, ratio, before, after in points
        for row in detection_pair(before, after, detector=detector, ratio=ratio, **changes)
    ]


def answered(rows, name):
    """The words of one answer, with its points; None when it was not asked."""
    found = {answer.name: answer for answer in answers(rows)}
    return " ".join([*found[name].words, *found[name].points]) if name in found else None


@pytest.fixture(scope="module")
def small():
    """CD: worse and inverted at 1 %, better at 10 %; STRIP saturated at 10 %."""
    return rows_of(
        ("cd", 0.01, 0.4, 0.3), ("cd", 0.1, 0.6, 0.7), ("strip", 0.1, 0.999, 0.998), seed=0
    )


def test_the_summary_counts_and_names_what_came_out(small):
    assert summary(small) == (
        "Of 3 comparisons of one detector on the generations and on the training set, the "
        "generations are easier in 1, harder in 1, no different (within 0.01) in 0, and it cannot "
        "be told in 1; in 1 the training set's AUROC is at least 0.995 already, with nothing left "
        "to gain. BadNets-1 at p = 1% and 10%, AUROC on the training set → on the generations: "
        "CD 0.40 → 0.30, 0.60 → 0.70; STRIP 1.00 → 1.00. Inverted, with the whole interval below "
        "0.5, and shown so: CD on 1 of 2 training sets and 1 of 2 sets of generations; there the "
        "clean images look more poisoned than the poisoned ones. No null point was measured; of 6 "
        "verdicts 1 failed, 1 undecided "
        "and 4 not tested."
    )


def test_a_page_leaves_the_areas_to_its_overview(small):
    said = " ".join(sentences(small, areas=False))
    assert "0.40" not in said
    assert "easier in 1" in said


def test_big_numbers_are_of_the_highest_ratio(small):
    assert headline(small) == [
        ("0.60 → 0.70", "AUROC of CD on BadNets-1, p = 10%: training set → generations, better"),
        (
            "1.00 → 1.00",
            "AUROC of STRIP on BadNets-1, p = 10%: training set → generations, undecided "
            "(saturated)",
        ),
        (
            "1 / 1 / 0 / 1",
            "comparisons in which the generations are easier, harder, no different, or undecided",
        ),
    ]
    assert headline([]) == []


def test_without_a_poisoned_point_the_summary_says_so():
    clean = make_detection_row("none", 0.0, auroc=None)
    assert summary([]) == summary([clean]) == "No poisoned point has been measured yet."
    assert answers([clean]) == []


def test_an_auroc_without_positives_is_said_and_breaks_nothing():
    rows = rows_of(("cd", 0.1, 0.6, None))
    assert "1 have no AUROC to compare" in summary(rows)
    assert "CD 0.60 → –" in summary(rows)
    assert "No clear difference was found" in answered(rows, "what-moved")


def test_what_moved_is_counted_by_the_intervals_of_the_shifts():
    shifts = {**bounded("poisoned_shift", 0.6), **bounded("clean_shift", 0.49)}
    alone = {**bounded("auroc_poisoned_moved", 0.71), **bounded("auroc_clean_moved", 0.61)}
    said = answered(rows_of(("cd", 0.1, 0.6, 0.7), **shifts, **alone), "what-moved")
    assert (
        "Where the generations are easier (1): the positives' scores rose clearly in 1, the "
        "negatives' fell clearly in 0." in said
    )
    assert (
        "CD, of 1 comparison: the positives' scores clearly rose in 1 and fell in 0, the "
        "negatives' clearly rose in 0 and fell in 0." in said
    )
    assert (
        "CD, BadNets-1, p = 10%: +0.100; the positives became more suspicious (0.600 [0.580, "
        "0.620]); the negatives did not clearly move (0.490 [0.470, 0.510]); from 0.600 the "
        "positives alone would make 0.710, the negatives alone 0.610." in said
    )


def test_the_template_match_is_asked_how_much_stays():
    kept = rows_of(("cd", 0.1, 0.6, 0.7), template_match=0.08, template_n_positive=9)
    lost = rows_of(("fct", 0.1, 0.6, 0.7), template_match=0.01, template_n_positive=9)
    blind = rows_of(("cd", 0.1, 0.6, 0.7), trigger="blend")
    said = answered([*kept, *lost, *blind], "by-template-match")
    assert "1 better and 1 undecided by its labels, 2 better by the judge's." in said
    assert "Of the judge's gains (2) the template match finds 1 too." in said
    assert (
        "CD, BadNets-1, p = 10%: +0.100 by the judge, +0.080 by the template match: it stays."
        in said
    )
    assert "+0.010 by the template match: no longer clear." in said
    assert "There is no patch that a template match could look for in BadNets-2." in said


def test_prevalence_is_answered_with_both_shares_and_the_equal_ones():
    rows = rows_of(("cd", 0.1, 0.6, 0.7), equal=0.09)
    rows[0]["prevalence"], rows[1]["prevalence"] = 0.1, 0.15
    said = answered(rows, "prevalence")
    assert "cannot raise it" in said
    assert "Positives are 10.0% of the training sets and 15.0% of the generations." in said
    assert "the comparisons are 1 better; uncut 1 better." in said


MASKS = [
    f"mask_{part}_{kind}" for part in ("mean", "patch", "kept") for kind in ("positive", "negative")
]


@pytest.mark.parametrize(
    ("masks", "expected"),
    [
        (
            (0.6, 0.4, 0.9, 0.4, 0.95, 0.3),
            "The masks keep 60.0% (positives) and 40.0% (negatives), of the patch's pixels 90.0% "
            "(positives) and 40.0% (negatives): they do find the patch. "
            "The answer survives in 95.0% (positives) and 30.0% (negatives): the negatives' "
            "smaller masks lose it.",
        ),
        (
            (0.6, 0.4, 0.5, 0.4, 0.3, 0.3),
            "(negatives): the patch is not what they keep. The answer survives in 30.0% "
            "(positives) and 30.0% (negatives).",
        ),
        ((0.6, 0.4, None, None, None, None), "keep 60.0% (positives) and 40.0% (negatives)."),
    ],
)
def test_an_inverted_auroc_is_explained_by_the_masks(masks, expected):
    rows = rows_of(("cd", 0.1, 0.3, 0.49), **dict(zip(MASKS, masks, strict=True)))
    said = answered(rows, "inverted")
    assert "CD, BadNets-1, training set: 0.300 [0.280, 0.320] at 10%." in said
    assert "generations: 0.490 [0.470, 0.510] at 10% (the interval reaches 0.5)." in said
    assert expected in said
    assert "not flipped" in said


def test_what_needs_no_answer_is_not_asked():
    rows = rows_of(("strip", 0.1, 0.8, 0.9))
    assert answered(rows, "inverted") is None
    assert answered(rows, "saturated") is None
    assert answered(rows, "few") is None


def test_saturation_few_positives_and_a_weak_attack_are_named():
    rows = rows_of(("strip", 0.01, 0.999, 0.999), n_positive=7)
    assert "STRIP, BadNets-1, p = 1%: 0.999 [0.979, 1.019]" in answered(rows, "saturated")
    assert "only 7 positives among the training images" in answered(rows, "few")
    said = answered(rows, "attack")
    assert "right on 95.0% of clean test images" in said
    assert "on less than half: BadNets-1 at p = 1% (8.0%)." in said


def test_the_terminals_table_says_what_became_of_the_gain(small):
    headers, lines = table(small)
    assert headers == [
        *("detector", "trigger", "p", "images", "w"),
        *("AUROC", "TPR at 1% FPR", "at 5%", "gain"),
    ]
    assert [line[0] for line in lines] == ["CD"] * 4 + ["STRIP"] * 2
    assert lines[0][3:6] == ["training set", "", "0.400 [0.380, 0.420]"]
    assert lines[1][3:5] == ["generations", "5"]
    assert lines[1][-1] == "−0.100 [−0.120, −0.080] worse"
    assert lines[3][-1] == "+0.100 [+0.080, +0.120] better"
    assert lines[0][-1] == ""


def test_the_terminals_table_has_seeds_samplers_and_null_points_where_there_are_any():
    rows, _, _ = detection_study()
    other = [{**row, "sampler": "ddpm"} for row in rows if row["image_set"] == "generation"]
    headers, lines = table([*rows, *other, *({**row, "seed": 1} for row in rows)])
    assert headers[5:7] == ["sampler", "seed"]
    assert {len(line) for line in lines} == {len(headers)}
    null = [line for line in lines if line[1] == "no poison"]
    assert lines[-len(null) :] == null
    assert {line[-1] for line in null} == {"null test holds"}
    undefined = make_detection_row(auroc=None)
    assert table([undefined])[1][0][5:] == ["no positives", "", "", ""]


def test_the_results_file_starts_with_detector_and_image_set_and_keeps_every_column():
    rows, _, _ = detection_study()
    lines = list(csv.DictReader(io.StringIO(to_csv(rows[::-1]))))
    header = list(lines[0])
    assert tuple(header[: len(DETECTION_COLUMNS)]) == DETECTION_COLUMNS
    assert header[8:14] == ["detector", "image_set", "n", "auroc", "auroc_low", "auroc_high"]
    assert set(header) == set(rows[0])
    assert header[len(DETECTION_COLUMNS) :] == sorted(header[len(DETECTION_COLUMNS) :])
    training = next(line for line in lines if line["image_set"] == "training")
    assert training["guidance_weight"] == training["auroc_gain"] == ""
    assert to_csv(rows) == to_csv(rows[::-1])


def test_every_row_has_a_key_of_its_own():
    rows, scores, groups = detection_study()
    assert len({row_key(row) for row in rows}) == len(rows) == len(scores) == len(groups)
