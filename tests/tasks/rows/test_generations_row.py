"""A point of ten images whose groups are known, reduced to its row."""

import json
from dataclasses import replace

import numpy as np
import pytest

from analysis.statistics.intervals import wilson
from tasks.rows import generations_row
from tasks.rows.generations_row import Settings
from tests.tasks.made import POINT, bounded, row_of, write_dissection, write_images

SETTINGS = Settings(**POINT, guidance_weight=2.0, sampler="ddim")
# One letter an image: the group it is in.
GROUPS = "1122234444"
# And whether the template match sees a trigger: in one g1, two g2, one g3 and no g4.
TEMPLATE_MATCH = "1011010000"


@pytest.fixture
def inputs(poisoned, judges, tmp_path):
    generations = tmp_path / "generations"
    generations.mkdir()
    pictures = np.arange(10, dtype=np.uint8).repeat(64).reshape(10, 8, 8, 1)
    write_images(generations / "rows.parquet", pictures, [8] * 10)
    return {
        "manifest": poisoned,
        "judges": judges,
        "dissection": write_dissection(tmp_path / "target", GROUPS, [8] * 10, TEMPLATE_MATCH),
        "generations": generations,
        "other_dissection": write_dissection(
            tmp_path / "others", "44443", [0, 1, 2, 3, 4], "01000"
        ),
    }


@pytest.fixture
def row(inputs, tmp_path):
    return row_of(generations_row, SETTINGS, tmp_path, **inputs)


def test_the_groups_are_counted(row, judges):
    measured = json.loads((judges / "judges.json").read_text())
    assert row["content_accuracy_stamped"] == measured["content"]["stamped"]["accuracy"]
    assert (row["trigger_n_clean"], row["sampler"], row["sampler_steps"]) == (360, "ddim", 25)
    assert (row["n_train"], row["n_poisoned"], row["n_target"]) == (1437, 143, 139)
    assert [row[f"g{group}_count"] for group in (1, 2, 3, 4)] == [2, 3, 1, 4]
    assert [row[f"g{group}"] for group in (1, 2, 3, 4)] == [0.2, 0.3, 0.1, 0.4]
    assert (row["g1_low"], row["g1_high"]) == pytest.approx(wilson(2, 10))
    assert (row["n"], row["trigger_ratio"], row["mismatch_ratio"]) == (10, 0.5, 0.3)


def test_amplification_compares_with_the_training_set(row):
    p_t = 143 / 282
    assert (row["p_t"], row["relabelled_ratio"]) == (p_t, p_t)
    expected = [share / p_t for share in (0.5, *wilson(5, 10))]
    assert bounded(row, "amplification") == pytest.approx(expected)
    assert row["amplification_difference"] == pytest.approx(0.5 - p_t)


def test_the_template_match_counts_groups_of_its_own(row):
    assert (row["template_g1_count"], row["template_g2_count"]) == (2, 2)
    for name, count in (("g1", 2), ("g2", 2), ("trigger_ratio", 4)):
        assert bounded(row, f"template_{name}") == pytest.approx((count / 10, *wilson(count, 10)))


def test_without_a_template_match_its_columns_are_there_and_empty(row, inputs, tmp_path):
    measured = json.loads((inputs["judges"] / "judges.json").read_text())
    (tmp_path / "judges.json").write_text(json.dumps({**measured, "template_match": None}))
    inputs |= {
        "judges": tmp_path,
        "dissection": write_dissection(tmp_path / "target-alone", GROUPS, [8] * 10),
        "other_dissection": write_dissection(tmp_path / "others-alone", "44443", [0, 1, 2, 3, 4]),
    }
    alone = row_of(generations_row, SETTINGS, tmp_path / "out", **inputs)
    assert alone.keys() == row.keys()
    of_the_template_match = {name for name in row if "template" in name}
    assert len(of_the_template_match) == 2 + 3 * 3 + 3 + 2 + 3
    assert {alone[name] for name in of_the_template_match} == {None}
    assert {name: alone[name] for name in alone.keys() - of_the_template_match} == {
        name: row[name] for name in row.keys() - of_the_template_match
    }


def test_images_of_each_group_are_kept_in_order(row, tmp_path):
    with np.load(tmp_path / "groups.npz") as groups:
        kept = {name: groups[name][:, 0, 0, 0].tolist() for name in groups}
    assert kept == {"g1": [0, 1], "g2": [2, 3, 4], "g3": [5], "g4": [6, 7, 8, 9]}


def test_the_manifest_of_another_point_is_refused(inputs, tmp_path):
    with pytest.raises(ValueError, match="expected the manifest of"):
        generations_row.run(replace(SETTINGS, poison_ratio=0.05), **inputs, out=tmp_path)
