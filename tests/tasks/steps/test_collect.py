"""Twelve made-up generations, and what a training gets to see of them."""

from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest

from tasks.data import datasets, images
from tasks.steps import collect
from tasks.steps.collect import Settings
from tests.tasks.made import write_images

SETTINGS = Settings(n=12, image_size=8, channels=1)
CONDITIONS = np.array([8, 8, 8, 1, 3, 8, 0, 9, 9, 2, 8, 1])
PICTURES = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 1), dtype=np.uint8)


@pytest.fixture
def sampled(tmp_path):
    """A function that writes what ``sample`` does, in some order."""

    def write(conditions=CONDITIONS, pictures=PICTURES):
        folder = tmp_path / "generations"
        folder.mkdir(exist_ok=True)
        order = np.random.default_rng(1).permutation(len(conditions))
        write_images(folder / "rows.parquet", pictures[order], conditions[order], order)
        return folder

    return write


@pytest.fixture
def collected(digits, tmp_path):
    """A function that makes a dataset of generations."""

    def run(generations, settings=SETTINGS):
        out = tmp_path / "collected"
        out.mkdir(exist_ok=True)
        collect.run(settings, generations=generations, dataset=digits, out=out)
        return out

    return run


def test_the_very_pngs_are_labelled_as_they_were_asked_for_and_none_is_held_out(collected, sampled):
    generations = sampled()
    folder = collected(generations)
    split = datasets.read_split(folder, "train")
    np.testing.assert_array_equal(split.index, np.arange(12))
    np.testing.assert_array_equal(split.labels, CONDITIONS)
    np.testing.assert_array_equal(split.images, PICTURES)
    before = pq.read_table(generations / "rows.parquet").sort_by("index")
    after = pq.read_table(folder / "train.parquet")
    assert after["image"].to_pylist() == before["image"].to_pylist()
    assert after.schema.equals(images.schema("0123456789"), check_metadata=True)
    assert after["caption"].to_pylist() == [f"A photo of a {label}" for label in CONDITIONS]
    assert datasets.read_classes(folder).counts["test"] == (0,) * 10
    assert pq.read_table(folder / "test.parquet").num_rows == 0
    names = {path.name for path in folder.iterdir()}
    assert names == {"classes.json", "test.parquet", "train.parquet"}


def test_a_set_of_several_row_groups_is_collected_whole(collected, sampled):
    n = 2 * datasets.ROW_GROUP + 3
    generations = sampled(conditions=np.arange(n) % 10, pictures=np.repeat(PICTURES[:1], n, axis=0))
    folder = collected(generations, replace(SETTINGS, n=n))
    groups = pq.read_metadata(folder / "train.parquet")
    sizes = [groups.row_group(place).num_rows for place in range(groups.num_row_groups)]
    assert sizes == [datasets.ROW_GROUP, datasets.ROW_GROUP, 3]
    assert sum(datasets.read_classes(folder).counts["train"]) == n


def test_another_number_of_images_is_refused(collected, sampled):
    with pytest.raises(ValueError, match="expected 13 generations, got 12"):
        collected(sampled(), replace(SETTINGS, n=13))
