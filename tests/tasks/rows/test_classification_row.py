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
from tasks.data import images
from tasks.rows import classification_row
from tasks.rows.classification_row import Settings
from tasks.steps import denoise_classify
from tasks.triggers import BadNets1, Rectangle
from tests.tasks import made
from tests.tasks.made import bounded, row_of, said_of

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
    trigger=TRIGGER,
    target_class="c",
    filter_ratios=(0.0, 0.25),
    draws=12,
    stages=(3, 6),
    test_images=N,
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
BARE = replace(SETTINGS, filter_ratio=0.0)
PICTURES = np.random.default_rng(0).integers(0, 200, (12, SIZE, SIZE, 1), dtype=np.uint8)
TRUE_SHARES = [0.5] * 4 + [0.25] * 4
TARGET_SHARES = [0.0] * 4 + [0.25] * 4
"""Of the dropped values, of the eight triggered images."""
STUDENT_7 = 2.3646242515927849
"""Of Student's t with 7 degrees of freedom, 97.5 % lie below it."""


def write_rows(folder, answers, labels=LABELS[:N], *, stamped=True, shares=True, maps=2, first=100):
    """What ``denoise_classify`` writes, in descending order: only the index counts."""
    folder.mkdir()
    said, triggered = zip(
        *(said_of(labels, **one, target=2, classes=3) for one in answers), strict=True
    )
    rows, attacked = [], 0
    for place, label in enumerate(labels.tolist()):
        row = {
            "index": first + place,
            "label": label,
            "said": [int(one[place]) for one in said],
            "calls": 20 + place,
            "full_calls": 36,
        }
        if stamped and label != 2:
            row["said_triggered"] = [int(one[place]) for one in triggered]
            row["calls_triggered"] = 30 + place
            if shares:
                row["on_trigger_true"] = [None, TRUE_SHARES[attacked]]
                row["on_trigger_target"] = [None, TARGET_SHARES[attacked]]
            if attacked < maps:
                row["map_true"] = [float(place)] * 16
                row["map_target"] = [float(i) for i in range(16)]
            attacked += 1
        rows.append(row)
    table = pa.Table.from_pylist(rows[::-1], schema=denoise_classify.SCHEMA)
    pq.write_table(table, folder / "rows.parquet")
    return folder


def write_attack(folder, *, labels=LABELS, **given):
    """What ``attack`` writes of the other classifier."""
    given = {"trigger": TRIGGER, "target_class": "c", **given}
    return made.write_attack(folder, labels, target=2, classes=3, **given)


def write_manifest(folder, trigger=TRIGGER, ratio=0.1):
    """What ``poison`` writes of its choice, as far as it is read here."""
    folder.mkdir()
    record = {
        "trigger": triggers.to_record(trigger),
        "target_class": "c",
        "poison_ratio": ratio,
        "p_t": 0.25,
        "relabelled_ratio": 0.1,
        "n": 60,
        "count": 6,
        "n_target": 24,
    }
    (folder / "manifest.json").write_text(json.dumps(record))
    return folder


def write_dataset(folder, labels=LABELS, pictures=PICTURES):
    """A dataset with test images and three classes."""
    folder.mkdir()
    index = np.arange(100, 100 + len(labels))
    table = images.to_table(
        index=index, label=labels, caption=[None] * len(labels), images=pictures
    )
    pq.write_table(table.take(index[::-1] - 100), folder / "test.parquet")
    record = {
        "names": ["a", "b", "c"],
        "image_size": SIZE,
        "channels": pictures.shape[3],
        "counts": {"train": [20, 20, 20], "test": [5, 5, 2]},
    }
    (folder / "classes.json").write_text(json.dumps(record))
    return folder


@pytest.fixture
def given(tmp_path):
    """The inputs of the point."""
    return {
        "manifest": write_manifest(tmp_path / "manifest"),
        "classified": write_rows(tmp_path / "classified", (UNFILTERED, FILTERED)),
        "attack": write_attack(tmp_path / "attack", **OTHER),
        "dataset": write_dataset(tmp_path / "dataset"),
    }


@pytest.fixture
def reduced(given, tmp_path):
    """A function that makes a row; other inputs than the point's may be given."""

    def run(settings=SETTINGS, **inputs):
        return row_of(classification_row, settings, tmp_path / "out", **{**given, **inputs})

    return run


def of(pairs):
    found = difference(*pairs)
    return (found.value, found.low, found.high)


