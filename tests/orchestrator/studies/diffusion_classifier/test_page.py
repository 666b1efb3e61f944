"""The page of ``diffusion_classifier``: what it shows of made-up rows."""

import re
from dataclasses import replace

import numpy as np
import pytest

from analysis.page.page import write
from analysis.rows import frame
from orchestrator.run.report import table_of
from orchestrator.studies.diffusion_classifier import DIFFUSION_CLASSIFIER
from orchestrator.studies.diffusion_classifier.loss_maps import colored, highest
from orchestrator.studies.diffusion_classifier.page import page, sentence
from tests.elements import check_that_it_is_whole, check_that_it_loads_nothing, table_under, text_of
from tests.made_up import classification_report
from tests.made_up_classification import RIGHT, make_rows

SMALL = make_rows(counts=(RIGHT[:4], (320, 310, 158, 106)))
NAME = "diffusion_classifier"
NOTHING = "No poisoned point has been measured yet."


@pytest.fixture(scope="session")
def report():
    return classification_report()


@pytest.fixture(scope="module")
def figures(written):
    """The text of each figure by its name."""
    return {path.stem: path.read_text() for path in written(NAME).glob("figures/*")}


def test_every_trigger_has_its_figures_and_sizes_stand_together(figures):
    points = ["badnets1-4-8-p0", "badnets1-4-8-p0.01", "badnets1-4-8-p0.05", "blend-8-p0.05"]
    models = [f"{model}-p{ratio}" for model in ("ddpm", "edm") for ratio in ("0", "0.01", "0.05")]
    assert set(figures) == {
        *(f"{start}-{rate}" for start in points for rate in ("accuracy", "attack")),
        *(f"badnets1-8-4-{model}-on-trigger" for model in models),
        *(f"rectangle-8-{size}-ddpm-p0.05-on-trigger" for size in (1, 2, 4)),
        *(f"rectangle-8-ddpm-p0.05-{rate}" for rate in ("accuracy", "attack")),
    }


def test_noise_models_ordinary_classifier_paper_and_covering_filters_are_drawn(figures):
    svg = figures["badnets1-4-8-p0.01-attack"]
    for words in ("DDPM", "EDM", "small CNN", "paper, EDM", "paper, ResNet-18"):
        assert f">{words}</text>" in svg
    # Two noise models x five filters x three seeds and a mean each, and four marks of the paper.
    assert len(re.findall(r"<use ", svg)) >= 2 * 5 * (3 + 1) + 4
    assert ">paper, EDM</text>" not in figures["blend-8-p0.05-attack"]
    assert ">covered</text>" in figures["rectangle-8-ddpm-p0.05-attack"]


def test_tables_have_the_numbers_of_the_rows(html):
    headers, lines = table_under(html, "Attack success rate (ASR)")
    assert headers[4:7] == ["small CNN", "no filter", "1% dropped"]
    line = next(line for line in lines if line[:4] == ["BadNets-1", "4", "DDPM", "1%"])
    # Taken of 320: the CNN 173; 304, 302 and 300; 187, 185 and 183.
    assert [cell[:5] for cell in line[4:7]] == ["54.1%", "94.4%", "57.8%"]
    _, lines = table_under(html, "What it costs, and what it can tell")
    line = next(line for line in lines if line[:4] == ["BadNets-1", "4", "DDPM", "1%"])
    # Calls of each model: 360 x 200 and 320 x 250, of (360 + 320) x 500.
    assert line[4:] == ["1,0803 seeds", "9603 seeds", "50", "72,000", "80,000", "340,000"]
    _, lines = table_under(html, "Every number")
    line = next(line for line in lines if line[:5] == ["BadNets-1", "4", "DDPM", "1%", "1%"])
    assert line[8].startswith("−36.6 points")
    assert [cell[:5] for cell in line[9:]] == ["90.0%", "20.0%", "+70.0"]
    _, lines = table_under(html, "The paper's numbers beside ours")
    assert len(lines) == 3 * 4
    assert lines[0][3:] == [
        *("EDM", "1%", "0%", "95.6%ours 98.9%", "62.4%ours 49.4%"),
        *("94.8%ours 97.2%", "99.4%ours 54.1%"),
    ]


def test_every_map_has_its_words_and_classes_have_their_names(report, html, tmp_path):
    said = "Class “{0}1” said “{0}8”, “{0}1” with 10% dropped"
    assert len(re.findall(r'alt="[^"]* said ', html)) == 4 * (2 + 1 + 3)
    assert said.format("") in text_of(html)
    assert text_of(html).count("the same for all maps of this trigger") == 5
    named = replace(report, rows=frame(SMALL), class_names=[f"kind {n}" for n in range(10)])
    path = write(tmp_path, named, page(named))
    assert said.format("kind ") in text_of(path.read_text(encoding="utf-8"))


def test_colors_grow_lighter_and_stop_at_the_scale():
    losses = np.array([[[0.0, 0.5], [1.0, 7.0]]], dtype=np.float32)
    painted = colored(losses, 1.0).astype(int).sum(axis=-1)[0]
    assert painted[0, 0] < painted[0, 1] < painted[1, 0] == painted[1, 1]
    assert colored(losses, 0.0).shape == (1, 2, 2, 3)
    hundred = np.arange(101, dtype=np.float32).reshape(1, 1, 101)
    assert highest([{"true": hundred, "target": hundred}]) == pytest.approx(99.0)


def test_headlines_are_of_the_first_trigger_under_each_noise_model(report):
    assert sentence(report.rows) == (
        "BadNets-1, p = 5%: the attack success rate without a filter → with 10% of the losses "
        "dropped is 99.4% → 32.5% (DDPM) and 93.1% → 24.4% (EDM)."
    )
    facts = [value for value, _ in page(report).facts]
    assert facts == ["99.4% → 32.5%", "98.9% → 97.5%", "93.1% → 24.4%", "98.9% → 97.5%"]


def test_the_terminals_table_has_a_line_for_each_row():
    rows = frame([*SMALL, *make_rows(ratio=0.0, counts=((358,), (4,)), seed=3)])
    headers, lines = table_of(DIFFUSION_CLASSIFIER, rows)
    assert headers[:7] == ["trigger", "pixels", "model", "p", "filter", "seed", "TA"]
    assert [line[:6] for line in lines[:2]] == [
        ["BadNets-1", "4", "DDPM", "0%", "0%", "3"],
        ["BadNets-1", "4", "DDPM", "5%", "0%", "0"],
    ]
    assert [cell.partition(" ")[0] for cell in lines[4][6:]] == ["97.8%", "33.1%", "96.9%", "98.8%"]


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([], NOTHING),
        (make_rows(ratio=0.0), NOTHING),
        (SMALL[:1], "without a filter is 100.0% (DDPM)"),
        (SMALL[1:2], "– → 96.9%"),
        (make_rows("blend"), "No trigger was measured in more than one size."),
        (make_rows(calls_triggered=None), "72,000"),
    ],
)
def test_an_unfinished_or_odd_study_still_has_a_page(report, tmp_path, rows, said):
    odd = replace(report, rows=frame(rows), arrays={}, judgments=[])
    html = write(tmp_path, odd, page(odd)).read_text(encoding="utf-8")
    check_that_it_is_whole(html)
    check_that_it_loads_nothing(html)
    assert said in text_of(html)
    assert "There are no maps." in text_of(html)
