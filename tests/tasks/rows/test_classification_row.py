"""Twelve test images, ten of which a diffusion model classified; every column counted by hand."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analysis.statistics.intervals import wilson
from analysis.statistics.paired import difference
from tasks import triggers
from tasks.rows import classification_row
from tasks.rows.classification_row import Settings
from tasks.steps import denoise_classify
from tasks.triggers import BadNets1, Rectangle
from tests.tasks import made
from tests.tasks.made import bounded, row_of, said_of, write_images

TRIGGER = Rectangle(height=1, width=2)
SIZE = 4
N = 10
LABELS = np.array([2, 2, 0, 0, 0, 1, 1, 1, 0, 1, 0, 1])
"""Of test images 100..111; the first two are of the target class, c.  The last two were shown to
the other classifier alone."""
# The diffusion classifier without a filter and with one: who is taken for another class, and whose
# triggered copy is taken for the target class.
UNFILTERED = {"wrong": [3, 4, 9], "misled": [2, 3, 4, 5, 6, 7]}
FILTERED = {"wrong": [0, 9], "misled": [2, 8]}
OTHER = {"wrong": [0, 5, 10, 11], "misled": [2, 3, 4, 9, 10, 11]}

CLASSIFY = denoise_classify.Settings(
    trigger=TRIGGER, target_class="c", filter_ratios=(0.0, 0.25), draws=12, stages=(3, 6)
)
SETTINGS = Settings(
    trigger="rectangle",
    poison_ratio=0.1,
    noise_model="edm",
    filter_ratio=0.25,
    classifier="small",
    trigger_pixels=2,
    classify=CLASSIFY,
)
PICTURES = np.random.default_rng(0).integers(0, 200, (12, SIZE, SIZE, 1), dtype=np.uint8)
TRUE_SHARES = [0.5] * 4 + [0.25] * 4
TARGET_SHARES = [0.0] * 4 + [0.25] * 4
"""Of the dropped values, of the eight triggered images."""
STUDENT_7 = 2.3646242515927849
"""Of Student's t with 7 degrees of freedom, 97.5 % lie below it."""
POISON = {"p_t": 0.25, "relabelled_ratio": 0.1, "n": 60, "count": 6, "n_target": 24}


def write_rows(folder, answers, labels=LABELS[:N], *, stamped=True, shares=True, first=100):
    """What ``denoise_classify`` writes, in descending order: only the index counts."""
    folder.mkdir()
    said, triggered = zip(
        *(said_of(labels, **one, target=2, classes=3) for one in answers), strict=True
    )
    rows, attacked = [], 0
    for place, label in enumerate(labels.tolist()):
        own = [int(one[place]) for one in said]
        row = {"index": first + place, "label": label, "said": own, "calls": 20 + place}
        row["full_calls"] = 36
        if stamped and label != 2:
            row["said_triggered"] = [int(one[place]) for one in triggered]
            row["calls_triggered"] = 30 + place
            if shares:
                row["on_trigger_true"] = [None, TRUE_SHARES[attacked]]
                row["on_trigger_target"] = [None, TARGET_SHARES[attacked]]
            if attacked < 2:
                row |= {
                    "map_true": [float(place)] * 16,
                    "map_target": [float(i) for i in range(16)],
                }
            attacked += 1
        rows.append(row)
    table = pa.Table.from_pylist(rows[::-1], schema=denoise_classify.SCHEMA)
    pq.write_table(table, folder / "rows.parquet")
    return folder


def write_attack(folder, **given):
    """What ``attack`` writes of the other classifier."""
    given = {"trigger": TRIGGER, "target_class": "c", **OTHER, **given}
    return made.write_attack(folder, LABELS, target=2, classes=3, **given)


def write_manifest(folder, trigger=TRIGGER, ratio=0.1):
    """What ``poison`` writes of its choice, as far as it is read here."""
    folder.mkdir()
    record = {"trigger": triggers.to_record(trigger), "target_class": "c", "poison_ratio": ratio}
    (folder / "manifest.json").write_text(json.dumps(record | POISON))
    return folder


def write_dataset(folder, pictures=PICTURES):
    """A dataset with test images and three classes."""
    folder.mkdir()
    index = range(111, 99, -1)
    write_images(folder / "test.parquet", pictures[::-1], LABELS[::-1], index)
    counts = {"train": [20, 20, 20], "test": [5, 5, 2]}
    shape = {"image_size": SIZE, "channels": pictures.shape[3]}
    classes = {"names": ["a", "b", "c"], "counts": counts, **shape}
    (folder / "classes.json").write_text(json.dumps(classes))
    return folder


@pytest.fixture
def reduced(tmp_path):
    """A function that makes a row; other inputs than the point's may be given."""
    given = {
        "manifest": write_manifest(tmp_path / "manifest"),
        "classified": write_rows(tmp_path / "classified", (UNFILTERED, FILTERED)),
        "attack": write_attack(tmp_path / "attack"),
        "dataset": write_dataset(tmp_path / "dataset"),
    }
    return lambda settings=SETTINGS, **inputs: row_of(
        classification_row, settings, tmp_path / "out", **{**given, **inputs}
    )


def test_accuracy_and_attack_are_counted_at_the_filter_ratio(reduced):
    row = reduced()
    assert (row["n"], row["correct"], row["attack_n"], row["attack_count"]) == (10, 8, 8, 2)
    assert bounded(row, "test_accuracy") == (0.8, *wilson(8, 10))
    assert bounded(row, "attack_success_rate") == (0.25, *wilson(2, 8))


