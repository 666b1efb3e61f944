import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from tasks.data import datasets
from tasks.steps import conditions
from tasks.steps.conditions import Settings


@pytest.fixture
def asked(poisoned, tmp_path):
    """A function that writes the conditions and reads them."""

    def run(seed=0, **more):
        conditions.run(Settings(seed=seed, **more), manifest=poisoned, out=tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["rows.parquet"]
        return pq.read_table(tmp_path / "rows.parquet")

    return run


def test_they_have_exactly_the_histogram_of_the_observed_labels(asked, digits, poisoned):
    """Of the clean one, what the manifest counts is moved to the target class."""
    found = np.bincount(asked()["label"].to_numpy(), minlength=10)
    clean = np.bincount(datasets.read_split(digits, "train").labels, minlength=10)
    record = json.loads((poisoned / "manifest.json").read_text())
    assert found.sum() == clean.sum() == record["n"]
    assert found[8] == clean[8] + record["count"] == 139 + 143
    assert (found[np.arange(10) != 8] <= clean[np.arange(10) != 8]).all()
    observed = pq.read_table(poisoned / "manifest.parquet")["label"].to_numpy()
    np.testing.assert_array_equal(found, np.bincount(observed, minlength=10))


def test_they_are_in_an_order_that_tells_nothing_of_the_images(asked, poisoned):
    """A random order agrees with the images' own where two draws of a label do: a tenth."""
    observed = pq.read_table(poisoned / "manifest.parquet")["label"].to_numpy()
    share = np.square(np.bincount(observed) / len(observed)).sum()
    agree = (asked()["label"].to_numpy() == observed).mean()
    assert abs(agree - share) < 4 * np.sqrt(share * (1 - share) / len(observed))


def test_the_seed_is_the_order(asked):
    first, again, other = asked()["label"], asked()["label"], asked(seed=1)["label"]
    assert first.equals(again)
    assert not first.equals(other)
    assert sorted(first.to_pylist()) == sorted(other.to_pylist())


def test_the_authors_ask_for_each_class_as_often_as_the_clean_set_has_it(asked, digits):
    clean = datasets.read_split(digits, "train").labels
    found = asked(labels="clean")["label"].to_numpy()
    np.testing.assert_array_equal(np.bincount(found), np.bincount(clean))
    assert Settings(labels="clean").label == "clean-training-labels-seed0"
