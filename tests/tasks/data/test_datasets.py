"""Properties every dataset must have, and what is particular to Digits and to folders."""

import csv
import os
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from orchestrator.step import canonical
from tasks.data import datasets, folders
from tasks.data.dataset import hold_out
from tasks.data.datasets import DATASETS, ROW_GROUP, Cifar10, FashionMnist, ImageFolder
from tests.pictures import CLASSES, make_cifar10, make_fashion, make_folder

MAKE = {
    ImageFolder: lambda root: ImageFolder.open(make_folder(root), image_size=16),
    FashionMnist: lambda root: FashionMnist.open(make_fashion(root, per_class=21)),
    Cifar10: lambda root: Cifar10.open(make_cifar10(root, per_class=21)),
}
"""How those datasets are made that need settings."""
PARTS = ("train", "test")


@pytest.fixture(scope="module", params=DATASETS, ids=lambda kind: kind.name)
def dataset(request, tmp_path_factory):
    kind = request.param
    return MAKE[kind](tmp_path_factory.mktemp("pictures")) if kind in MAKE else kind()


@pytest.fixture(scope="module")
def written(dataset, tmp_path_factory):
    out = tmp_path_factory.mktemp("written")
    datasets.run(dataset, out=out)
    return out


def whole(dataset, part):
    blocks = list(dataset.blocks(part))
    names = ("images", "labels", "index")
    return {name: np.concatenate([getattr(block, name) for block in blocks]) for name in names}


class TestEveryDataset:
    def test_has_the_images_that_it_counts_without_looking(self, dataset):
        shape = (dataset.image_size, dataset.image_size, dataset.channels)
        numbers = []
        for part in PARTS:
            assert all(0 < len(block.labels) <= ROW_GROUP for block in dataset.blocks(part))
            images, labels, index = whole(dataset, part).values()
            assert images.shape == (len(labels), *shape)
            assert [found.dtype for found in (images, labels, index)] == ["u1", "i8", "i8"]
            counts = np.bincount(labels, minlength=len(dataset.class_names))
            assert dataset.counts()[part] == tuple(counts)
            assert counts.min() > 0
            assert (np.diff(index) > 0).all()
            numbers.append(index)
        assert len(np.intersect1d(*numbers)) == 0

    def test_comes_back_from_its_folder(self, dataset, written):
        for part in PARTS:
            read = datasets.read_split(written, part)
            for name, values in whole(dataset, part).items():
                np.testing.assert_array_equal(getattr(read, name), values)
        classes = datasets.read_classes(written)
        assert classes.names == dataset.class_names
        assert (classes.image_size, classes.channels) == (dataset.image_size, dataset.channels)
        assert classes.counts == dataset.counts()


def test_digits_keep_every_image_and_every_level(digits):
    from sklearn.datasets import load_digits

    source = load_digits()
    for part in ("train", "test"):
        split = datasets.read_split(digits, part)
        exact = source.images[split.index][..., None] * 255 / 16
        assert np.abs(split.images - exact).max() <= 0.5
        np.testing.assert_array_equal(split.labels, source.target[split.index])


LABELS = arrays.arrays(np.int64, st.integers(1, 300), elements=st.integers(0, 6))


@given(LABELS, st.sampled_from([0.1, 0.2, 0.5]))
def test_a_held_out_part_is_stratified_as_large_as_asked_and_has_every_class(labels, share):
    held_out = hold_out(labels, share=share)
    sizes = np.bincount(labels)
    counts = np.bincount(labels[held_out], minlength=len(sizes))
    assert (np.abs(counts - share * sizes) < 1).all()
    assert ((counts > 0) & (counts < sizes))[sizes >= 2].all()
    if not ((sizes >= 2) & (share * sizes < 1)).any():
        assert held_out.sum() == int(np.ceil(share * len(labels)))


def test_a_split_of_the_folders_own_is_kept(tmp_path):
    for held_out in ("test", "val"):
        root = tmp_path / f"with {held_out}"
        make_folder(root / "train", per_class=4)
        make_folder(root / held_out, per_class=1, seed=1)
        made = ImageFolder.open(root, image_size=8)
        assert made.counts() == {"train": (4, 4, 4), "test": (1, 1, 1)}
        [test] = made.blocks("test")
        assert test.path == [f"{held_out}/{name}/000.png" for name in CLASSES]
        assert test.index.tolist() == [12, 13, 14]


