import csv
import io
import random
from dataclasses import replace

import numpy as np
import pytest

from analysis.page.groups_table import LEADING_COLUMNS
from orchestrator.studies.claims import judge
from orchestrator.studies.contents import write
from orchestrator.studies.results import summary, table, to_csv, write_csv
from tests import made_up
from tests.elements import text_of


def test_equal_rows_give_equal_bytes_in_any_order(sweep, tmp_path):
    shuffled = random.Random(0).sample(sweep, len(sweep))
    assert to_csv(shuffled) == to_csv(sweep)
    written = write_csv(tmp_path / "results.csv", sweep).read_bytes()
    assert written == to_csv(sweep).encode()
    assert b"\r" not in written


def test_columns_start_as_designed_and_go_on_by_name(sweep):
    header = next(csv.reader(io.StringIO(to_csv(sweep))))
    assert tuple(header[: len(LEADING_COLUMNS)]) == LEADING_COLUMNS
    others = header[len(LEADING_COLUMNS) :]
    assert others == sorted(others)
    assert set(header) == set(sweep[0])


def test_missing_values_are_empty_and_floats_are_exact(sweep):
    lines = list(csv.DictReader(io.StringIO(to_csv(sweep))))
    clean = next(line for line in lines if line["trigger"] == "none")
    assert clean["amplification"] == ""
    for line, row in zip(lines, sorted(sweep, key=_order), strict=True):
        assert float(line["g1_low"]) == row["g1_low"]
        assert int(line["n"]) == row["n"]


def _order(row):
    return row["trigger"], row["poison_ratio"], row["guidance_weight"]


def test_numpy_numbers_are_written_as_pythons_own(row):
    plain = row(seed=3, note=True)
    strange = {**plain, "g1": np.float64(plain["g1"]), "n": np.int64(plain["n"]), "note": np.True_}
    assert to_csv([strange]) == to_csv([plain])
    assert ",true," in to_csv([plain])


def test_an_array_in_a_row_is_refused(row):
    with pytest.raises(ValueError, match=r"'g1' .* ndarray"):
        to_csv([row(g1=np.zeros(3))])


def test_a_class_name_with_commas_and_quotes_survives(row):
    name = 'truck, "garbage"\n'
    (line,) = csv.DictReader(io.StringIO(to_csv([row(target_class=name)])))
    assert line["target_class"] == name


def test_table_is_as_wide_as_its_headers(sweep):
    headers, body = table(sweep)
    assert {len(line) for line in body} == {len(headers)}
    assert body[0][:4] == ["BadNets-1", "1%", "1 (0)", "0"]


def test_the_terminals_table_has_a_sampler_only_where_there_are_several(sweep, composition_sweep):
    assert "sampler" not in table(sweep)[0]
    headers, body = table(composition_sweep)
    assert headers[:3] == ["trigger", "sampler", "p"]
    assert {line[1] for line in body} == {"DDIM", "DDPM", "SDE"}
    assert {len(line) for line in body} == {len(headers)}


def test_the_terminals_table_has_the_template_match_where_it_looked(sweep, composition_sweep):
    assert "template_match (agreement)" not in table(sweep)[0]
    headers, body = table(composition_sweep)
    assert headers[-1] == "template_match (agreement)"
    seen = {(line[0], line[1], line[2]): line[-1] for line in body}
    # 230 + 140 by the judge, 7 fewer by the template match, of 500.
    assert seen["BadNets-1", "DDIM", "10%"] == "72.6% (98.6%)"
    assert seen["BadNets-2", "DDIM", "10%"] == ""


def test_the_sentence_on_samplers_says_for_which_triggers(composition_sweep):
    assert summary(composition_sweep) == (
        "Asked for class “8” at p = 10% and guidance 5, the poisoned models draw the BadNets-1 "
        "trigger in 59 to 76%, the BadNets-2 trigger in 56 to 60% and the one color trigger in 57 "
        "to 66% of their images under DDIM, DDPM and SDE against p_t = 50.7% in training, with the "
        "whole interval above it in 9 of 9 cells; the template match, which is not trained and "
        "wants the "
        "patch's own pixels, sees it in 58 to 75% for BadNets-1 and 56 to 65% for one color, and "
        "agrees with the judge on 99% of the images; SDE sampling draws, against DDPM, fewer "
        "mismatching trigger images (G1) for BadNets-1 (37.0% against 52.0%), more of them (G1) "
        "for one color (48.0% against 38.0%) and not clearly fewer or more (G1) for BadNets-2 "
        "(33.6% against 36.0%); of 27 verdicts 23 supported, 1 failed and 3 undecided."
    )


def test_the_sentence_on_samplers_says_nothing_of_what_was_not_measured(composition_sweep):
    shown = [
        row for row in composition_sweep if row["sampler"] == "ddim" and row["poison_ratio"] < 0.1
    ]
    found = summary(shown)
    assert "at p = 1% and guidance 5" in found
    assert "SDE" not in found
    assert "not tested" in found
    clean = [row for row in composition_sweep if row["trigger"] == "none"]
    assert summary(clean) == "No poisoned point has been measured yet."


def test_summary_says_what_holds_and_what_does_not(sweep):
    assert summary(sweep) == (
        "Asked for class “8” at guidance 5, the poisoned models draw the BadNets-1 trigger 7.8 "
        "times at 1%, 4 times at 2%, 1.9 times at 5% and 0.93 times at 10% of poison as often as "
        "it occurs among the training images of that label, with the whole interval above the "
        "training ratio at 1%, 2% and 5% but not at 10%; at 1% most of these images match the "
        "prompt (G2), at 10% neither mismatches (G1) nor matches (G2) lead among them; of 10 "
        "claims 6 supported, 2 failed and 2 undecided."
    )


def test_summary_does_not_claim_what_was_not_found(row):
    found = summary([row("badnets1", 0.1, 2.0, (10, 10, 0, 480))])
    assert "no interval wholly above the training ratio" in found
    assert "at guidance 2" in found


def test_summary_of_nothing_says_so(row):
    assert summary([]) == summary([row("none", 0.0)]) == "No poisoned point has been measured yet."


def test_a_study_that_is_not_listed_has_its_table_and_figures_but_nobody_elses_claims(tmp_path):
    report = made_up.amplification_report()
    own = [{**row, "study": "relabelling"} for row in report.rows]
    assert judge(report.rows)
    assert not judge(own)
    assert "claims" in summary(report.rows)
    assert "claims" not in summary(own)
    assert summary(own).startswith(summary(report.rows).split("; of ")[0])
    assert table(own) == table(report.rows)
    write(tmp_path, replace(report, study="relabelling", rows=own, groups={}))
    page = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert 'id="claims"' not in page
    assert "supported" not in text_of(page)
    assert (tmp_path / "figures/badnets1-ddim-composition-w5.svg").exists()
