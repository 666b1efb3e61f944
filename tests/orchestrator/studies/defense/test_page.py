import re
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import rankdata

from orchestrator.studies.contents import figures, write
from orchestrator.studies.defense.claims import CLAIMS
from tests import made_up_old
from tests.elements import (
    check_that_it_is_whole,
    check_that_it_loads_nothing,
    table_under,
    text_of,
)
from tests.made_up_defense import COUNTS, make_cell, make_defense_row

TRIGGERS = ("badnets1", "blend", "clean_label", "wanet")


@pytest.fixture(scope="session")
def report():
    return made_up_old.defense_report()


@pytest.fixture(scope="session")
def written(report, tmp_path_factory):
    folder = tmp_path_factory.mktemp("defense")
    write(folder, report)
    return folder


@pytest.fixture(scope="session")
def html(written):
    return (written / "index.html").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def text(html):
    return text_of(html)


def test_the_page_loads_nothing_and_is_whole(html):
    check_that_it_loads_nothing(html)
    check_that_it_is_whole(html)


def test_every_trigger_has_its_figures_and_a_warp_one_more(written):
    names = {path.stem for path in (written / "figures").iterdir()}
    rates = {f"{trigger}-small-{rate}" for trigger in TRIGGERS for rate in ("accuracy", "attack")}
    assert names == {*rates, "wanet-small-fresh-attack", "attack-by-g1"}


def test_every_seed_has_a_dot_and_the_paper_is_drawn_where_it_has_numbers(written):
    def drawn(name):
        return (written / "figures" / f"{name}.svg").read_text(encoding="utf-8")

    # Two ratios x two curves x three seeds, and a mark each: small dots have a symbol of their own.
    attack = drawn("badnets1-small-attack")
    assert len(re.findall(r"<use ", attack)) >= 2 * 2 * 3 + 2 * 2
    for words in ("training set", "generations", "corrected", "clean pair", "paper"):
        assert f">{words}</text>" in attack
    own = drawn("clean_label-small-attack")
    assert ">corrected</text>" not in own
    assert ">paper</text>" not in own
    assert ">clean pair</text>" in own
    assert ">paper</text>" not in drawn("wanet-small-fresh-attack")


def test_every_claim_has_its_verdict_under_its_trigger(html):
    for number, trigger in enumerate(TRIGGERS, 1):
        for claim in CLAIMS:
            about = trigger != "clean_label" or claim.name != "corrected-is-at-chance"
            assert (f'id="{claim.name}-{number}"' in html) == about


def test_the_overview_has_the_clean_pair_and_every_ratio(html):
    headers, lines = table_under(html, "Do generations make a cleaner training set?")
    assert headers == [
        *("trigger", "p", "seeds", "TA", "change of TA", "ASR", "change of ASR"),
        *("ASR, corrected", "G1 generated"),
    ]
    # Right of 360: 350, 349, 348 and 338, 336, 334.  Taken of 320: 240, 241, 242 and 16, 20, 24;
    # corrected 4, 6, 8.
    assert lines[0][:4] == ["BadNets-1no poison, attacks only", "0%", "3", "97.5% → 94.2%"]
    assert lines[1][:4] == ["BadNets-1", "1%", "3", "96.9% → 93.3%"]
    assert lines[1][5] == "75.3% → 6.2%"
    assert lines[1][7:] == ["1.9%", "0.7%"]
    clean_label = next(line for line in lines if line[:2] == ["clean-label", "5%"])
    assert clean_label[7] == "–"


def test_the_papers_values_stand_beside_ours(html):
    _, lines = table_under(html, "The paper's values beside ours")
    assert len(lines) == 3 * 4 * 3
    shown = {tuple(line[:5]): line[5:] for line in lines}
    assert shown["Tab. 4", "ImageNette, SD", "ResNet-50", "BadNets-1", "1%"] == [
        "99.5% → 97.1%ours 96.9% → 93.3%",
        "87.7% → 0.9%ours 75.3% → 6.2%",
    ]
    assert shown["Tab. A3", "ImageNette, SD", "VGG-16", "WaNet", "2%"][1] == "99.6% → 1.7%ours –"


def test_every_number_has_seeds_spread_counts_and_changes(html):
    headers, lines = table_under(html, "The changes")
    assert headers[4:] == ["seeds", "change of TA", "change of ASR", "change of ASR, fresh warp"]
    changed = {(line[0], line[2]): line for line in lines}
    assert changed["BadNets-1", "1%"][4] == "3"
    # -224, -221 and -218 of 320: the seeds differ by less than 320 images allow.
    assert changed["BadNets-1", "1%"][6].startswith("−69.1 pointssd 0.9, [−74.0, −63.1]")
    assert changed["BadNets-1", "1%"][6].endswith("lower")
    assert changed["BadNets-1", "1%"][7] == "–"
    assert changed["WaNet", "5%"][7].startswith("−80.3 points")
    headers, lines = table_under(html, "What was trained on what")
    corrected = next(line for line in lines if line[4] == "corrected training set")
    assert corrected[5:8] == ["3", "1,437", "360320 stamped"]
    headers, lines = table_under(html, "Every classifier")
    assert len(lines) == 3 * (5 * 3 + 2 + 4 * 2)
    first = next(line for line in lines if line[:6] == _first())
    assert first[7].startswith("75.0%240 of 320, ")
    assert first[9:] == ["–", "–"]


