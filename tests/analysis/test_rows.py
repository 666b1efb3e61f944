"""Rows as frames, and the file that is written of them."""

import csv
import io
import random

import numpy as np
import pytest

from analysis.rows import frame, groups, records, reported_guidance, select, to_csv, values

LEADING = ("study", "scale", "trigger", "p_t")


def csv_of(rows):
    return to_csv(frame(rows), LEADING)


def test_values_are_selected_alone_together_and_where_missing(sweep):
    rows = frame(sweep)
    assert len(select(rows, trigger="none")) == 3
    assert len(select(rows, poison_ratio=(0.01, 0.1), guidance_weight=5)) == 3
    assert len(select(rows, poison_ratio=0.1 + 1e-15, trigger="badnets1")) == 3
    assert len(select(rows, amplification=None)) == 6
    assert len(select(rows, no_such_column=None)) == len(sweep)
    assert select(rows, no_such_column=1).empty


def test_groups_come_in_display_order_with_their_values(sweep):
    found = groups(frame(sweep[::-1]), "trigger", "poison_ratio")
    assert [tuple(at.values()) for at, _ in found] == [
        ("none", 0),
        *(("badnets1", ratio) for ratio in (0.01, 0.02, 0.05, 0.1)),
        ("relabel_only", 0.1),
    ]
    assert {len(own) for _, own in found} == {3}
    assert groups(frame([]), "trigger") == []
    assert len(groups(frame(sweep))) == 1


def test_a_frame_keeps_what_rows_hold(sweep):
    rows = frame(sweep)
    assert list(records(rows)) == sorted(sweep, key=_order)
    assert values(rows, "trigger") == ["none", "badnets1", "relabel_only"]
    assert type(records(rows)[0]["n"]) is int


@pytest.mark.parametrize(("weights", "expected"), [((1, 2, 5), 5), ((1, 2), 2), ((6, 9), 9)])
def test_headlines_are_at_the_papers_guidance_or_the_highest(row, weights, expected):
    rows = [row("badnets1", 0.1, float(weight)) for weight in weights]
    assert reported_guidance(frame([*rows, row("none", 0.0, 20.0)])) == expected


def test_equal_rows_give_equal_bytes_in_any_order_and_columns_come_by_name(sweep):
    shuffled = random.Random(0).sample(sweep, len(sweep))
    assert csv_of(shuffled) == csv_of(sweep)
    assert "\r" not in csv_of(sweep)
    header = csv_of(sweep).partition("\n")[0].split(",")
    assert header == [*LEADING, *sorted(set(sweep[0]) - set(LEADING))]


def test_missing_values_are_empty_and_floats_are_exact(sweep):
    lines = list(csv.DictReader(io.StringIO(csv_of(sweep))))
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
    assert csv_of([strange]) == csv_of([plain])
    assert ",true," in csv_of([plain])


def test_an_array_in_a_row_is_refused(row):
    with pytest.raises(ValueError, match=r"'g1' .* ndarray"):
        csv_of([row(g1=np.zeros(3))])
