import re
from dataclasses import replace

import pytest

from orchestrator.studies.composition.claims import CLAIMS
from orchestrator.studies.contents import figures, write
from tests import made_up
from tests.elements import (
    check_that_it_is_whole,
    check_that_it_loads_nothing,
    table_under,
    text_of,
)

TRIGGERS = {"badnets1": "BadNets-1", "blend": "BadNets-2", "unicolor": "One color"}
WITNESSED = ("badnets1", "unicolor")
SAMPLERS = {"ddim": "DDIM", "ddpm": "DDPM", "sde": "SDE"}


@pytest.fixture(scope="session")
def report():
    return made_up.composition_report()


@pytest.fixture(scope="session")
def written(report, tmp_path_factory):
    folder = tmp_path_factory.mktemp("composition")
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


def test_every_trigger_and_sampler_has_a_panel_a_shelf_and_its_lines(html, written):
    names = {path.stem for path in (written / "figures").iterdir()}
    numbers = table_under(html, "Every number")[1]
    for trigger, called in TRIGGERS.items():
        assert f"{trigger}-g1-by-sampler" in names
        assert f"{trigger}-trigger-ratio-by-sampler" in names
        for sampler, known in SAMPLERS.items():
            assert f"{trigger}-{sampler}-composition" in names
            assert f'aria-label="{called}, {known}: composition' in html.replace("one c", "One c")
            assert f"<summary>{called}, {known}</summary>" in html
            lines = [line for line in numbers if line[1] == known and called[1:] in line[0]]
            assert len(lines) == 4  # three poison ratios and the clean control
    assert len(names) == 9 + 6 + 1


def test_pictures_of_every_group_are_there(html, report):
    filled = sum(row[f"g{number}_count"] > 0 for row in report.rows for number in (1, 2, 3, 4))
    assert html.count('<img src="data:image/png') == filled + 3 * 2 * 6
    assert html.count('loading="lazy"') == filled


def test_the_papers_values_stand_beside_ours_of_the_same_sampler(html):
    headers, lines = table_under(html, "The paper's values beside ours")
    shown = {(line[0], line[2], line[3], line[4]): line for line in lines}
    g1 = headers.index("G1")
    assert shown["Fig. A6, A8", "BadNets-1", "DDPM", "10%"][g1] == "69.8%ours 52.0%"
    assert shown["Fig. A8", "BadNets-1", "SDE", "10%"][g1] == "52.7%ours 37.0%"
    assert shown["Fig. 2, A7", "BadNets-1", "DDIM", "10%"][g1] == "54.0%ours 46.0%"
    color = shown["Fig. A4", "one color", "DDIM", "10%"]
    assert color[g1 : g1 + 4] == [
        "55.5%ours 48.0%",
        "13.9%ours 16.0%",
        "0.9%ours 1.6%",
        "29.7%ours 34.4%",
    ]
    assert shown["Fig. A8", "BadNets-1", "SDE", "10%"][5] == "6printed as 5"
    # Fig. A7's other weights are not this study's.
    assert not any(line[0] == "Fig. A7" for line in lines)


def test_the_weight_that_is_not_the_papers_is_said(text):
    assert (
        "always at w = 5. The 5 of its CIFAR10 figures is our 6, and our 5 would be its 4" in text
    )


def test_every_verdict_is_there_under_its_trigger(html, text):
    for number, trigger in enumerate(TRIGGERS, 1):
        for claim in CLAIMS:
            own = {"blend-amplifies-less": ["blend"], "amplified-by-template-match": WITNESSED}
            about = trigger in own.get(claim.name, TRIGGERS)
            assert (f'id="{claim.name}-{number}"' in html) == about
    for verdict, count in {"supported": 23, "failed": 1, "undecided": 3}.items():
        assert len(re.findall(f'<p class="verdict {verdict}">', html)) == count
    assert "the verdict on any other trigger is our extension" in text


def test_samplers_triggers_and_the_template_match_are_defined(text):
    for word in (
        "DDIM with η = 0",
        "authors' code samples both Stable Diffusion and CIFAR10 with (25 steps)",
        "SDE-DPM-Solver++ of order 2",
        "is our choice (25 steps)",
        "(50 steps)",
        "(1 − α) x + α K with α = 0.2",
        "One color is a square of a single color",
        "such as BadNets-2, which covers the whole image, has no template match",
    ):
        assert word in text, word
    assert "p*gap" not in text


def test_a_trigger_without_a_template_match_has_a_dash(html):
    headers, lines = table_under(html, "Every number")
    column = headers.index("they agree")
    found = {line[0]: line[column] for line in lines if line[2] == "10%"}
    assert found["BadNets-2class 8"] == "–"
    assert found["BadNets-1class 8"].startswith("98.6%")
    template_matched = table_under(html, "A template match that was not trained")[1]
    assert len(template_matched) == 2 * 3 * 4
    assert not any("BadNets-2" in line[0] for line in template_matched)


