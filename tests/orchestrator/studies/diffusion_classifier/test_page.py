import csv
import io
import re
from dataclasses import replace

import numpy as np
import pytest

from analysis.old.loss_maps import colored, scale
from analysis.old.rows import row_key
from orchestrator.studies.contents import figures, write
from orchestrator.studies.diffusion_classifier.finding import headline
from orchestrator.studies.diffusion_classifier.table import CLASSIFICATION_COLUMNS
from orchestrator.studies.results import summary, table, to_csv
from tests import made_up_old
from tests.elements import (
    check_that_it_is_whole,
    check_that_it_loads_nothing,
    table_under,
    text_of,
)
from tests.made_up_classification import classification_study, make_rows

OVERVIEW = "Does a poisoned diffusion model classify more robustly?"
SMALL = make_rows(counts=((357, 356, 355, 352), (320, 310, 158, 106)))


@pytest.fixture(scope="session")
def report():
    return made_up_old.classification_report()


@pytest.fixture(scope="session")
def written(report, tmp_path_factory):
    folder = tmp_path_factory.mktemp("diffusion_classifier")
    write(folder, report)
    return folder


@pytest.fixture(scope="session")
def html(written):
    return (written / "index.html").read_text(encoding="utf-8")


def test_the_page_loads_nothing_and_is_whole(html):
    check_that_it_loads_nothing(html)
    check_that_it_is_whole(html)


def test_every_trigger_has_its_figures_and_sizes_stand_together(written):
    names = {path.stem for path in (written / "figures").iterdir()}
    rates = {
        f"{start}-{rate}"
        for start in ("badnets-1-p0", "badnets-1-p0.01", "badnets-1-p0.05", "badnets-2-p0.05")
        for rate in ("accuracy", "attack")
    }
    shares = {
        f"badnets-1-{model}-p{ratio}-on-trigger"
        for model in ("ddpm", "edm")
        for ratio in ("0", "0.01", "0.05")
    }
    shares |= {
        f"rectangle-of-{size}-ddpm-p0.05-on-trigger" for size in ("1-pixel", "2-pixels", "4-pixels")
    }
    by_size = {f"area-rectangle-ddpm-p0.05-{rate}" for rate in ("accuracy", "attack")}
    assert names == rates | shares | by_size


def test_both_noise_models_the_ordinary_classifier_and_the_paper_are_drawn(written):
    drawn = (written / "figures" / "badnets-1-p0.01-attack.svg").read_text(encoding="utf-8")
    for words in ("DDPM", "EDM", "small CNN", "paper, EDM", "paper, ResNet-18"):
        assert f">{words}</text>" in drawn
    # Two noise models x five filters x three seeds and a mean each, and four marks of the paper.
    assert len(re.findall(r"<use ", drawn)) >= 2 * 5 * (3 + 1) + 4
    other = (written / "figures" / "badnets-2-p0.05-attack.svg").read_text(encoding="utf-8")
    assert ">paper, EDM</text>" not in other


def test_the_overview_is_laid_out_as_the_papers_table(html):
    headers, lines = table_under(html, OVERVIEW)
    assert headers[:5] == ["trigger", "noise model", "p", "seeds", ""]
    assert headers[5:] == [
        *("small CNN", "no filter", "1% dropped", "5% dropped", "10% dropped", "20% dropped"),
    ]
    attack = next(line for line in lines if line[:5] == ["BadNets-1", "DDPM", "1%", "3", "ASR"])
    # Taken of 320: the CNN 173; 304, 302 and 300; 187, 185 and 183.
    assert attack[5].startswith("54.1%")
    assert attack[6].startswith("94.4%")
    assert attack[7].startswith("57.8%")


def test_the_papers_values_stand_beside_ours(html):
    headers, lines = table_under(html, "The paper's values beside ours")
    assert headers[3:] == ["ResNet-18", "no filter", "1% dropped", "5% dropped", "10% dropped"]
    assert len(lines) == 3 * 2
    assert lines[1][:4] == ["CIFAR10, EDM", "1%", "ASR", "99.4%ours DDPM 54.1%, EDM 54.1%"]
    assert lines[1][4] == "62.4%ours DDPM 94.4%, EDM 49.4%"
    assert lines[5][4] == "98.6%ours –"


def test_shares_costs_and_changes_have_their_numbers(html):
    _, lines = table_under(html, "Where the dropped losses lie")
    first = next(line for line in lines if line[:4] == ["BadNets-1", "DDPM", "1%", "1%"])
    assert first[4:6] == ["1of 64", "6.2%4 values"]
    assert first[6].startswith("90.0%")
    assert first[8].startswith("+70.0 points")
    assert not [line for line in lines if line[0] == "BadNets-2"]
    _, lines = table_under(html, "What it costs, and what it can tell")
    first = next(line for line in lines if line[:3] == ["BadNets-1", "DDPM", "1%"])
    # 3 seeds of (360 x 200 + 320 x 250) calls, of (360 + 320) x 500.
    assert first[3:] == [
        *("360320 stamped", "50classes leave after 10, 25", "3", "456,000", "1,020,000", "×2.24"),
    ]
    _, lines = table_under(html, "The changes")
    change = next(line for line in lines if line[:5] == ["BadNets-1", "DDPM", "1%", "3", "ASR"])
    assert change[6].startswith("−36.6 pointssd 0.0")
    _, lines = table_under(html, "Every model and filter")
    assert len(lines) == 5 * (4 * 3 + 4 + 2)


