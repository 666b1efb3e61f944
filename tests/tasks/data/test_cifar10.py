"""The binary files of CIFAR-10, byte by byte, and a download that can go wrong."""

import hashlib
import re
import tarfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from tasks.data import cifar10
from tasks.data.datasets import Cifar10
from tests.pictures import make_cifar10

BATCHES = "cifar-10-batches-bin"


def record(label, red, green, blue):
    return bytes([label]) + bytes(red) + bytes(green) + bytes(blue)


@pytest.fixture
def folder(tmp_path):
    return make_cifar10(tmp_path / "data", per_class=2)


def test_a_record_is_a_label_and_three_planes(folder):
    # Row 0, column 1 is the second byte of each plane.
    red, green, blue = bytearray(1024), bytearray(1024), bytearray(1024)
    red[1], green[1], blue[1], blue[33] = 10, 20, 30, 40
    test = folder / BATCHES / "test_batch.bin"
    test.write_bytes(record(7, red, green, blue) + test.read_bytes())
    block = next(Cifar10.open(folder).blocks("test"))
    pixels = block.images[:1]
    assert block.labels[0] == 7
    assert pixels.shape == (1, 32, 32, 3)
    assert pixels[0, 0, 1].tolist() == [10, 20, 30]
    assert pixels[0, 1, 1].tolist() == [0, 0, 40]
    assert pixels.sum() == 100


def test_blocks_come_in_the_order_of_the_files_whatever_their_size(folder, monkeypatch):
    monkeypatch.setattr(cifar10, "ROW_GROUP", 7)
    names = [f"data_batch_{number}.bin" for number in range(1, 6)]
    content = b"".join((folder / BATCHES / name).read_bytes() for name in names)
    blocks = list(Cifar10.open(folder).blocks("train"))
    assert [len(block.labels) for block in blocks] == [7] * 14 + [2]
    again = b"".join(
        bytes([label]) + picture.transpose(2, 0, 1).tobytes()
        for block in blocks
        for label, picture in zip(block.labels.tolist(), block.images, strict=True)
    )
    assert again == content


def test_files_of_another_size_are_a_subset_named_by_their_contents(folder, tmp_path):
    made = Cifar10.open(folder)
    assert made.counts() == {"train": (10,) * 10, "test": (2,) * 10}
    assert made.label == "cifar10-subset"
    assert re.fullmatch("[0-9a-f]{12}", made.subset)
    elsewhere = make_cifar10(tmp_path / "elsewhere", per_class=2)
    assert Cifar10.open(elsewhere).subset == made.subset
    other = make_cifar10(tmp_path / "other", per_class=2, seed=1)
    assert Cifar10.open(other).subset != made.subset


def test_it_can_be_planned_before_it_is_there(tmp_path):
    for download in (False, True):
        made = Cifar10.open(tmp_path / "data", download=download)
        assert made.counts() == {"train": (5000,) * 10, "test": (1000,) * 10}
        assert (made.subset, made.label) == ("", "cifar10")
    assert not (tmp_path / "data").exists()


def test_files_of_the_official_size_are_the_whole(tmp_path):
    (tmp_path / BATCHES).mkdir()
    for name in (*cifar10.FILES["train"], *cifar10.FILES["test"]):
        with (tmp_path / BATCHES / name).open("wb") as file:
            file.truncate(30_730_000)  # sparse: all airplanes
    made = Cifar10.open(tmp_path)
    assert made.subset == ""
    with pytest.raises(ValueError, match=r"5000 images of each class .* got \(50000, 0, .*again"):
        next(made.blocks("train"))


def test_a_subset_with_a_missing_file_is_refused_and_not_overwritten(folder):
    (folder / BATCHES / "test_batch.bin").unlink()
    for download in (False, True):
        with pytest.raises(
            ValueError, match=r"but cifar-10-batches-bin/test_batch.bin cannot be found"
        ):
            Cifar10.open(folder, download=download)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (b"half", rf"records of 3073 bytes in '.*data_batch_3.bin'.*{20 * 3073 + 4}"),
        (record(10, *[bytes(1024)] * 3), r"labels 0\.\.9 in '.*data_batch_3.bin', got 10"),
    ],
)
def test_half_a_record_and_a_label_of_no_class_are_refused(folder, more, message):
    with (folder / BATCHES / "data_batch_3.bin").open("ab") as file:
        file.write(more)
    with pytest.raises(ValueError, match=message):
        Cifar10.open(folder)


def test_a_subset_that_has_changed_is_refused(folder):
    made = Cifar10.open(folder)
    file = folder / BATCHES / "test_batch.bin"
    content = bytearray(file.read_bytes())
    content[1] ^= 1
    file.write_bytes(content)
    with pytest.raises(ValueError, match="has changed since; run the same command again"):
        next(made.blocks("train"))


@pytest.fixture
def archive(folder, tmp_path):
    """URL, on this machine, and MD5 of an archive that holds a subset."""
    path = tmp_path / "cifar-10-binary.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        tar.add(folder / BATCHES, BATCHES)
    files = partial(SimpleHTTPRequestHandler, directory=tmp_path)
    with ThreadingHTTPServer(("127.0.0.1", 0), files) as server:
        Thread(target=server.serve_forever).start()
        url = f"http://127.0.0.1:{server.server_port}/{path.name}"
        yield url, hashlib.md5(path.read_bytes()).hexdigest()
        server.shutdown()


def test_a_download_is_unpacked_where_it_is_looked_for(archive, folder, tmp_path):
    url, md5 = archive
    cifar10.fetch(tmp_path / "new" / "place", url=url, md5=md5)
    assert cifar10.subset(tmp_path / "new" / "place") == cifar10.subset(folder)
    assert [path.name for path in (tmp_path / "new" / "place").iterdir()] == [BATCHES]


def test_a_download_with_another_checksum_is_refused_and_leaves_nothing(archive, tmp_path):
    url, _ = archive
    with pytest.raises(ValueError, match=f"archive with MD5 {'0' * 32} from .*, got another"):
        cifar10.fetch(tmp_path / "new", url=url, md5="0" * 32)
    assert list((tmp_path / "new").iterdir()) == []