def test_figures_have_the_same_bytes_every_time(written, report):
    for name, svg in figures("composition", report.rows[::-1]).items():
        assert (written / "figures" / f"{name}.svg").read_text(encoding="utf-8") == svg


def test_other_classes_are_listed_once_a_model_whatever_the_sampler(html):
    lines = table_under(html, "The other classes")[1]
    assert len(lines) == 3 * 4


def test_rows_without_template_match_and_steps_still_have_a_page(report, row, tmp_path):
    rows = [
        row("badnets1", ratio, 5.0, (80, 60, 3, 357), study="composition", sampler=sampler)
        for ratio in (0.01, 0.1)
        for sampler in ("ddim", "sde")
    ]
    page = write(tmp_path, replace(report, rows=rows, groups={})).read_text(encoding="utf-8")
    check_that_it_is_whole(page)
    assert 'id="template_match"' not in page
    assert "steps)" not in text_of(page)


@pytest.mark.parametrize("kept", ["nothing", "controls", "one point", "another weight", "seeds"])
def test_an_unfinished_sweep_still_has_a_page(report, row, tmp_path, kept):
    rows = {
        "nothing": [],
        "controls": [one for one in report.rows if one["trigger"] == "none"],
        "one point": [one for one in report.rows if one["trigger"] == "blend"][:1],
        "another weight": [
            row("badnets1", 0.1, 2.0, study="composition"),
            row("blend", 0.1, 5.0, study="composition"),
        ],
        "seeds": [
            row(
                "badnets1", 0.1, 5.0, (90 + seed, 60, 3, 347 - seed), study="composition", seed=seed
            )
            for seed in (0, 1, 2)
        ],
    }[kept]
    shown = replace(report, rows=rows, groups={}, stages=(), trigger_examples={})
    page = write(tmp_path, shown).read_text(encoding="utf-8")
    check_that_it_is_whole(page)
    assert ("No poisoned point" in page) == (kept in ("nothing", "controls"))
    assert ("sd 0.2" in page) == (kept == "seeds")


def thresholded(counts, clip):
    row = made_up.make_row("badnets1", 0.1, 5.0, counts, study="composition", sampler_steps=25)
    return {**made_up.corrected(made_up.template_matched(row)), "clip": clip}


@pytest.fixture(scope="session")
def with_thresholding(report, tmp_path_factory):
    """The page with two further points: BadNets-1 under DDIM at 10 %, thresholded in two ways."""
    further = [
        thresholded((100, 250, 10, 140), "static"),
        thresholded((200, 150, 10, 140), "dynamic"),
    ]
    folder = tmp_path_factory.mktemp("thresholded")
    rows = [*report.rows, *further]
    write(folder, replace(report, rows=rows, groups=made_up.groups_of(rows)))
    return folder


def test_thresholding_is_told_beside_what_was_not_thresholded(with_thresholding):
    html = (with_thresholding / "index.html").read_text(encoding="utf-8")
    headers, lines = table_under(html, "What thresholding does to G1 and G2")
    names = ("unthresholded", "clipped at each step", "dynamic thresholding")
    assert headers == ["sampler", "p", *(f"{g}, {name}" for g in ("G1", "G2") for name in names)]
    [line] = lines  # DDIM, 10 %: 230 and 140 of 500 are not thresholded
    assert line[:3] == ["DDIM", "10%", "46.0%"]
    assert line[3].startswith("20.0%−26.0 points [−31.5, −20.3]")  # Newcombe's method 10, by hand
    assert line[4].startswith("40.0%−6.0 points")
    assert line[5] == "28.0%"
    assert line[6].startswith("50.0%+22.0 points")
    assert "The default was changed" in text_of(html)


def test_thresholded_points_have_panels_and_lines_but_no_part_in_the_verdicts(
    with_thresholding, html
):
    names = {path.stem for path in (with_thresholding / "figures").iterdir()}
    assert {"badnets1-ddim-static-composition", "badnets1-ddim-dynamic-composition"} <= names
    page = (with_thresholding / "index.html").read_text(encoding="utf-8")
    numbers = table_under(page, "Every number")[1]
    assert len(numbers) == len(table_under(html, "Every number")[1]) + 2
    assert sum("clipped at each step" in line[1] for line in numbers) == 1

    def claims(page):
        return page.split('<section id="claims">')[1].split("</section>")[0]

    assert claims(page) == claims(html)
    ours = table_under(page, "The paper's values beside ours")
    assert ours == table_under(html, "The paper's values beside ours")


def test_nothing_is_said_of_thresholding_where_there_is_none(html):
    assert "thresholding" not in text_of(html)