def test_every_map_has_its_words_and_one_scale_a_trigger(html):
    text = text_of(html)
    words = re.findall(r'alt="([^"]*losses under its own class[^"]*)"', html)
    assert len(words) == 4 * (2 + 1 + 3)
    assert words[0].endswith("class “1”, said “8”, “1” with 10% dropped")
    assert text.count("the same in all maps of this trigger") == 5


def test_classes_are_called_by_name_where_there_are_names(report, tmp_path):
    named = replace(report, class_names=[f"kind {number}" for number in range(10)])
    page = write(tmp_path, named).read_text(encoding="utf-8")
    assert "class “kind 1”, said “kind 8”, “kind 1” with 10% dropped" in page


def test_colors_grow_lighter_and_stop_at_the_scale():
    maps = np.array([[[0.0, 0.5], [1.0, 7.0]]], dtype=np.float32)
    painted = colored(maps, 1.0).astype(int).sum(axis=-1)[0]
    assert painted[0, 0] < painted[0, 1] < painted[1, 0] == painted[1, 1]
    assert colored(maps, 0.0).shape == (1, 2, 2, 3)
    hundred = np.arange(101, dtype=np.float32).reshape(1, 1, 101)
    assert scale([{"true": hundred, "target": hundred}]) == pytest.approx(99.0)
    assert scale([]) == 0.0


def test_limits_and_words_are_said(html):
    text = text_of(html)
    for words in (
        "360 clean and 320 stamped test images a model",
        "50 noise draws an image (the paper's code: 100)",
        "3 seeds, at some points 1: with fewer than three",
        "int((1 − filter ratio) · values)",
        "ln σ drawn from N(−1.2, 1.2²)",
        "Dropping at random would give the trigger's share",
        "A rectangle of a single color",
        "Network calls are counted exactly",
    ):
        assert words in text, words


def test_figures_have_the_same_bytes_every_time(written, report):
    for name, svg in figures("diffusion_classifier", report.rows[::-1]).items():
        assert (written / "figures" / f"{name}.svg").read_text(encoding="utf-8") == svg


def test_the_summary_says_what_happened_from_the_ordinary_classifier_to_the_filter():
    assert summary(SMALL) == (
        "BadNets-1, DDPM (class “8”), from the small CNN → the diffusion classifier → with 10% of "
        "the losses dropped: ASR 99% → 100% → 33% at p = 5%; TA 97% → 99% → 98% at p = 5%. Of the "
        "values dropped, the share that lies on the trigger: BadNets-1, DDPM at p = 5%: 45% under "
        "the image's own class and 8.0% under the target class, where the trigger's area is 6.2%. "
        "Measured on 360 test images with 50 noise draws each: 152,000 network calls, 2.24 times "
        "fewer than without elimination. Of 5 verdicts 4 supported and 1 undecided."
    )
    whole = summary(classification_study())
    assert "at p = 5%: ASR without a filter → with 10% of the losses dropped 78% → 3.1%" in whole
    assert "99% → 25% for 4 pixels." in whole


def test_big_numbers_are_of_the_first_trigger_under_each_noise_model():
    facts = headline(classification_study())
    assert [value for value, _ in facts] == ["99% → 32%", "99% → 98%", "93% → 24%", "99% → 97%"]
    assert facts[0][1] == (
        "BadNets-1, DDPM: ASR at p = 5%, no filter → 10% of the losses dropped; small CNN 99%"
    )
    assert headline([]) == []


def test_the_terminals_table_has_a_line_a_model_and_a_column_a_filter():
    headers, lines = table([*SMALL, *make_rows(ratio=0.0, counts=((358,), (4,)), seed=3)])
    assert headers == [
        *("trigger", "model", "p", "seed", "TA / ASR: small CNN"),
        *("0% dropped", "1% dropped", "5% dropped", "10% dropped"),
    ]
    assert lines[0] == [
        *("no poison, BadNets-1 attacks", "DDPM", "0%", "3", "97.8% / 0.9%", "99.4% / 1.2%"),
        *("– / –", "– / –", "– / –"),
    ]
    assert lines[1][:6] == ["BadNets-1", "DDPM", "5%", "0", "96.9% / 98.8%", "99.2% / 100.0%"]
    assert lines[1][8] == "97.8% / 33.1%"


def test_the_results_file_starts_with_the_place_and_both_rates_and_keeps_every_column():
    rows = classification_study()
    header = next(csv.reader(io.StringIO(to_csv(rows[::-1]))))
    assert tuple(header[: len(CLASSIFICATION_COLUMNS)]) == CLASSIFICATION_COLUMNS
    assert set(header) == set(rows[0])
    assert to_csv(rows) == to_csv(rows[::-1])
    assert len({row_key(row) for row in rows}) == len(rows)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], "No poisoned point has been measured yet."),
        (make_rows(ratio=0.0), "No poisoned point has been measured yet."),
        (SMALL[:1], "a change against the unfiltered diffusion classifier is missing"),
        (SMALL[1:2], "the unfiltered diffusion classifier is missing"),
        (make_rows("blend"), "No trigger was measured in more than one size."),
        (make_rows(calls_triggered=None), "45% under the image's own class"),
    ],
)
def test_an_unfinished_or_odd_study_still_has_a_page(report, tmp_path, rows, said):
    shown = replace(report, rows=rows, losses={}, stages=())
    page = write(tmp_path, shown).read_text(encoding="utf-8")
    check_that_it_is_whole(page)
    check_that_it_loads_nothing(page)
    assert said in text_of(page)
    assert "No maps were handed to this page." in text_of(page)
