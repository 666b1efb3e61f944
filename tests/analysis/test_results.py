import csv
import io
import random

import numpy as np
import pytest

from analysis.results import LEADING_COLUMNS, summary, table, to_csv, write_csv


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