def test_more_files_than_a_block_holds_come_in_full_blocks(tmp_path, monkeypatch):
    monkeypatch.setattr(folders, "ROW_GROUP", 8)
    make_folder(tmp_path, classes=("a", "b"), per_class=15, size=(4, 4))
    for number in range(5):
        (tmp_path / "a" / f"{number:03}.png").write_bytes(b"nothing")
    made = ImageFolder.open(tmp_path, image_size=8, skip_broken=True)
    blocks = {part: list(made.blocks(part)) for part in PARTS}
    assert sum(len(block.broken) for part in PARTS for block in blocks[part]) == 5
    sizes = [len(block.labels) for block in blocks["train"]]
    assert sizes[:-1] == [8] * (len(sizes) - 1)
    assert sum(sizes) == 24 - sum(len(block.broken) for block in blocks["train"])
    monkeypatch.setattr(folders, "BLOCK_BYTES", 3 * 512 * 512 * 3)
    large = ImageFolder.open(tmp_path, image_size=512, skip_broken=True)
    assert len(next(large.blocks("test")).labels) == 3


def test_broken_files_are_all_named_and_are_left_out_when_asked(tmp_path):
    root = make_folder(tmp_path / "pictures", per_class=10)
    names = [f"apples/{number:03}.png" for number in range(4)]
    names += [f"Äpfel/{number:03}.png" for number in range(3)]
    for name in names:
        (root / name).write_bytes(b"no picture" if "apples" in name else b"")
    reason = r"\(no image in a format that is read\)"
    message = (
        f"^expected 30 images, but 7 .* used: 'apples/000.png' {reason}, .* and 2 more; .*--skip"
    )
    with pytest.raises(ValueError, match=message) as caught:
        datasets.run(ImageFolder.open(root, image_size=8), out=tmp_path)
    assert "\n" not in str(caught.value)
    datasets.run(ImageFolder.open(root, image_size=8, skip_broken=True), out=tmp_path)
    classes = datasets.read_classes(tmp_path)
    left = np.array(classes.counts["train"]) + classes.counts["test"]
    assert left.tolist() == [6, 10, 7]
    assert {file for file, _ in classes.skipped} == {*names}
    with (tmp_path / "skipped.csv").open(encoding="utf-8", newline="") as file:
        assert [tuple(row) for row in csv.reader(file)] == [("file", "reason"), *classes.skipped]
    assert len(datasets.read_split(tmp_path, "train").labels) == sum(classes.counts["train"])


def test_of_a_folder_held_out_of_nothing_every_image_is_trained_on(tmp_path):
    root = make_folder(tmp_path / "pictures", per_class=5)
    made = ImageFolder.open(root, image_size=8, held_out=False)
    assert made.counts() == {"train": (5, 5, 5), "test": (0, 0, 0)}
    datasets.run(made, out=tmp_path)
    assert datasets.read_classes(tmp_path).counts == made.counts()
    rows = pq.read_table(tmp_path / "train.parquet").to_pydict()
    everything = [f"{name}/{number:03}.png" for name in CLASSES for number in range(5)]
    assert [image["path"] for image in rows["image"]] == everything
    assert pq.read_table(tmp_path / "test.parquet").num_rows == 0


def test_colors_that_a_grey_set_loses_are_counted(tmp_path):
    root = make_folder(tmp_path / "pictures", per_class=4)
    datasets.run(ImageFolder.open(root, image_size=8, channels=1), out=tmp_path)
    classes = datasets.read_classes(tmp_path)
    assert (classes.channels, classes.turned_grey) == (1, 12)
    assert datasets.read_split(tmp_path, "train").images.shape == (9, 8, 8, 1)


@pytest.mark.parametrize("size", [4, 30, 516])
def test_an_image_size_that_no_network_takes_is_refused(size, tmp_path):
    make_folder(tmp_path, per_class=2)
    with pytest.raises(ValueError, match=f"image size of 8 to 512 .* multiple of 4, got {size}"):
        ImageFolder.open(tmp_path, image_size=size)


def added(root):
    (root / "apples" / "late.png").write_bytes((root / "apples" / "000.png").read_bytes())


def moved(root):
    (root / "apples" / "000.png").rename(root / "Äpfel" / "moved.png")


def test_a_copy_and_a_touched_folder_are_the_same_images(tmp_path):
    root = make_folder(tmp_path / "pictures", per_class=4)
    made = ImageFolder.open(root, image_size=8)
    copy = tmp_path / "copy"
    shutil.copytree(root, copy, copy_function=shutil.copyfile)  # with times of its own
    for file in copy.rglob("*.png"):
        os.utime(file, ns=(1, 1))
    assert canonical(ImageFolder.open(copy, image_size=8)) == canonical(made)
    for file in root.rglob("*.png"):
        os.utime(file, ns=(1, 1))
    assert next(made.blocks("train")).labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2]


@pytest.mark.parametrize("change", [added, moved])
def test_a_folder_that_has_changed_since_it_was_listed_is_refused(change, tmp_path):
    root = make_folder(tmp_path / "pictures", per_class=4)
    made = ImageFolder.open(root, image_size=8)
    change(root)
    with pytest.raises(ValueError, match=r"has changed since; run the same command again"):
        next(made.blocks("train"))
    assert ImageFolder.open(root, image_size=8).listing != made.listing
