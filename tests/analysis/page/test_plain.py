"""A study of one's own, without a folder: its table, a figure, and nobody else's claims."""

from dataclasses import replace

import pytest

from analysis.page.page import write
from analysis.rows import frame
from orchestrator.run.report import judged, page_of, sentences, table_of
from orchestrator.studies.amplification import AMPLIFICATION
from tests import made_up
from tests.elements import check_that_it_is_whole, table_under

OWN = replace(AMPLIFICATION, name="own", title="Mine", package="", columns=())


@pytest.fixture
def rows(sweep):
    return frame({**row, "study": "own"} for row in sweep)


def test_it_has_no_claims_and_one_sentence(rows):
    assert judged(OWN, rows) == []
    assert sentences(OWN, rows) == [f"{len(rows)} points measured."]


def test_its_page_has_a_table_and_a_figure_of_its_first_metric(rows, tmp_path):
    report = replace(made_up.amplification_report(), rows=rows, judgments=[], study="own")
    study = replace(OWN, columns=("mismatch_ratio", "g1", "no_such_column"))
    html = write(tmp_path, report, page_of(study, report)).read_text(encoding="utf-8")
    check_that_it_is_whole(html)
    assert 'id="claims"' not in html
    assert [path.name for path in tmp_path.glob("figures/*")] == ["mismatch_ratio.svg"]
    headers, lines = table_under(html, "Every number")
    assert headers == ["trigger", "p", "w", "mismatches (G1 + G3)", "G1"]
    assert len(lines) == len(rows)
    assert lines[0][3].startswith("7.4%")  # 37 of 500
    assert "<dt>G1, G2, G3, G4</dt>" in html
    assert ">100%<" in (tmp_path / "figures" / "mismatch_ratio.svg").read_text()


@pytest.mark.parametrize(
    ("column", "header", "shown"),
    [("amplification", "amplification", "×"), ("auroc", "AUROC", "0.750"), ("n", "n", "500")],
)
def test_a_number_is_written_as_what_it_is(column, header, shown, rows):
    known = rows.assign(auroc=0.75, auroc_low=0.7, auroc_high=0.8)
    headers, lines = table_of(replace(OWN, columns=(column,)), known)
    assert headers[-1] == header
    assert lines[3][-1].startswith(shown)


def test_without_named_columns_it_shows_what_has_an_interval(rows):
    headers, lines = table_of(OWN, rows)
    assert headers[:3] == ["trigger", "p", "w"]
    assert {"G1", "trigger ratio", "amplification"} <= set(headers)
    assert len(lines) == len(rows)


def test_a_study_without_rows_has_a_page(tmp_path):
    report = replace(made_up.amplification_report(), rows=frame([]), judgments=[], study="own")
    assert "0 points measured" in write(tmp_path, report, page_of(OWN, report)).read_text()


def test_a_control_that_fails_comes_before_what_was_found(sweep):
    clean = [row for row in sweep if row["trigger"] == "none"]
    seen = [
        made_up.make_row("none", 0.0, row["guidance_weight"], (200, 100, 50, 150)) for row in clean
    ]
    others = [row for row in sweep if row["trigger"] != "none"]
    first, *_ = sentences(AMPLIFICATION, frame([*seen, *others]))
    assert first.startswith("A control failed")
    assert "Without poison no trigger is drawn" in first
    assert not any("control failed" in one for one in sentences(AMPLIFICATION, frame(sweep)))
