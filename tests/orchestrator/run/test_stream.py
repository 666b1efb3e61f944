"""The clean data, stamped on its way into a training, and what a training gets to see."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from orchestrator.run.execute import build
from orchestrator.run.placement import Placement
from orchestrator.run.stream import ParquetRows, TrainingSet, batches
from orchestrator.step import Step
from tasks.data import datasets
from tasks.steps import poison
from tasks.steps.batches import Held, Restreamed, windows
from tasks.triggers import BadNets1
from tests.orchestrator.conducted import DATASET, DONE, POISON, STREAMS
from tests.orchestrator.streamed import peak, reachable, synthetic


@pytest.fixture(scope="module")
def store(poisoned_store):
    return poisoned_store


def held(store, manifest=POISON, rows=None, *, rank=0, workers=1, **changes):
    return batches(
        Settings(**{"batch_size": 64, **changes}),
        store.folder(DATASET),
        store.folder(manifest) if manifest else None,
        rows,
        rank=rank,
        workers=workers,
    )


class Cut(ParquetRows):
    """The rows in other blocks and another order, or only some of them."""

    places = (slice(700, None), slice(300, 700), slice(300))

    def tables(self):
        whole = pa.concat_tables(super().tables())
        yield from (whole[place] for place in self.places)


class Some(Cut):
    places = (slice(7, None),)


class TestHolding:
    def test_poisoned_images_are_stamped_and_relabelled_and_no_others(self, store):
        got, untouched = held(store), held(store, None)
        clean = datasets.read_split(store.folder(DATASET), "train")
        manifest = poison.Manifest.read(store.folder(POISON))
        order = np.argsort(clean.index)
        image, label = clean.images[order], clean.labels[order]
        np.testing.assert_array_equal(untouched.image, image)
        np.testing.assert_array_equal(untouched.label, label)
        np.testing.assert_array_equal(got.index, manifest.index)
        np.testing.assert_array_equal(got.image[~manifest.poisoned], image[~manifest.poisoned])
        np.testing.assert_array_equal(got.label[~manifest.poisoned], label[~manifest.poisoned])
        stamped = BadNets1().stamp(image[manifest.poisoned])
        np.testing.assert_array_equal(got.image[manifest.poisoned], stamped)
        assert (got.label[manifest.poisoned] == 8).all()
        assert manifest.poisoned.sum() == 143

    def test_how_the_blocks_come_changes_nothing(self, store):
        plain = held(store)
        other = held(store, rows=Cut(store.folder(DATASET)))
        for name in ("index", "image", "label"):
            np.testing.assert_array_equal(getattr(plain, name), getattr(other, name))

    def test_rows_that_are_not_all_of_them_are_refused(self, store):
        with pytest.raises(ValueError, match=r"expected 1437 images, as classes\.json counts"):
            held(store, rows=Some(store.folder(DATASET)))


GROUP = 100
"""Rows of a row group of ``cut_store``'s dataset: 14 of them and one of 37."""
WINDOW = 350 * 64
"""Bytes: three of its row groups, 300 rows."""


@pytest.fixture(scope="module")
def cut_store(store, copied):
    """The same dataset in smaller row groups, and the manifests."""
    cut = copied(store)
    cut.discard(DATASET)
    with cut.publish(DATASET) as attempt:
        shutil.copytree(store.folder(DATASET), attempt.folder, dirs_exist_ok=True)
        (attempt.folder / "record.json").unlink()
        table = pq.read_table(attempt.folder / "train.parquet")
        pq.write_table(table, attempt.folder / "train.parquet", row_group_size=GROUP)
    return cut


def columns(found):
    return {name: np.concatenate([batch[name] for batch in found]) for name in found[0]}


