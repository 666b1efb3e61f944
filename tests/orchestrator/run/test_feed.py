"""Images that Ray Data decodes elsewhere: the same batches, errors, and an end."""

import os
import shutil
import threading
from dataclasses import dataclass, field

import numpy as np
import pyarrow.parquet as pq
import pytest

from orchestrator.run import stream
from orchestrator.run.feed import Feed, Source
from orchestrator.run.placement import Placement
from orchestrator.run.stream import batches
from tasks.data import datasets
from tasks.steps import train_classifier
from tests.orchestrator.conducted import DATASET, POISON

pytestmark = pytest.mark.ray
SETTINGS = train_classifier.Settings(
    name="content", classes=10, batch_size=32, window_bytes=350 * 64
)
"""Three windows and a half an epoch."""


@pytest.fixture(scope="module")
def store(poisoned_store, copied):
    """The digits in row groups of 100, and a manifest."""
    cut = copied(poisoned_store)
    cut.discard(DATASET)
    with cut.publish(DATASET) as attempt:
        shutil.copytree(poisoned_store.folder(DATASET), attempt.folder, dirs_exist_ok=True)
        (attempt.folder / "record.json").unlink()
        table = pq.read_table(attempt.folder / "train.parquet")
        pq.write_table(table, attempt.folder / "train.parquet", row_group_size=100)
    return cut


def made(store, *, cpus=0, keep=False, **worker):
    read = Feed(Source(store, DATASET, POISON, keep=keep), cpus) if cpus else None
    folders = store.folder(DATASET), store.folder(POISON)
    return batches(SETTINGS, *folders, read=read, keep=keep, **worker)


def equal(found, expected):
    """Whether batches are the same, and how many there are."""
    for one, other in zip(found, expected, strict=True):
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])
    return len(found)


def joined(workers):
    """The global batches of some workers."""
    for parts in zip(*workers, strict=True):
        yield {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


@pytest.mark.usefixtures("local_ray")
@pytest.mark.parametrize(("workers", "cpus"), [(1, 1), (1, 2), (2, 1)])
def test_batches_do_not_depend_on_who_decodes_for_how_many(store, workers, cpus):
    """Of two epochs and a half of 44 batches, from the middle of the first."""
    placed = [
        made(store, cpus=cpus, rank=rank, workers=workers)(20, 110) for rank in range(workers)
    ]
    expected = list(made(store)(20, 110))
    found = list(joined(placed))
    assert len(found) == len(expected) == 90
    for one, other in zip(found, expected, strict=True):
        for name in one:
            np.testing.assert_array_equal(one[name], other[name])


@pytest.mark.usefixtures("local_ray")
def test_an_error_in_a_task_is_the_training_s(store, copied):
    broken = copied(store)
    file = broken.folder(DATASET) / "train.parquet"
    table = pq.read_table(file)
    foreign = table.set_column(0, "index", [np.arange(5000, 5000 + table.num_rows)])
    pq.write_table(foreign.cast(table.schema), file, row_group_size=100)
    with pytest.raises(ValueError, match="the manifest belongs to another dataset"):
        next(made(broken, cpus=1)(0, 3))


@dataclass(frozen=True)
class Far(Source):
    """A set whose store is seen by one process alone."""

    process: int = field(default_factory=os.getpid)

    def row_groups(self):
        if os.getpid() != self.process:
            raise FileNotFoundError("no such folder")
        return super().row_groups()


@pytest.mark.usefixtures("local_ray")
def test_what_a_node_that_does_not_see_the_store_was_to_decode_is_decoded_by_the_training(store):
    far = Feed(Far(store, DATASET, POISON), 1)
    folders = store.folder(DATASET), store.folder(POISON)
    found = batches(SETTINGS, *folders, read=far)(20, 60)
    assert equal(list(found), list(made(store)(20, 60))) == 40


@pytest.mark.usefixtures("local_ray")
def test_a_training_that_ends_early_leaves_no_thread(store):
    drawn = made(store, cpus=1)(0, 400)
    next(drawn)
    assert [thread for thread in threading.enumerate() if thread.name == "windows ahead"]
    drawn.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "windows ahead"]


class TestKeepingThemDecoded:
    @pytest.fixture(autouse=True)
    def folder(self, tmp_path, monkeypatch):
        monkeypatch.setenv("CASTLEWALLS_CACHE", str(tmp_path))
        return tmp_path

    def test_the_second_epoch_decodes_nothing_and_has_the_same_images(
        self, store, folder, monkeypatch
    ):
        expected = list(made(store)(0, 88))
        kept = list(made(store, keep=True)(0, 44))
        files = sorted(folder.glob("decoded/*/*"))
        assert [file.name for file in files] == sorted(f"{group}.npy" for group in range(15))
        with monkeypatch.context() as patch:
            patch.setattr(stream.images, "from_column", None)
            kept += made(store, keep=True)(44, 88)
        assert equal(kept, expected) == 88
        clean = np.load(files[0])
        whole = datasets.read_split(store.folder(DATASET), "train").images
        np.testing.assert_array_equal(clean, whole[:100])

    @pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"text"])
    def test_a_damaged_file_is_decoded_anew(self, store, folder, content):
        place = folder / "decoded" / store.folder(DATASET).name
        place.mkdir(parents=True)
        for group in range(15):
            (place / f"{group}.npy").write_bytes(content)
        assert equal(list(made(store, keep=True)(0, 44)), list(made(store)(0, 44))) == 44
        assert all(np.load(file).dtype == np.uint8 for file in place.iterdir())

    def test_a_full_disk_keeps_nothing(self, store, folder, monkeypatch):
        monkeypatch.setattr(stream, "LEFT_FREE", 2**60)
        assert equal(list(made(store, keep=True)(0, 44)), list(made(store)(0, 44))) == 44
        assert not list(folder.glob("decoded/*/*"))


@pytest.mark.parametrize(
    ("cpus", "workers", "asked", "given"),
    [
        (1, 1, 2, 0),  # no CPU is left: the training decodes
        (2, 1, 2, 1),
        (8, 1, 2, 2),
        (8, 2, 4, 4),
        (8, 6, 4, 2),
        (0.5, 1, 4, 0),
    ],
)
def test_a_training_is_admitted_with_the_cpus_of_its_data_that_there_are(
    cpus, workers, asked, given
):
    from tests.orchestrator.run.test_on_ray import HELD, RESTREAMED

    placement = Placement(training_workers=workers, data_cpus=asked)
    bundle = placement.bundle(RESTREAMED, {"CPU": cpus})
    assert bundle.data_cpus == given
    assert bundle.total["CPU"] == pytest.approx(workers * bundle.cpus + given)
    assert placement.bundle(HELD, {"CPU": cpus}).data_cpus == 0
