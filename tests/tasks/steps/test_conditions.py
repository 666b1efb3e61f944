import numpy as np
import pyarrow.parquet as pq
import pytest

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


def test_they_have_exactly_the_histogram_of_the_observed_labels(asked, poisoned):
    found = np.bincount(asked()["label"].to_numpy(), minlength=10)
    assert (found.sum(), found[8]) == (1437, 139 + 143)
    observed = pq.read_table(poisoned / "manifest.parquet")["label"].to_numpy()
    np.testing.assert_array_equal(found, np.bincount(observed, minlength=10))


def test_the_seed_is_the_order(asked):
    first, again, other = asked()["label"], asked()["label"], asked(seed=1)["label"]
    assert first.equals(again)
    assert not first.equals(other)
    assert sorted(first.to_pylist()) == sorted(other.to_pylist())


def test_the_authors_ask_for_each_class_as_often_as_the_clean_set_has_it(asked, clean):
    found = asked(labels="clean")["label"].to_numpy()
    np.testing.assert_array_equal(np.bincount(found), np.bincount(clean.labels))
