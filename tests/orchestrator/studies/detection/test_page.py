import re
from dataclasses import replace

import numpy as np
import pytest

from analysis.page.page import write
from analysis.page.scores import Scored, _reached, ends
from analysis.rows import frame, select
from orchestrator.run.report import judged, table_of
from orchestrator.studies.detection import DETECTION
from orchestrator.studies.detection.page import page, sentence
from tests import made_up
from tests.elements import check_that_it_is_whole, table_under, text_of
from tests.made_up_detection import DETECTORS, RATIOS, detection_pair, detection_study

OVERVIEW = "Is poison easier to find among the generations?"


@pytest.fixture(scope="module")
def rows():
    return detection_study()[0]


@pytest.fixture(scope="module")
def report():
    return made_up.REPORTS["detection"]()


def test_every_trigger_and_detector_has_its_figures_with_the_same_bytes_every_time(report, written):
    files = {path.stem: path.read_text() for path in written("detection").glob("figures/*")}
    starts = [f"{trigger}-{detector}" for trigger in RATIOS for detector in DETECTORS]
    expected = {f"{start}-{kind}" for start in starts for kind in ("auroc", "what-moved")}
    for trigger, ratios in RATIOS.items():
        points = [f"{trigger}-{one}-p{ratio:g}" for ratio in ratios for one in DETECTORS]
        expected |= {f"{point}-{kind}" for point in points for kind in ("roc", "scores")}
    assert set(files) == expected | {"null-test"}
    own = select(report.rows, trigger="blend", detector="fct")
    again = page(replace(report, rows=own)).figures()
    assert len(again) == 4
    for one in again:
        assert files[one.name] == one.svg


def test_the_overview_counts_as_the_sentence_does(html):
    headers, lines = table_under(html, OVERVIEW)
    assert headers == ["trigger", "p", "CD", "STRIP", "FCT"]
    assert [line[:2] for line in lines] == [
        ["BadNets-1", "1%"], ["BadNets-1", "10%"], ["one color", "1%"], ["BadNets-2", "10%"],
    ]  # fmt: skip
    words = ("better", "worse", "no difference", "undecided")
    shown = re.findall("|".join(words), str(lines))
    better, worse, equal, undecided = map(shown.count, words)
    assert sum((better, worse, equal, undecided)) == 12
    assert (
        f"in {better} of 12 comparisons, less easily in {worse} and equally well in {equal}; "
        f"{undecided} are undecided."
    ) in text_of(html)
    assert lines[1][2].endswith("below 0.5")
    assert lines[1][3].endswith("saturated")


def test_tab_3_has_ours_beneath(html, rows):
    _, lines = table_under(html, "The paper's numbers beside ours")
    assert len(lines) == 2 * 3 * 3  # one color is not in the table
    shown = {tuple(line[:3]): line[3:] for line in lines}
    cells = shown["CD", "BadNets-2", "ImageNette, Stable Diffusion"]
    assert cells[1] == "0.561 → 0.766"  # 5% was not measured
    pair = [row for row in rows if (row["trigger"], row["detector"]) == ("blend", "cd")]
    ours = f"{pair[0]['auroc']:.3f} → {pair[1]['auroc']:.3f}"
    assert cells[2] == f"0.584 → 0.723ours {ours}"


def test_the_tables_have_every_row_and_comparison(html, rows):
    assert len(table_under(html, "Detectors and sets of images")[1]) == len(rows)
    assert len(table_under(html, "Generations against the training set")[1]) == 3 * 4
    assert len(table_under(html, "The classifiers")[1]) == 4 + 1
    assert {line[0] for line in table_under(html, "The masks")[1]} == {"CD"}
    _, judges = table_under(html, "Errors of judge and template match")
    assert [line[0] for line in judges] == ["BadNets-1", "one color", "BadNets-2"]
    assert judges[2][3] == "–"  # no template match


def test_frames_go_from_the_extreme_inwards_and_ties_keep_their_order():
    flags = np.array([False, True, False, False, True])
    one = Scored("", np.array([1.0, 3.0, 3.0, 0.0, 2.0]), flags, "#000000")
    images = np.full((2, 8, 8, 1), 200, np.uint8)
    arrays = {"most_suspicious": images, "least_suspicious": images}
    most, least = ends("", one, arrays).pictures
    assert most.words == "1 of 2 poisoned"  # images 1 and 2
    assert least.words == "0 of 2 poisoned"  # images 3 and 0
    assert most.images != least.images
    masked = ends("", one, {**arrays, "most_suspicious_masks": 0 * images}).pictures[0]
    assert masked.images != most.images
    nothing = ends("", one, dict.fromkeys(arrays, images[:0])).pictures[0]
    assert nothing.images == []


def test_a_roc_curve_takes_the_best_threshold_that_flags_no_more_negatives():
    suspicion = np.array([4.0, 3.0, 3.0, 2.0, 1.0, 0.0])
    one = Scored("", suspicion, np.array([True, True, False, False, True, False]), "#000000")
    # Thresholds at 4, 3, 2, 1, 0: (0, 1/3), (1/3, 2/3), (2/3, 2/3), (2/3, 1), (1, 1).
    found = _reached(one, np.array([0.001, 0.3, 1 / 3, 0.5, 2 / 3, 1.0]))
    assert found.tolist() == pytest.approx([1 / 3, 1 / 3, 2 / 3, 2 / 3, 1.0, 1.0])


def test_the_terminals_table_has_a_line_for_each_row():
    rows = [*detection_pair(0.4, 0.3), *detection_pair(0.6, None, detector="strip")]
    headers, lines = table_of(DETECTION, frame(rows))
    assert headers[:7] == ["detector", "trigger", "p", "images", "w", "positives", "AUROC"]
    assert [line[0] for line in lines] == ["CD", "STRIP"] * 2  # training sets come first
    assert [line[-1] for line in lines] == ["", "", "−0.100 [−0.120, −0.080]", ""]
    assert lines[0][6] == "0.400 [0.380, 0.420]"
    assert sentence(frame(rows)).startswith("The same detector finds the poison more easily")


def test_an_unfinished_or_odd_study_still_has_a_page(report, rows, tmp_path):
    small = [row for row in rows if row["detector"] == "cd" and row["poison_ratio"] in (0.0, 0.1)]
    nulls = [row for row in small if row["trigger"] == "none"]
    own = [row for row in small if row["trigger"] == "badnets1"]
    odd = [
        ("No poisoned point has been measured yet", []),
        ("No poisoned point has been measured yet", nulls),
        ("the generations were not measured", [*own[:1], *nulls]),
        ("No null point (p = 0, random flags) was measured.", own),
        ("undefined, because a set has no positives", detection_pair(0.8, None, n_positive=0)),
        ("2 seeds", [*own, *({**row, "seed": 1} for row in own)]),
        ("w = 2, DDIM", [*own, {**own[1], "guidance_weight": 2.0}]),
    ]
    for said, made in odd:
        found = frame(made)
        shown = replace(report, rows=found, judgments=judged(DETECTION, found), arrays={})
        html = write(tmp_path, shown, page(shown)).read_text(encoding="utf-8")
        check_that_it_is_whole(html)
        assert said in text_of(html)
