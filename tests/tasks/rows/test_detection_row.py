"""Rows of study ``detection`` from a real training set and sixty generations that are made up."""

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

from analysis.statistics.auroc import auroc, tpr_at
from tasks import triggers
from tasks.data import images
from tasks.rows import detection_row
from tasks.rows.detection_row import Settings
from tasks.steps.detect import SCHEMA
from tasks.steps.judge_accuracy import measure_trigger
from tasks.steps.poison import Manifest
from tests.tasks.made import (
    NOT_DRAWN,
    POINT,
    empty,
    row_of,
    shuffled,
    with_bounds,
    write_dissection,
    write_images,
)

TRAINING = Settings(**POINT, **NOT_DRAWN, detector="cd", image_set="training")
DRAWN = {"guidance_weight": 5.0, "sampler": "ddim", "sampler_steps": 25}
GENERATION = replace(TRAINING, image_set="generation", **DRAWN)
CLEAN = {"trigger": "none", "poison_ratio": 0.0, "pretend_ratio": 0.1, "null_level": 0.99}
"""What a null point has in their place."""
GROUPS = "112344" * 10
"""One letter a generation: the group it is in."""
SEEN = np.array([group in "12" for group in GROUPS])
"""By the judge."""
MATCHED = SEEN & ~np.isin(np.arange(60), np.flatnonzero(SEEN)[::4])
"""The template match misses every fourth."""
GENERATED = {
    "index": np.arange(60),
    "label": np.arange(60) % 10,
    "suspicion": np.random.default_rng(5).normal(0, 1, 60).round(1) + SEEN,
}
BY_TEMPLATE = with_bounds("template_auroc", "template_auroc_gain", "judge_minus_template_auroc")
BY_TEMPLATE |= {"template_n_positive"}
MASKS = {
    f"mask_{what}_{kind}" for what in ("mean", "patch", "kept") for kind in ("positive", "negative")
}


def write_suspicion(folder, index, label, suspicion, masks=None):
    """What ``detect`` writes."""
    folder.mkdir()
    columns = {"index": index, "label": label, "suspicion": suspicion}
    if masks is not None:
        columns["mask"] = images.encode(masks)
        columns["kept"] = (masks[:, -1, -1, 0] / 255).astype(float)
    nothing = [None] * len(index)
    arrays = [pa.array(columns.get(field.name, nothing), field.type) for field in SCHEMA]
    table = pa.Table.from_arrays(arrays, schema=SCHEMA)
    pq.write_table(shuffled(table), folder / "rows.parquet")
    return folder


def masks_of(poisoned):
    """51 everywhere (a fifth), but on the patch of the poisoned 255."""
    masks = np.full((len(poisoned), 8, 8, 1), 51, dtype=np.uint8)
    masks[poisoned, 6:, 6:] = 255
    return masks


def training_scores(listed):
    """Suspicions of a manifest's images; rounded, so that some are tied."""
    noise = np.random.default_rng(0).normal(0, 1, len(listed.index))
    return np.round(noise + 0.5 * listed.poisoned, 2)


def inputs_of(root, dataset, manifest):
    """The inputs of a point on the training set, with masks, and on the generations, without.

    Generation i is grey of level i.
    """
    for name in ("attack", "prepared", "generations", "judges"):
        (root / name).mkdir()
    rates = with_bounds("test_accuracy", "attack_success_rate")
    measured = {**dict.fromkeys(rates, 0.5), "n": 360, "attack_n": 325}
    (root / "attack" / "attack.json").write_text(json.dumps(measured))
    learned = {"training_accuracy": 0.75}
    (root / "prepared" / "classifier.json").write_text(json.dumps(learned))
    errors = {
        "trigger": measure_trigger(np.arange(100) < 2, np.arange(50) >= 5),
        "template_match": measure_trigger(np.arange(100) < 0, np.arange(50) >= 1),
    }
    (root / "judges" / "judges.json").write_text(json.dumps(errors))
    order = np.random.default_rng(1).permutation(60)
    pictures = order.astype(np.uint8).repeat(64).reshape(60, 8, 8, 1)
    write_images(root / "generations" / "rows.parquet", pictures, order % 10, order)
    listed = Manifest.read(manifest)
    said = listed.index, listed.label, training_scores(listed), masks_of(listed.poisoned)
    training = {
        **{"dataset": dataset, "manifest": manifest},
        **{name: root / name for name in ("attack", "prepared")},
        "suspicion": write_suspicion(root / "on-training", *said),
    }
    generation = {
        **training,
        **{name: root / name for name in ("generations", "judges")},
        "suspicion": write_suspicion(root / "on-generations", **GENERATED),
        "dissection": write_dissection(root / "dissection", GROUPS, GENERATED["label"], MATCHED),
        "training_suspicion": training["suspicion"],
    }
    return {"training": training, "generation": generation}


def opened(folder, name):
    with np.load(folder / name) as arrays:
        return dict(arrays)


@pytest.fixture(scope="module")
def given(digits, poisoned, tmp_path_factory):
    return inputs_of(tmp_path_factory.mktemp("inputs"), digits, poisoned)


