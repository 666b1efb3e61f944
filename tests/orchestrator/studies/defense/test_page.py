import re

import numpy as np
import pytest
from scipy.stats import rankdata

from analysis.page.page import write
from analysis.rows import frame
from orchestrator.run.report import table_of
from orchestrator.studies import DEFENSE
from orchestrator.studies.defense.page import page, sentence
from tests import made_up
from tests.elements import check_that_it_is_whole, table_under, text_of
from tests.made_up_defense import COUNTS, defense_study, make_cell, make_defense_row

TRIGGERS = ("badnets1", "blend", "clean_label", "wanet")
CELL = {"training": (350, 240), "generation": (340, 16)}


def test_each_trigger_has_its_figures_with_dots_controls_and_the_paper(html, written):
    drawn = {path.stem: path.read_text() for path in written("defense").glob("figures/*")}
    assert html.count("the change, ×") == 2  # of BadNets-2 and WaNet, which spread
    rates = {f"{trigger}-small-{rate}" for trigger in TRIGGERS for rate in ("accuracy", "attack")}
    assert set(drawn) == {*rates, "wanet-small-fresh-attack", "attack-by-g1"}
    # Two ratios x two curves x three seeds, and a mark each.
    assert len(re.findall(r"<use ", drawn["badnets1-small-attack"])) >= 2 * 2 * 3 + 2 * 2
    for words in ("training set", "generations", "corrected", "clean pair", "paper"):
        assert f">{words}</text>" in drawn["badnets1-small-attack"]
    for words in ("corrected", "paper"):
        assert f">{words}</text>" not in drawn["clean_label-small-attack"]
    assert ">paper</text>" not in drawn["wanet-small-fresh-attack"]


def test_the_overview_has_the_clean_pair_and_every_ratio(html):
    headers, lines = table_under(html, "Do generations make a cleaner training set?")
    assert headers[4:] == [
        *("TA", "change of TA", "ASR", "change of ASR", "ASR, corrected", "G1 generated")
    ]
    # Right of 360: 350, 349, 348 and 338, 336, 334.  Taken of 320: 240, 241, 242 and 16, 20, 24;
    # corrected 4, 6, 8.
    assert lines[0][:5] == ["BadNets-1without poison", "small CNN", "0%", "3", "97.5% → 94.2%"]
    assert lines[1][:5] == ["BadNets-1", "small CNN", "1%", "3", "96.9% → 93.3%"]
    assert lines[1][6] == "75.3% → 6.2%"
    # -224, -221 and -218 of 320: the seeds differ by less than 320 images allow.
    assert lines[1][7] == "−69.1 points−74.0 to −63.1"
    assert lines[1][8:] == ["1.9%", "0.7%"]


def test_the_papers_numbers_stand_beside_ours(html):
    _, lines = table_under(html, "The paper's numbers beside ours")
    assert len(lines) == 3 * 4 * 3
    shown = {tuple(line[:5]): line[5:] for line in lines}
    assert shown["Tab. 4", "ImageNette, Stable Diffusion", "ResNet-50", "BadNets-1", "1%"] == [
        "99.5% → 97.1%ours 96.9% → 93.3%",
        "87.7% → 0.9%ours 75.3% → 6.2%",
    ]
    last = shown["Tab. A3", "ImageNette, Stable Diffusion", "VGG-16", "WaNet", "2%"]
    assert last[1] == "99.6% → 1.7%ours –"


def test_every_number_is_there_over_the_seeds_and_one_by_one(html):
    headers, lines = table_under(html, "What was trained on what")
    columns = {header: place for place, header in enumerate(headers)}
    found = next(line for line in lines if line[0] == "WaNet" and "generations" in line)
    assert found[columns["seeds"]] == "3"
    assert found[columns["change of ASR, fresh warp"]].startswith("−80.3 points")
    headers, lines = table_under(html, "Every classifier")
    assert len(lines) == 3 * (5 * 3 + 2 + 4 * 2)


def test_the_rank_correlation_stands_beneath_its_scatter(html):
    shares = [cell[3] + seed for cell in COUNTS.values() for seed in range(3)]
    taken = [cell[2][1] + 4 * seed for cell in COUNTS.values() for seed in range(3)]
    expected = np.corrcoef(rankdata(shares), rankdata(taken))[0, 1]
    assert f"rank correlation over the 18 classifiers is {expected:+.2f}" in text_of(html)


def test_the_sentence_and_the_terminals_table_have_the_first_triggers_rates():
    rows = frame(make_cell("badnets1", 0.01, CELL, 18) + make_cell("badnets1", 0.0, CELL))
    assert sentence(rows) == (
        "From the poisoned training set to the generations (w = 2, DDIM), the attack success rate "
        "of BadNets-1 goes 75.0% → 5.0% at 1%."
    )
    headers, lines = table_of(DEFENSE, rows)
    assert headers == ["trigger", "p", "images", "TA", "ASR", "G1"]
    assert [line[:3] for line in lines[1:3]] == [
        ["BadNets-1 [without poison]", "0%", "generations"],
        ["BadNets-1", "1%", "training set"],
    ]
    assert lines[3][3:] == ["94.4% [91.6, 96.4]", "5.0% [3.1, 8.0]", "1.3% [0.8, 2.0]"]


OTHER_WAY = make_defense_row(image_set="generation", counts=(339, 9), guidance_weight=1.0)


ODD = {
    "The paper's numbers beside ours": [],
    "No poisoned point has been measured yet.": make_cell("badnets1", 0.0, CELL),
    "No classifier of generations stands beside one": [OTHER_WAY],
    "generations: not measured": make_cell("badnets1", 0.01, {"generation": (350, None)}),
    "(w = 2, DDIM), the attack success": [*make_cell("badnets1", 0.01, CELL), OTHER_WAY],
    "(2 seeds)": defense_study((0, 1)),
}


@pytest.mark.parametrize("said", ODD)
def test_an_unfinished_or_odd_study_still_has_a_page(tmp_path, said):
    report = made_up.report_of("defense", ODD[said])
    html = write(tmp_path, report, page(report)).read_text(encoding="utf-8")
    check_that_it_is_whole(html)
    assert said in text_of(html)
