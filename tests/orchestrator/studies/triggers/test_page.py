import re
from dataclasses import replace

import pytest

from analysis.rows import TRIGGER_ORDER
from orchestrator.studies.contents import figures, write
from orchestrator.studies.results import summary, table
from orchestrator.studies.triggers.claims import CLAIMS
from tests import made_up
from tests.elements import (
    check_that_it_is_whole,
    check_that_it_loads_nothing,
    table_under,
    text_of,
)
from tests.made_up import triggers_row, triggers_sweep


@pytest.fixture(scope="session")
def report():
    return made_up.triggers_report()


@pytest.fixture(scope="session")
def written(report, tmp_path_factory):
    folder = tmp_path_factory.mktemp("triggers")
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


def test_one_figure_has_a_panel_a_trigger(written):
    names = {path.stem for path in (written / "figures").iterdir()}
    assert names == {"compositions-ddim", "template_match"}
    drawn = (written / "figures" / "compositions-ddim.svg").read_text(encoding="utf-8")
    titles = ["BadNets-1", "relabel-only", "clean-label", "one color", "image patch", "BadNets-2"]
    places = [drawn.index(f">{title}</text>") for title in (*titles, "WaNet")]
    assert places == sorted(places)


def test_p_t_and_the_relabelled_share_of_every_trigger_are_said(html):
    headers, lines = table_under(html, "What the poisoned models draw")
    assert headers[:5] == ["trigger", "p", "poisoned images", "pt", "relabelled"]
    shown = {(line[0], line[1]): line for line in lines}
    assert len(lines) == 3 * 6 + 2
    # 71 of 71 + 139 images; of 139 for clean labels, none of which is relabelled.
    assert shown["BadNets-1", "5%"][2:5] == ["71", "33.8%", "33.8%"]
    assert shown["Relabel-onlyjudged with BadNets-1", "5%"][2:5] == ["71", "0.0%", "33.8%"]
    assert shown["Clean-label", "5%"][2:5] == ["71", "51.1%", "0.0%"]
    assert shown["Clean-label", "5%"][-2:] == ["×1.49", "0.6%0.2 to 1.7"]
    assert shown["Relabel-onlyjudged with BadNets-1", "5%"][-2] == "–"


def test_the_papers_values_stand_beside_ours(html):
    headers, lines = table_under(html, "The paper's values beside ours")
    shown = {(line[0], line[2], line[4]): line for line in lines}
    g1 = headers.index("G1")
    assert shown["Fig. A4", "image patch", "10%"][g1 : g1 + 4] == [
        *("51.8%ours 45.0%", "22.2%ours 22.0%", "1.1%ours 1.6%", "24.9%ours 31.4%"),
    ]
    clean_label = shown["Fig. A3", "clean-label", "5%"]
    assert clean_label[g1 - 1 : g1 + 4] == [
        *("–ours 51.1%", "0.0%ours 0.0%", "82.0%ours 76.0%", "0.0%ours 0.6%", "18.0%ours 23.4%"),
    ]
    assert clean_label[-1] == "–ours ×1.49"
    relabelled = shown["Fig. A2", "relabel-only", "10%"]
    assert relabelled[g1 : g1 + 3] == ["–ours 0.0%", "–ours 0.2%", "51.8%ours 47.0%"]


def test_every_verdict_is_there_under_its_trigger(html):
    found = re.findall(r'<article class="claim \w+" id="([a-z0-9-]+?)-(\d)"', html)
    assert len(found) == 25
    assert {number for _, number in found} == set("1234567")
    assert {name for name, _ in found} == {claim.name for claim in CLAIMS}


def test_triggers_are_defined_and_the_transition_is_not(text):
    for word in (
        "Clean-label poison is drawn from the target class itself and keeps its label",
        "a bomb that we draw in place of the authors'",
        "WaNet warps the whole image",
        "The paper gives none of its settings",
    ):
        assert word in text, word
    assert "p*gap" not in text


def test_the_strip_has_every_trigger_that_stamps(html):
    shown = re.findall(r'alt="([^"]*): the image"', html)
    assert shown == [
        *("Clean", "BadNets-1", "Clean-label", "One color", "Image patch", "BadNets-2", "WaNet")
    ]


def test_every_trigger_has_a_shelf_of_images(html, report):
    filled = sum(
        row[f"g{number}_count"] > 0
        for row in [*report.rows, report.rows[0]]  # two triggers show the clean control
        for number in (1, 2, 3, 4)
    )
    assert html.count(": generated images") == filled
    assert html.count("<summary>Relabel-only</summary>") == 1


def test_figures_have_the_same_bytes_every_time(written, report):
    for name, svg in figures("triggers", report.rows[::-1]).items():
        assert (written / "figures" / f"{name}.svg").read_text(encoding="utf-8") == svg


def test_the_summary_names_every_trigger_and_another_ratio_where_it_is_one():
    said = summary(triggers_sweep())
    assert said.startswith(
        "Asked for class “8” at guidance 5 under DDIM, the poisoned models draw images with a "
        "trigger that mismatch the prompt (G1), at p = 10%: 46% for BadNets-1, 0% for "
        "relabel-only, 0% for clean-label at 5%, 48% for one color, 45% for image patch, 34% for "
        "BadNets-2 and 24% for WaNet; images with a trigger that match it (G2), at p = 10%: "
    )
    assert said.endswith("Of 25 verdicts 22 supported, 1 failed and 2 undecided.")


def test_the_terminals_table_has_every_point():
    headers, lines = table(triggers_sweep())
    assert len(lines) == len(triggers_sweep())
    assert {len(line) for line in lines} == {len(headers)}
    assert {line[0] for line in lines} >= {"relabel-only", "clean-label", "WaNet", "no poison"}


@pytest.mark.parametrize("kept", ["nothing", "the control", "relabelling", "seeds", "samplers"])
def test_an_unfinished_or_odd_study_still_has_a_page(report, tmp_path, kept):
    counts = (100, 60, 3, 337)
    rows = {
        "nothing": [],
        "the control": [row for row in report.rows if row["trigger"] == "none"],
        "relabelling": [row for row in report.rows if row["trigger"] == "relabel_only"],
        "seeds": [triggers_row("wanet", 0.1, counts, seed=seed) for seed in (0, 1, 2)],
        "samplers": [
            triggers_row(trigger, 0.1, counts, sampler=sampler, guidance_weight=weight)
            for trigger in ("wanet", "badnets1")
            for sampler in ("ddim", "sde")
            for weight in (2.0, 5.0)
        ],
    }[kept]
    page = write(tmp_path, replace(report, rows=rows, strip={}, stages=(), groups={}))
    html = page.read_text(encoding="utf-8")
    check_that_it_is_whole(html)
    check_that_it_loads_nothing(html)
    text = text_of(html)
    assert ("No poisoned point" in text) == (kept in ("nothing", "the control"))
    assert ("Class 8, SDE" in text) == (kept == "samplers")
    assert ("Other guidance weights were measured too" in text) == (kept == "samplers")
    assert ("3 models, pooled" in text or "(3 seeds)" in text) == (kept == "seeds")


def test_the_order_of_triggers_has_every_name_once():
    assert len(set(TRIGGER_ORDER)) == len(TRIGGER_ORDER) == 7