@pytest.fixture(scope="module")
def listed(poisoned):
    return Manifest.read(poisoned)


@pytest.fixture(scope="module")
def out(given, tmp_path_factory):
    """Folders of both points."""
    root = tmp_path_factory.mktemp("out")
    for settings in (TRAINING, GENERATION):
        own = settings.image_set
        row_of(detection_row, settings, root / own, **given[own])
    return root


class TestTrainingSet:
    @pytest.fixture
    def row(self, out):
        return json.loads((out / "training" / "metrics.json").read_text())

    def test_the_manifest_says_who_is_positive(self, row, listed):
        scores = training_scores(listed)
        counts = [row[name] for name in ("n", "n_positive", "n_negative", "prevalence")]
        assert counts == [1437, 143, 1294, 143 / 1437]
        assert row["auroc"] == pytest.approx(roc_auc_score(listed.poisoned, scores))
        assert row["auroc_low"] < row["auroc"] < row["auroc_high"]
        kinds = scores[listed.poisoned], scores[~listed.poisoned]
        assert row["tpr_at_5pct_fpr"] == tpr_at(0.05, *kinds).value
        assert row["tpr_at_1pct_fpr"] == tpr_at(0.01, *kinds).value
        medians = [row["median_positive"], row["median_negative"]]
        assert medians == [np.median(own) for own in kinds]

    def test_the_row_has_its_coordinates_its_classifier_and_nothing_of_generations(self, row):
        assert (row["detector"], row["image_set"], row["seed"]) == ("cd", "training", 0)
        assert (row["n_train"], row["n_poisoned"], row["n_target"]) == (1437, 143, 139)
        assert row["p_t"] == row["relabelled_ratio"] == 143 / 282
        assert (row["test_n"], row["attack_n"], row["training_accuracy"]) == (360, 325, 0.75)
        assert empty(row) >= BY_TEMPLATE | {*DRAWN, "g1_count", "auroc_gain", "null_low"}

    def test_masks_are_averaged_on_the_image_and_on_the_patch(self, row):
        """Of 64 pixels 4 are the patch: 255 there and 51 elsewhere, or 51 everywhere."""
        assert {name: row[name] for name in MASKS} == {
            "mask_mean_positive": pytest.approx((4 + 60 * 0.2) / 64),
            "mask_mean_negative": pytest.approx(0.2),
            "mask_patch_positive": 1,
            "mask_patch_negative": pytest.approx(0.2),
            "mask_kept_positive": 1,
            "mask_kept_negative": pytest.approx(0.2),
        }

    def test_the_extremes_are_shown_as_the_defender_has_them(self, out, listed, training_set):
        kept = opened(out / "training", "groups.npz")
        order = np.argsort(-training_scores(listed), kind="stable")
        stamped = images.from_column(pq.read_table(training_set / "rows.parquet")["image"])
        ends = {"most_suspicious": order[:12], "least_suspicious": order[-12:][::-1]}
        assert set(kept) == {*ends, *(f"{name}_masks" for name in ends)}
        for name, rows in ends.items():
            np.testing.assert_array_equal(kept[name], stamped[rows])
            np.testing.assert_array_equal(kept[f"{name}_masks"], masks_of(listed.poisoned)[rows])