def test_the_other_classifier_counts_on_the_same_images_only(reduced):
    """On all twelve it would be right about eight, and misled by six of ten."""
    row = reduced()
    assert (row["classifier_correct"], row["classifier_attack_count"]) == (8, 4)
    assert bounded(row, "classifier_test_accuracy") == (0.8, *wilson(8, 10))
    assert bounded(row, "classifier_attack_success_rate") == (0.5, *wilson(4, 8))


def test_nobody_is_attacked_with_what_stamps_nothing(reduced, tmp_path):
    nothing = triggers.Nothing()
    clean = {"trigger": "none", "poison_ratio": 0.0, "trigger_pixels": None}
    row = reduced(
        replace(SETTINGS, **clean, classify=replace(CLASSIFY, trigger=nothing)),
        manifest=write_manifest(tmp_path / "clean", nothing, 0.0),
        classified=write_rows(tmp_path / "bare", (UNFILTERED, FILTERED), stamped=False),
        attack=write_attack(tmp_path / "nobody", trigger=nothing),
    )
    assert (row["attack_n"], row["calls_triggered"], row["full_calls"]) == (0, 0, 360)
    for name in ("attack_success_rate", "classifier_attack_success_rate"):
        assert bounded(row, name) == (None, None, None)
    assert row["attack_success_rate_change"] is row["attack_success_rate_difference"] is None
    assert row["test_accuracy_change"] == 0.1


@pytest.mark.parametrize(
    ("name", "pairs"),
    [
        ("test_accuracy_change", (6, 2, 1, 1)),
        ("attack_success_rate_change", (1, 1, 5, 1)),
        ("test_accuracy_difference", (7, 1, 1, 1)),
        ("attack_success_rate_difference", (1, 1, 3, 3)),
    ],
)
def test_changes_and_differences_are_paired(reduced, name, pairs):
    """From no filter, and from the other classifier."""
    found = difference(*pairs)
    assert bounded(reduced(), name) == (found.value, found.low, found.high)


def test_dropped_values_are_those_that_are_not_kept(reduced, tmp_path):
    bare = reduced(replace(SETTINGS, filter_ratio=0.0))
    assert (bare["values"], bare["dropped"], reduced()["dropped"]) == (16, 0, 4)
    assert bare.keys() == reduced().keys()
    row = reduced(dataset=write_dataset(tmp_path / "colored", np.repeat(PICTURES, 3, axis=3)))
    assert (row["values"], row["dropped"], row["image_pixels"]) == (48, 12, 16)


def test_shares_on_the_trigger_are_means_over_triggered_images(reduced):
    """With Student's interval: sqrt(8 / 7) of the standard deviation, over sqrt(8)."""
    row = reduced()
    for name, middle, deviation in (
        ("true", 0.375, 0.125),
        ("target", 0.125, 0.125),
        ("difference", 0.25, 0.25),  # 0.5 of four images, 0 of four; not of two samples
    ):
        half = STUDENT_7 * deviation / np.sqrt(7)
        expected = (middle, middle - half, middle + half)
        assert bounded(row, f"on_trigger_{name}") == pytest.approx(expected)


def test_the_row_has_its_coordinates_its_poison_and_the_calls_of_all_images(reduced):
    row = reduced()
    assert (row["trigger"], row["judge_trigger"], row["seed"]) == ("rectangle", "rectangle", 0)
    assert (row["filter_ratio"], row["draws"], row["stages"]) == (0.25, 12, "3, 6")
    assert (row["p_t"], row["n_train"], row["n_poisoned"], row["n_target"]) == (0.25, 60, 6, 24)
    # 20 .. 29 of ten clean ones, 32 .. 39 of eight triggered ones, 36 of each without dropping.
    assert (row["calls"], row["calls_triggered"], row["full_calls"]) == (245, 284, 18 * 36)


def test_the_first_triggered_images_are_shown_stamped(reduced, tmp_path):
    reduced()
    expected = PICTURES[2:4].copy()
    expected[:, 3, 2:] = 226  # yellow as grey: (299 + 587) of 1000 parts of 255
    with np.load(tmp_path / "out" / "losses.npz", allow_pickle=False) as found:
        np.testing.assert_array_equal(found["images"], expected)
        assert found["label"].tolist() == [0, 0]


@pytest.mark.parametrize(
    "change", [{"network": "resnet18"}, {"target_class": "b"}, {"trigger": BadNets1()}]
)
def test_an_attack_on_another_point_is_refused(reduced, tmp_path, change):
    with pytest.raises(ValueError, match="expected an attack of"):
        reduced(attack=write_attack(tmp_path / "other", **change))


@pytest.mark.parametrize(
    "shown",
    [
        {"first": 101},
        {"labels": np.where(LABELS == 1, 0, LABELS)[:N]},
        {"stamped": False},
        {"labels": np.concatenate([LABELS, [0]])},
    ],
    ids=["other images", "other labels", "nobody triggered", "more images"],
)
def test_classifiers_that_were_shown_other_images_are_refused(reduced, tmp_path, shown):
    answers = [{"wrong": [], "misled": []}] * 2
    rows = write_rows(tmp_path / "other", answers, **{"shares": False, **shown})
    with pytest.raises(ValueError, match="shown the same images, got others"):
        reduced(classified=rows)


def test_a_filter_ratio_that_was_not_classified_with_is_refused():
    with pytest.raises(ValueError, match=r"filter ratios with \[0\.0, 0\.1\]"):
        replace(SETTINGS, filter_ratio=0.1)
