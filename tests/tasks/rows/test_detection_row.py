"""Rows of study ``detection``, each number counted again from what was made up."""

import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

from analysis.statistics.auroc import auroc, tpr_at
from tasks.data import images
from tasks.rows import detection_row
from tasks.steps.poison import Manifest
from tests.tasks.detected import (
    BY_TEMPLATE,
    COMPARED,
    DRAWN,
    GENERATED,
    GENERATION,
    GROUP_COUNTS,
    GROUPS,
    MASKS,
    MATCHED,
    NULL,
    OF_JUDGES,
    SEEN,
    TRAINING,
    generation_inputs,
    masks_of,
    opened,
    training_inputs,
    training_scores,
    write_suspicion,
)
from tests.tasks.made import empty, row_of, write_dissection


@pytest.fixture(scope="module")
def on_training(digits, poisoned, tmp_path_factory):
    return training_inputs(tmp_path_factory.mktemp("training"), digits, poisoned)


@pytest.fixture(scope="module")
def listed(poisoned):
    return Manifest.read(poisoned)


@pytest.fixture(scope="module")
def on_generation(on_training, tmp_path_factory):
    return generation_inputs(tmp_path_factory.mktemp("generation"), on_training)


@pytest.fixture(scope="module")
def of_training(on_training, tmp_path_factory):
    """What is written."""
    folder = tmp_path_factory.mktemp("out") / "training"
    row_of(detection_row, TRAINING, folder, **on_training)
    return folder


@pytest.fixture(scope="module")
def of_generation(on_generation, tmp_path_factory):
    """What is written."""
    folder = tmp_path_factory.mktemp("out") / "generation"
    row_of(detection_row, GENERATION, folder, **on_generation)
    return folder


class TestTrainingSet:
    @pytest.fixture
    def row(self, of_training):
        return json.loads((of_training / "metrics.json").read_text())

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

    def test_what_only_generations_have_is_there_and_empty(self, row):
        assert empty(row) == COMPARED | GROUP_COUNTS | NULL | OF_JUDGES | DRAWN

    def test_the_row_carries_its_coordinates_its_set_and_its_classifier(self, row):
        assert (row["detector"], row["image_set"], row["seed"]) == ("cd", "training", 0)
        assert (row["n_train"], row["n_poisoned"], row["n_target"]) == (1437, 143, 139)
        assert row["p_t"] == row["relabelled_ratio"] == 143 / 282
        assert (row["test_n"], row["attack_n"], row["training_accuracy"]) == (360, 325, 0.75)
        assert row["pretend_ratio"] == 0

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

    def test_the_extremes_are_shown_as_the_defender_has_them(
        self, of_training, listed, training_set
    ):
        kept = opened(of_training, "groups.npz")
        order = np.argsort(-training_scores(listed), kind="stable")
        stamped = images.from_column(pq.read_table(training_set / "rows.parquet")["image"])
        ends = {"most_suspicious": order[:12], "least_suspicious": order[-12:][::-1]}
        assert set(kept) == {*ends, *(f"{name}_masks" for name in ends)}
        for name, rows in ends.items():
            np.testing.assert_array_equal(kept[name], stamped[rows])
            np.testing.assert_array_equal(kept[f"{name}_masks"], masks_of(listed.poisoned)[rows])
        assert listed.poisoned[order[:12]].any()