def _first():
    return ["BadNets-1", "small CNN", "1%", "–", "training set", "0"]


def test_networks_say_what_they_started_from(report, html, tmp_path):
    assert table_under(html, "What the networks started from")[1] == [
        ["small CNN", "random weights", "75"]
    ]
    cell = {"training": (350, 240), "generation": (340, 16)}
    rows = [
        *make_cell("badnets1", 0.01, cell),
        *make_cell("badnets1", 0.01, cell, classifier="resnet50", weights="0123456789ab"),
    ]
    page = write(tmp_path, replace(report, rows=rows)).read_text(encoding="utf-8")
    check_that_it_is_whole(page)
    assert table_under(page, "What the networks started from")[1] == [
        ["small CNN", "random weights", "2"],
        ["ResNet-50", "weights 0123456789ab", "2"],
    ]
    overview = table_under(page, "Do generations make a cleaner training set?")
    assert overview[0][1] == "network"
    assert {line[1] for line in overview[1]} == {"small CNN", "ResNet-50"}
    assert "BadNets-1, class 8, ResNet-50" in page


def test_everything_is_defined(text):
    for word in (
        "not of the target class, stamped with the trigger",
        "as many as there are training images unless the scale has a limit",
        "measured after the last one",
        "Nothing is chosen on test images",
        "conditional on the two trained classifiers",
        "a warp that nobody trained on",
        "each with its true label",
        "what generating costs",
        "there is no test of it",
        "WaNet warps the whole image",
        "Clean-label poison is of the target class",
        "ResNet-50 from ImageNet weights",
    ):
        assert word in text, word


def test_the_strip_has_every_trigger_and_the_change_of_what_spreads(html, report):
    assert html.count(": the image") == len(report.strip) == 5
    assert re.findall(r'alt="([^"]*): the change"', html) == ["BadNets-2", "WaNet"]
    assert "clean above and stamped below" not in html  # the strip takes their place


def test_the_rank_correlation_stands_beside_its_scatter(text):
    seeds = (0, 1, 2)
    shares = [cell["g1"] + seed for cell in COUNTS.values() for seed in seeds]
    taken = [cell["generation"][1] + 4 * seed for cell in COUNTS.values() for seed in seeds]
    expected = np.corrcoef(rankdata(shares), rankdata(taken))[0, 1]
    assert f"Spearman's rank correlation over the 18 classifiers is {expected:+.2f}" in text


def test_figures_have_the_same_bytes_every_time(written, report):
    for name, svg in figures("defense", report.rows[::-1]).items():
        assert (written / "figures" / f"{name}.svg").read_text(encoding="utf-8") == svg


@pytest.mark.parametrize(
    ("kept", "said"),
    [
        ("nothing", "No poisoned point has been measured yet."),
        ("the clean pair only", "The clean training set (p = 0) was not measured."),
        ("training sets only", "the generations were not measured"),
        ("generations only", "of the generations is missing"),
        ("no attack", "the generations gave no such number"),
        ("one seed, no judge", "(1 seed)"),
        ("two seeds", "(2 seeds)"),
        ("two ways of generating", "Other guidance weights and samplers stand under"),
    ],
)
def test_an_unfinished_or_odd_study_still_has_a_page(report, tmp_path, kept, said):
    shown = replace(report, rows=_kept(report.rows, kept), strip={}, stages=())
    page = write(tmp_path, shown).read_text(encoding="utf-8")
    check_that_it_is_whole(page)
    check_that_it_loads_nothing(page)
    if kept == "the clean pair only":
        assert "No poisoned point" in text_of(page)
    else:
        assert said in text_of(page)


def _kept(rows, kept):
    cell = {"training": (350, 240), "generation": (340, 16)}
    if kept == "no attack":
        return make_cell("badnets1", 0.01, {name: (350, None) for name in cell})
    if kept == "two ways of generating":
        other = make_defense_row(image_set="generation", counts=(339, 9), guidance_weight=1.0)
        return [*make_cell("badnets1", 0.01, cell), other]
    return {
        "nothing": [],
        "the clean pair only": [row for row in rows if row["poison_ratio"] == 0],
        "training sets only": [row for row in rows if row["image_set"] == "training"],
        "generations only": [row for row in rows if row["image_set"] == "generation"],
        "one seed, no judge": make_cell("badnets1", 0.01, cell),
        "two seeds": [row for row in rows if row["seed"] < 2],
    }[kept]
