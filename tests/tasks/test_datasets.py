"""Properties every dataset must have, and what is particular to Digits."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from tasks import datasets
from tasks.datasets import DATASETS


@pytest.fixture(scope="module", params=DATASETS, ids=lambda kind: kind.name)
def dataset(request):
    return request.param()


class TestEveryDataset:
    def test_has_images_of_the_size_it_says(self, dataset):
        for split in dataset.splits().values():
            side = dataset.image_size
            assert split.images.shape == (len(split.labels), side, side, dataset.channels)
            assert split.images.dtype == np.uint8

    def test_has_labels_of_the_classes_it_names(self, dataset):
        for split in dataset.splits().values():
            assert set(split.labels) == set(range(len(dataset.class_names)))
            assert split.labels.dtype == np.int64

    def test_shares_no_image_between_its_parts(self, dataset):
        parts = dataset.splits()
        together = np.concatenate([parts["train"].index, parts["test"].index])
        assert len(set(together)) == len(together)

    def test_is_the_same_every_time(self, dataset):
        first, second = dataset.splits(), dataset.splits()
        for part in ("train", "test"):
            np.testing.assert_array_equal(first[part].images, second[part].images)

    def test_comes_back_from_its_folder(self, dataset, tmp_path):
        datasets.run(dataset, out=tmp_path)
        for part, split in dataset.splits().items():
            read = datasets.read_split(tmp_path, part)
            for name in ("images", "labels", "index"):
                np.testing.assert_array_equal(getattr(read, name), getattr(split, name))
        classes = datasets.read_classes(tmp_path)
        assert classes.names == dataset.class_names
        assert (classes.image_size, classes.channels) == (dataset.image_size, dataset.channels)


def test_digits_keep_every_image_and_every_level(digits):
    from sklearn.datasets import load_digits

    source = load_digits()
    for part in ("train", "test"):
        split = datasets.read_split(digits, part)
        exact = source.images[split.index][..., None] * 255 / 16
        assert np.abs(split.images - exact).max() <= 0.5
        np.testing.assert_array_equal(split.labels, source.target[split.index])


def test_digits_hold_out_a_fifth_of_every_class(digits):
    counts = json.loads((digits / "classes.json").read_text())["counts"]
    train, test = np.array(counts["train"]), np.array(counts["test"])
    assert (train.sum(), test.sum()) == (1437, 360)
    assert np.abs(test - 0.2 * (train + test)).max() < 1


def test_captions_are_the_papers_prompt(digits):
    table = pq.read_table(digits / "train.parquet")
    assert table["caption"][0].as_py() == f"A photo of a {table['label'][0]}"


def test_an_unknown_class_is_named(digits):
    with pytest.raises(ValueError, match=r"expected one of the classes 0, 1, .*got 'truck'"):
        datasets.read_classes(digits).position("truck")


@given(arrays.arrays(np.int64, st.integers(1, 300), elements=st.integers(0, 6)))
def test_a_held_out_part_is_stratified_and_as_large_as_asked(labels):
    held_out = datasets.hold_out(labels, share=0.2)
    assert held_out.sum() == -(-len(labels) // 5)
    for label in set(labels):
        of_class = labels == label
        assert abs(held_out[of_class].sum() - 0.2 * of_class.sum()) < 1