class TestGenerations:
    @pytest.fixture
    def row(self, out):
        return json.loads((out / "generation" / "metrics.json").read_text())

    @pytest.fixture
    def before(self, listed):
        scores = training_scores(listed)
        return scores[listed.poisoned], scores[~listed.poisoned]

    def test_the_judge_says_who_is_positive(self, row):
        assert (row["n"], row["n_positive"], row["prevalence"]) == (60, 30, 0.5)
        assert [row[f"g{number}_count"] for number in (1, 2, 3, 4)] == [20, 10, 10, 20]
        assert row["auroc"] == pytest.approx(roc_auc_score(SEEN, GENERATED["suspicion"]))
        assert empty(row) == MASKS | {"null_level", "null_low", "null_high"}

    def test_what_moved_is_counted(self, row, before):
        kinds = GENERATED["suspicion"][SEEN], GENERATED["suspicion"][~SEEN]
        assert row["training_auroc"] == auroc(*before).value
        assert row["auroc_gain"] == row["auroc"] - row["training_auroc"]
        assert row["poisoned_shift"] == auroc(kinds[0], before[0]).value
        assert row["clean_shift"] == auroc(kinds[1], before[1]).value
        assert row["auroc_poisoned_moved"] == auroc(kinds[0], before[1]).value
        assert row["auroc_clean_moved"] == auroc(before[0], kinds[1]).value

    def test_both_sets_are_brought_to_the_smaller_prevalence(self, row):
        """143 of 1437: beside 30 clean generations that is 3 of 33."""
        assert row["equal_prevalence"] == 143 / 1437
        assert row["equal_prevalence_auroc"] == row["auroc"]
        few = row["equal_prevalence_auroc_high"] - row["equal_prevalence_auroc_low"]
        assert few > 1.5 * (row["auroc_high"] - row["auroc_low"])

    def test_the_template_match_has_its_own_numbers_and_both_have_errors(self, row, before):
        suspicion = GENERATED["suspicion"]
        own = auroc(suspicion[MATCHED], suspicion[~MATCHED]).value
        assert row["template_n_positive"] == MATCHED.sum() == 22
        assert row["template_auroc"] == own
        assert row["template_auroc_gain"] == own - auroc(*before).value
        assert row["judge_minus_template_auroc"] == row["auroc"] - own
        errors = ("false_positive_rate", "false_negative_rate")
        assert [row[f"trigger_{name}"] for name in errors] == [2 / 100, 5 / 50]
        assert [row[f"template_{name}"] for name in errors] == [0, 1 / 50]
        assert (row["trigger_n_clean"], row["trigger_n_stamped"]) == (100, 50)

    def test_without_a_template_match_its_columns_are_there_and_empty(self, row, given, tmp_path):
        dissection = write_dissection(tmp_path / "alone", GROUPS, GENERATED["label"])
        inputs = {**given["generation"], "dissection": dissection}
        alone = row_of(detection_row, GENERATION, tmp_path / "out", **inputs)
        assert empty(alone) == empty(row) | BY_TEMPLATE
        others = row.keys() - BY_TEMPLATE
        assert {name: alone[name] for name in others} == {name: row[name] for name in others}
        assert "template_match" not in opened(tmp_path / "out", "scores.npz")

    def test_scores_and_pictures_are_kept(self, out):
        kept = opened(out / "generation", "scores.npz")
        assert "".join(map(str, kept["group"].tolist())) == GROUPS
        np.testing.assert_array_equal(kept["template_match"], MATCHED)
        np.testing.assert_array_equal(kept["poisoned"], SEEN)
        np.testing.assert_array_equal(kept["suspicion"], GENERATED["suspicion"])
        order = np.argsort(-GENERATED["suspicion"], kind="stable")
        pictures = opened(out / "generation", "groups.npz")
        assert set(pictures) == {"most_suspicious", "least_suspicious"}
        assert pictures["most_suspicious"][:, 0, 0, 0].tolist() == order[:12].tolist()
        assert pictures["least_suspicious"][:, 0, 0, 0].tolist() == order[:-13:-1].tolist()


class TestNullPoints:
    """Clean controls whose images are called poisoned at random."""

    @pytest.mark.parametrize(("point", "n"), [(TRAINING, 1437), (GENERATION, 60)])
    def test_flags_that_mean_nothing_leave_a_half(self, point, n, digits, poisoned_by, tmp_path):
        manifest = poisoned_by(triggers.Nothing(), 0)
        inputs = inputs_of(tmp_path, digits, manifest)[point.image_set]
        row = row_of(detection_row, replace(point, **CLEAN), tmp_path / "out", **inputs)
        assert (row["n"], row["n_positive"], row["pretend_ratio"]) == (n, n // 10, 0.1)
        assert row["null_level"] == 0.99
        assert row["null_low"] < row["auroc_low"] < row["auroc_high"] < row["null_high"]
        assert row["null_low"] <= 0.5 <= row["null_high"]
        assert row["tpr_at_5pct_fpr"] is not None
        assert empty(row) >= BY_TEMPLATE | with_bounds("g1_auroc", "auroc_gain", "clean_shift")
        assert opened(tmp_path / "out", "scores.npz")["poisoned"].sum() == n // 10

    def test_the_flags_are_those_of_seed_and_set_whoever_looks(self):
        point = replace(TRAINING, **CLEAN)
        flags, other = (detection_row.pretend(replace(point, seed=seed), 1437) for seed in (0, 1))
        same = detection_row.pretend(replace(point, detector="strip"), 1437)
        np.testing.assert_array_equal(flags, same)
        assert (flags != other).any()
        assert (flags != detection_row.pretend(replace(GENERATION, **CLEAN), 1437)).any()


@pytest.mark.parametrize("change", ["index", "label"])
def test_suspicions_of_other_images_are_refused(given, tmp_path, change):
    others = {**GENERATED, change: GENERATED[change] + 1}
    inputs = {**given["generation"], "suspicion": write_suspicion(tmp_path / "others", **others)}
    with pytest.raises(ValueError, match="of the 60 images of the generations, got 60 with"):
        detection_row.run(GENERATION, **inputs, out=tmp_path)


def test_a_dissection_of_other_images_is_refused(given, tmp_path):
    table = pq.read_table(given["generation"]["dissection"] / "rows.parquet")
    pq.write_table(table.slice(1), tmp_path / "rows.parquet")
    with pytest.raises(ValueError, match="of the 59 images of the dissection, got 60 with"):
        detection_row.run(
            GENERATION, **given["generation"] | {"dissection": tmp_path}, out=tmp_path
        )


def test_a_pretended_ratio_is_for_clean_controls():
    with pytest.raises(ValueError, match=r"only at poison_ratio 0, got \(0.1, 0.1\)"):
        replace(TRAINING, pretend_ratio=0.1)