class TestRestreaming:
    def test_settings_and_size_alone_decide(self, store):
        assert TrainingSet.of(store.folder(DATASET)) == TrainingSet(
            store.folder(DATASET) / "train.parquet", 1437, (8, 8, 1)
        )
        for window_bytes, made in ((1437 * 64, Held), (1437 * 64 - 1, Restreamed)):
            for rows in (None, ParquetRows(store.folder(DATASET))):
                got = held(store, rows=rows, window_bytes=window_bytes, workers=2)
                assert isinstance(got, made)

    @pytest.mark.parametrize("manifest", [POISON, None], ids=["poisoned", "clean"])
    def test_its_rows_are_those_that_would_be_held(self, cut_store, manifest):
        whole = held(cut_store, manifest)
        streamed = held(cut_store, manifest, window_bytes=WINDOW, batch_size=30)
        found = columns(list(streamed(2 * 47, 3 * 47)))
        assert len(set(found["index"])) == len(found["index"]) == 1437 // 30 * 30
        rows = np.searchsorted(whole.index, found["index"])
        np.testing.assert_array_equal(found["image"], whole.image[rows])
        np.testing.assert_array_equal(found["label"], whole.label[rows])
        groups = [GROUP] * 14 + [37]  # in the order of the file's row groups
        order = np.concatenate(list(windows(groups, window=350, seed=0, epoch=2)))
        np.testing.assert_array_equal(found["index"], whole.index[order][: len(rows)])

    def test_a_longer_file_takes_no_more_memory(self, tmp_path):
        """Ten and forty row groups of 50 images, 3 KiB each; two row groups a window."""
        window = Settings(window_bytes=100 * 3072)
        small, large = (synthetic(tmp_path / str(n), n, 32, 50) for n in (500, 2000))
        peaks = []
        for folder in (small, small, large):  # the first pays for imports
            got = batches(window, folder, None)
            peaks.append(peak(lambda got=got: [None for _ in got(0, got.per_epoch)]))
        _, small_peak, large_peak = peaks
        assert large_peak < 1.1 * small_peak
        assert large_peak < 4 * window.window_bytes


@pytest.mark.parametrize("window_bytes", [2 * 2**30, WINDOW], ids=["held", "restreamed"])
def test_a_trainer_that_tries_finds_neither_the_manifest_nor_a_flag(
    cut_store, copied, window_bytes
):
    own = copied(cut_store)
    step = Step(Settings(window_bytes=window_bytes), {}, STREAMS)
    assert build(step, own, Placement()) == DONE
    found = json.loads((own.folder(step) / "found.json").read_text())
    assert found["arguments"] == ["batches", "out", "report", "resume"]
    assert found["paths"]  # its own folder and its checkpoints'
    assert not [path for path in found["paths"] if "poison/" in path or "manifest" in path]
    assert {"int64", "uint8"} >= set(found["arrays"]) > set()
    assert "bool" not in found["arrays"]
    batch = next(iter(held(cut_store, window_bytes=window_bytes)(0, 1)))
    assert {name: (array.dtype, array.shape) for name, array in batch.items()} == {
        "index": (np.int64, (64,)),
        "image": (np.uint8, (64, 8, 8, 1)),
        "label": (np.int64, (64,)),
    }


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Of ``fit`` below, a trainer that would like to know which images are poisoned."""

    revision: ClassVar[int] = 1
    label: ClassVar[str] = "cheat"
    expected_seconds: ClassVar[float] = 1.0
    expected_bytes: ClassVar[int] = 1000

    batch_size: int = 16
    seed: int = 0
    window_bytes: int = 2 * 2**30


def fit(settings, *, out, batches, report, resume):
    given = {"out": out, "batches": batches, "report": report, "resume": resume}
    some = batches(0, 2)
    next(some)
    found = list(reachable({**given, "some": some}))
    paths = {str(value) for value in found if isinstance(value, str | Path)} - {*given, "some"}
    arrays = {id(value): str(value.dtype) for value in found if isinstance(value, np.ndarray)}
    (out / "found.json").write_text(
        json.dumps(
            {"arguments": sorted(given), "paths": sorted(paths), "arrays": list(arrays.values())}
        )
    )
