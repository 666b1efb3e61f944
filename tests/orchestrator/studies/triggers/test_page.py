"""The page of ``triggers``."""

from analysis.page.page import write
from analysis.rows import frame
from orchestrator.studies.triggers.page import page, sentence
from tests import made_up
from tests.elements import table_under, text_of


def test_every_trigger_has_a_big_number_a_picture_and_a_line(html):
    text = text_of(html)
    assert "46 / 28 / 2%BadNets-1: G1 / G2 / G3 at p = 10%" in text
    assert "0 / 76 / 1%Clean-label: G1 / G2 / G3 at p = 5%" in text
    assert html.count('alt=" WaNet') == 2  # the image and its change
    headers, lines = table_under(html, "What the poisoned models draw")
    assert headers[:5] == ["trigger", "p", "poisoned images", "pt", "relabelled"]
    assert len(lines) == 7 * 3 - 1
    relabelled = next(line for line in lines if line[:2] == ["relabel-only", "10%"])
    assert relabelled[3:5] == ["0.0%", "50.7%"]
    assert relabelled[-2] == "–"


def test_the_sentence_names_every_trigger(html):
    assert sentence(made_up.triggers_report().rows).startswith(
        "Images with a trigger that mismatch the prompt (G1) are 46.0% for BadNets-1, 0.0% for "
        "relabel-only, 0.0% for clean-label, 48.0% for one color"
    )
    assert sentence(frame([])) == "No poisoned point has been measured yet."


def test_an_unfinished_study_still_has_a_page(tmp_path):
    clean = made_up.triggers_row("none", 0.0, (0, 0, 4, 496))
    for rows in ([], [clean]):
        report = made_up.report_of("triggers", rows, arrays={})
        assert "No poisoned point" in write(tmp_path, report, page(report)).read_text()