class TestRates:
    def test_accuracy_and_attack_are_counted_at_the_filter_ratio(self, reduced):
        row = reduced()
        assert (row["n"], row["correct"]) == (10, 8)
        assert bounded(row, "test_accuracy") == (0.8, *wilson(8, 10))
        assert (row["attack_n"], row["attack_count"]) == (8, 2)
        assert bounded(row, "attack_success_rate") == (0.25, *wilson(2, 8))

    def test_the_other_classifier_counts_on_the_same_images_only(self, reduced):
        """On all twelve it would be right about eight, and misled by six of ten."""
        row = reduced()
        assert row["classifier_correct"] == 8
        assert bounded(row, "classifier_test_accuracy") == (0.8, *wilson(8, 10))
        assert row["classifier_attack_count"] == 4
        assert bounded(row, "classifier_attack_success_rate") == (0.5, *wilson(4, 8))

    @pytest.mark.parametrize("further", [0, 7])
    def test_who_always_says_the_target_is_attacked_with_full_success(
        self, reduced, tmp_path, further
    ):
        """However many images of the target class there are beside."""
        labels = np.concatenate([LABELS[:N], np.full(further, 2)])
        always = {"wrong": [], "misled": [*range(len(labels))]}
        rows = write_rows(tmp_path / "always", (always, always), labels)
        attack = write_attack(tmp_path / "attack-always", **always, labels=labels)
        pictures = np.zeros((len(labels), SIZE, SIZE, 1), dtype=np.uint8)
        dataset = write_dataset(tmp_path / "larger", labels, pictures)
        row = reduced(classified=rows, attack=attack, dataset=dataset)
        assert (row["n"], row["attack_n"]) == (10 + further, 8)
        assert row["attack_success_rate"] == row["classifier_attack_success_rate"] == 1
        assert row["attack_success_rate_low"] == wilson(8, 8)[0]

    def test_nobody_is_attacked_with_what_stamps_nothing(self, reduced, tmp_path):
        nothing = triggers.Nothing()
        settings = replace(
            SETTINGS,
            trigger="none",
            poison_ratio=0.0,
            trigger_pixels=None,
            classify=replace(CLASSIFY, trigger=nothing),
        )
        row = reduced(
            settings,
            manifest=write_manifest(tmp_path / "clean", nothing, 0.0),
            classified=write_rows(tmp_path / "bare", (UNFILTERED, FILTERED), stamped=False),
            attack=write_attack(tmp_path / "nobody", **OTHER, trigger=nothing),
        )
        assert (row["attack_n"], row["calls_triggered"], row["full_calls"]) == (0, 0, 360)
        for name in ("attack_success_rate", "classifier_attack_success_rate"):
            assert bounded(row, name) == (None, None, None)
        assert row["attack_success_rate_change"] is row["attack_success_rate_difference"] is None
        assert row["test_accuracy_change"] == 0.1


class TestPairs:
    def test_the_change_from_no_filter_is_paired(self, reduced):
        row = reduced()
        right = (6, 2, 1, 1)
        misled = (1, 1, 5, 1)
        assert bounded(row, "test_accuracy_change") == of(right)
        assert bounded(row, "attack_success_rate_change") == of(misled)
        assert row["attack_success_rate_change"] == -0.5

    def test_the_difference_from_the_other_classifier_is_paired(self, reduced):
        row = reduced()
        right = (7, 1, 1, 1)
        misled = (1, 1, 3, 3)
        assert bounded(row, "test_accuracy_difference") == of(right)
        assert bounded(row, "attack_success_rate_difference") == of(misled)
        assert row["attack_success_rate_difference"] == -0.25


class TestFilter:
    def test_dropped_values_are_those_that_are_not_kept(self, reduced, tmp_path):
        assert [reduced(one)["dropped"] for one in (BARE, SETTINGS)] == [0, 4]
        assert reduced()["values"] == 16
        colored = write_dataset(tmp_path / "colored", LABELS, np.repeat(PICTURES, 3, axis=3))
        row = reduced(dataset=colored)
        assert (row["values"], row["dropped"], row["image_pixels"]) == (48, 12, 16)

    def test_shares_on_the_trigger_are_means_over_triggered_images(self, reduced):
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

    def test_calls_are_sums_over_images(self, reduced):
        row = reduced()
        # 20 .. 29 of ten clean ones, 32 .. 39 of eight triggered ones, 36 of each without dropping.
        assert (row["calls"], row["calls_triggered"], row["full_calls"]) == (245, 284, 18 * 36)


class TestRow:
    def test_carries_its_coordinates_and_its_poison(self, reduced):
        expected = {
            "trigger": "rectangle",
            "judge_trigger": "rectangle",
            "trigger_pixels": 2,
            "image_pixels": 16,
            "poison_ratio": 0.1,
            "target_class": "c",
            "seed": 0,
            "noise_model": "edm",
            "filter_ratio": 0.25,
            "classifier": "small",
            "draws": 12,
            "stages": "3, 6",
            "reduction": "mean",
            "p_t": 0.25,
            "relabelled_ratio": 0.1,
            "n_train": 60,
            "n_poisoned": 6,
            "n_target": 24,
        }
        row = reduced()
        assert {name: row[name] for name in expected} == expected
        assert reduced(BARE).keys() == row.keys()


class TestLosses:
    def test_the_first_triggered_images_are_shown_stamped(self, reduced, tmp_path):
        reduced()
        with np.load(tmp_path / "out" / "losses.npz", allow_pickle=False) as found:
            expected = PICTURES[2:4].copy()
            expected[:, 3, 2:] = 226  # yellow as grey: (299 + 587) of 1000 parts of 255
            np.testing.assert_array_equal(found["images"], expected)
            assert found["images"].dtype == np.uint8
            assert found["label"].tolist() == [0, 0]


class TestRefused:
    @pytest.mark.parametrize(
        "change", [{"poison_ratio": 0.05}, {"classify": replace(CLASSIFY, target_class="b")}]
    )
    def test_the_manifest_of_another_point(self, reduced, change):
        with pytest.raises(ValueError, match="expected the manifest of"):
            reduced(replace(SETTINGS, **change))

    @pytest.mark.parametrize(
        "change", [{"network": "resnet18"}, {"target_class": "b"}, {"trigger": BadNets1()}]
    )
    def test_an_attack_on_another_point(self, reduced, tmp_path, change):
        other = write_attack(tmp_path / "other", **OTHER, **change)
        with pytest.raises(ValueError, match="expected an attack of"):
            reduced(attack=other)

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
    def test_classifiers_that_were_shown_other_images(self, reduced, tmp_path, shown):
        answers = [{"wrong": [], "misled": []}] * 2
        rows = write_rows(tmp_path / "other", answers, **{"shares": False, **shown})
        with pytest.raises(ValueError, match="shown the same images, got others"):
            reduced(classified=rows)

    def test_a_filter_ratio_that_was_not_classified_with(self):
        with pytest.raises(ValueError, match=r"filter ratios with \[0\.0, 0\.1\]"):
            replace(SETTINGS, filter_ratio=0.1)