class TestGenerations:
    @pytest.fixture
    def row(self, of_generation):
        return json.loads((of_generation / "metrics.json").read_text())

    @pytest.fixture
    def kinds(self):
        return GENERATED["suspicion"][SEEN], GENERATED["suspicion"][~SEEN]

    @pytest.fixture
    def before(self, listed):
        scores = training_scores(listed)
        return scores[listed.poisoned], scores[~listed.poisoned]

    def test_the_judge_says_who_is_positive(self, row):
        assert (row["n"], row["n_positive"], row["prevalence"]) == (60, 30, 0.5)
        assert [row[f"g{number}_count"] for number in (1, 2, 3, 4)] == [20, 10, 10, 20]
        expected = roc_auc_score(SEEN, GENERATED["suspicion"])
        assert row["auroc"] == pytest.approx(expected)
        assert empty(row) == NULL | MASKS

    def test_what_moved_is_counted(self, row, kinds, before):
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

    def test_the_template_match_has_its_own_numbers(self, row, before):
        suspicion, seen = GENERATED["suspicion"], MATCHED
        own = auroc(suspicion[seen], suspicion[~seen]).value
        assert row["template_n_positive"] == seen.sum() == 22
        assert row["template_auroc"] == own
        assert row["template_auroc_gain"] == own - auroc(*before).value
        assert row["judge_minus_template_auroc"] == row["auroc"] - own

    def test_the_judges_come_with_their_errors(self, row):
        assert {name: row[name] for name in OF_JUDGES} == {
            "trigger_false_positive_rate": 2 / 100,
            "trigger_false_negative_rate": 5 / 50,
            "trigger_n_clean": 100,
            "trigger_n_stamped": 50,
            "template_false_positive_rate": 0,
            "template_false_negative_rate": 1 / 50,
        }

    def test_without_a_template_match_its_columns_are_there_and_empty(
        self, row, on_generation, tmp_path
    ):
        judges = json.loads((on_generation["judges"] / "judges.json").read_text())
        (tmp_path / "judges.json").write_text(json.dumps({**judges, "template_match": None}))
        dissection = write_dissection(tmp_path / "alone", GROUPS, GENERATED["label"])
        inputs = {**on_generation, "dissection": dissection, "judges": tmp_path}
        alone = row_of(detection_row, GENERATION, tmp_path / "out", **inputs)
        rates = {"template_false_positive_rate", "template_false_negative_rate"}
        missing = BY_TEMPLATE | rates | {"template_n_positive"}
        assert empty(alone) == empty(row) | missing
        assert {name: alone[name] for name in row.keys() - missing} == {
            name: row[name] for name in row.keys() - missing
        }
        assert "template_match" not in opened(tmp_path / "out", "scores.npz")

    def test_scores_and_pictures_are_kept(self, of_generation):
        kept = opened(of_generation, "scores.npz")
        assert "".join(map(str, kept["group"].tolist())) == GROUPS
        np.testing.assert_array_equal(kept["template_match"], MATCHED)
        np.testing.assert_array_equal(kept["poisoned"], SEEN)
        np.testing.assert_array_equal(kept["suspicion"], GENERATED["suspicion"])
        order = np.argsort(-GENERATED["suspicion"], kind="stable")
        pictures = opened(of_generation, "groups.npz")
        assert set(pictures) == {"most_suspicious", "least_suspicious"}
        assert pictures["most_suspicious"][:, 0, 0, 0].tolist() == order[:12].tolist()
        assert pictures["least_suspicious"][:, 0, 0, 0].tolist() == order[:-13:-1].tolist()


class TestRefusals:
    def test_inputs_of_the_other_image_set(self, on_training, on_generation, tmp_path):
        incomplete = {name: of for name, of in on_generation.items() if name != "judges"}
        for settings, inputs, message in (
            (TRAINING, on_generation, "got training with 4 of them"),
            (GENERATION, on_training, "got generation with 0 of them"),
            (GENERATION, incomplete, "got generation with 3 of them"),
        ):
            with pytest.raises(ValueError, match=message):
                detection_row.run(settings, **inputs, out=tmp_path)

    @pytest.mark.parametrize("change", ["index", "label"])
    def test_suspicions_of_other_images(self, on_generation, tmp_path, change):
        others = {**GENERATED, change: GENERATED[change] + 1}
        inputs = {**on_generation, "suspicion": write_suspicion(tmp_path / "others", **others)}
        with pytest.raises(ValueError, match="of the 60 images of the generations, got 60 with"):
            detection_row.run(GENERATION, **inputs, out=tmp_path)

    @pytest.mark.parametrize(
        ("settings", "changes", "message"),
        [
            (TRAINING, {"image_set": "test"}, "image_set of training, generation, got 'test'"),
            (TRAINING, {"sampler": "ddim"}, "none for other images, got 'ddim'"),
            (GENERATION, {"guidance_weight": None}, "a guidance_weight for generations"),
            (TRAINING, {"pretend_ratio": 0.1}, r"only at poison_ratio 0, got \(0.1, 0.1\)"),
            (TRAINING, {"null_level": 1.0}, "below 1, got 1.0"),
        ],
    )
    def test_settings_that_do_not_fit(self, settings, changes, message):
        with pytest.raises(ValueError, match=message):
            replace(settings, **changes)

    def test_a_dissection_of_other_images(self, on_generation, tmp_path):
        table = pq.read_table(on_generation["dissection"] / "rows.parquet")
        pq.write_table(table.slice(1), tmp_path / "rows.parquet")
        inputs = {**on_generation, "dissection": tmp_path}
        with pytest.raises(ValueError, match="of the 59 images of the dissection, got 60 with"):
            detection_row.run(GENERATION, **inputs, out=tmp_path)
