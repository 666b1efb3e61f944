"""Fashion-MNIST: its files as they are, others, and files that are no such files."""

import gzip

import numpy as np
import pytest

from tasks.data import fashion_mnist
from tasks.data.datasets import FashionMnist
from tests.pictures import make_fashion

HEADER = bytes([0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 28, 0, 0, 0, 28])
"""Of a file with one image."""
IMAGES, LABELS = fashion_mnist.FILES["train"]


def content(folder, name):
    return gzip.decompress((folder / name).read_bytes())


def test_images_stand_in_the_middle_of_black(tmp_path):
    """An image file has 16 bytes of header, then rows of 28 pixels; a label file has 8."""
    folder = make_fashion(tmp_path)
    train, test = (next(FashionMnist.open(folder).blocks(part)) for part in ("train", "test"))
    pixels = np.frombuffer(content(folder, IMAGES)[16:], np.uint8).reshape(20, 28, 28)
    np.testing.assert_array_equal(train.images[:, 2:30, 2:30, 0], pixels)
    assert train.images.sum() == pixels.sum()
    assert train.images.shape == (20, 32, 32, 1)
    assert train.labels.tolist() == list(content(folder, LABELS)[8:])
    assert train.index.tolist() == [*range(20)]
    assert test.index.tolist() == [*range(20, 30)]


def test_torchvision_s_own_folder_is_read_too(tmp_path):
    flat, nested = make_fashion(tmp_path / "a"), make_fashion(tmp_path / "b" / "FashionMNIST/raw")
    there = FashionMnist.open(nested.parents[1])
    assert there.subset == FashionMnist.open(flat).subset != ""
    assert there.counts() == {"train": (2,) * 10, "test": (1,) * 10}


def test_files_beside_what_a_failed_download_left_are_found(tmp_path):
    flat = make_fashion(tmp_path)
    expected = FashionMnist.open(flat).subset
    (tmp_path / fashion_mnist.RAW).mkdir(parents=True)
    assert FashionMnist.open(flat).subset == expected != ""


def test_what_the_files_hold_is_the_identity_not_how_they_are_packed(tmp_path):
    one, other = make_fashion(tmp_path / "a"), make_fashion(tmp_path / "b", seed=1)
    before = FashionMnist.open(one).subset
    (one / IMAGES).write_bytes(gzip.compress(content(one, IMAGES), compresslevel=1, mtime=1))
    assert FashionMnist.open(one).subset == before != FashionMnist.open(other).subset


def test_without_files_the_official_ones_are_planned_and_asked_for(tmp_path):
    made = FashionMnist.open(tmp_path)
    assert (made.subset, made.label, made.counts()["train"]) == ("", "fashion", (6000,) * 10)
    with pytest.raises(ValueError, match=r"train-images-idx3-ubyte\.gz, .* add --download"):
        next(made.blocks("train"))


def test_other_files_than_were_planned_are_refused(tmp_path):
    planned = FashionMnist.open(tmp_path)
    make_fashion(tmp_path)
    with pytest.raises(ValueError, match="as they were planned"):
        next(planned.blocks("train"))


@pytest.mark.parametrize(
    ("name", "broken", "said"),
    [
        (IMAGES, b"not gzip, but long enough to have an end", "expected a gzip file"),
        (IMAGES, gzip.compress(b"\0" * 99)[:-10], "expected a gzip file"),
        (IMAGES, gzip.compress(bytes(16 + 28**2 * 60_001)), "expected Fashion-MNIST's format"),
        (IMAGES, gzip.compress(b""), "expected Fashion-MNIST's format"),
        (
            IMAGES,
            gzip.compress(b"\0\0\x08\x03\0\0\0\x01\0\0\0\x1c\0\0\0\x1c" + bytes(784)),
            "as many",
        ),
        (LABELS, gzip.compress(b"\0\0\x08\x01\0\0\0\x01\x0a"), "expected labels 0..9"),
    ],
    ids=["text", "cut off", "too long", "empty", "fewer images", "a label of ten"],
)
def test_a_file_of_another_kind_is_refused(tmp_path, name, broken, said):
    folder = make_fashion(tmp_path)
    (folder / name).write_bytes(broken)
    with pytest.raises(ValueError, match=said):
        next(FashionMnist.open(folder).blocks("train"))


def test_the_official_files_are_known_by_how_they_end(tmp_path):
    """CRC-32 and length of each file of github.com/zalandoresearch/fashion-mnist."""
    ends = ("289ff2b410c6cd02", "57461a7468ea0000", "b1e08f6710a17700", "1f2c148018270000")
    names = [name for names in fashion_mnist.FILES.values() for name in names]
    for name, end in zip(names, ends, strict=True):
        (tmp_path / name).write_bytes(bytes.fromhex(end))
    assert fashion_mnist.subset(tmp_path) == ""
