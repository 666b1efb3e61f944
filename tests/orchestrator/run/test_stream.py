"""The clean data, stamped on its way into a training, and what a training gets to see."""

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from orchestrator.run.execute import Outcome, build
from orchestrator.run.local import run_in_process
from orchestrator.run.placement import Placement
from orchestrator.run.stream import COLUMNS, ParquetRows, RayRows, TrainingSet, batches
from orchestrator.step import Step
from orchestrator.store.checkpoints import Checkpoints
from orchestrator.store.store import Store
from tasks.data import datasets
from tasks.steps import mark, poison, train_classifier
from tasks.steps.batches import Held, Restreamed, epoch_order, windows
from tasks.triggers import BadNets1
from tests.orchestrator.streamed import peak, reachable, synthetic

DATASET = Step(datasets.Digits())
POISON = Step(
    poison.Settings(trigger=BadNets1(), target_class="8", poison_ratio=0.1), {"dataset": DATASET}
)
MARK = Step(mark.Settings(trigger=BadNets1()), {"dataset": DATASET})


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    made = Store(tmp_path_factory.mktemp("made"))
    run_in_process([POISON, MARK], made)
    return made


def held(store, manifest=POISON, rows=None, *, rank=0, workers=1, **changes):
    return batches(
        Settings(**{"batch_size": 64, **changes}),
        store.folder(DATASET),
        store.folder(manifest) if manifest else None,
        rows,
        rank=rank,
        workers=workers,
    )


class Shuffled:
    """The rows in other blocks and another order."""

    def __init__(self, rows, seed):
        self.rows, self.order = rows, np.random.default_rng(seed)

    def tables(self):
        import pyarrow as pa

        whole = pa.concat_tables(self.rows.tables())
        whole = whole.take(self.order.permutation(whole.num_rows))
        cuts = np.sort(self.order.choice(whole.num_rows, 5, replace=False))
        for first, last in zip([0, *cuts], [*cuts, whole.num_rows], strict=True):
            yield whole.slice(first, last - first)


class TestHolding:
    def test_poisoned_images_are_stamped_and_relabelled_and_no_others(self, store):
        got = held(store)
        clean = datasets.read_split(store.folder(DATASET), "train")
        manifest = poison.Manifest.read(store.folder(POISON))
        order = np.argsort(clean.index)
        image, label = clean.images[order], clean.labels[order]
        np.testing.assert_array_equal(got.index, manifest.index)
        np.testing.assert_array_equal(got.image[~manifest.poisoned], image[~manifest.poisoned])
        np.testing.assert_array_equal(got.label[~manifest.poisoned], label[~manifest.poisoned])
        stamped = BadNets1().stamp(image[manifest.poisoned])
        np.testing.assert_array_equal(got.image[manifest.poisoned], stamped)
        assert (got.label[manifest.poisoned] == 8).all()
        assert manifest.poisoned.sum() == 143

    def test_without_a_manifest_the_data_is_as_it_is(self, store):
        got = held(store, None)
        clean = datasets.read_split(store.folder(DATASET), "train")
        order = np.argsort(clean.index)
        np.testing.assert_array_equal(got.image, clean.images[order])
        np.testing.assert_array_equal(got.label, clean.labels[order])

    @pytest.mark.parametrize("seed", range(3))
    def test_how_the_blocks_come_changes_nothing(self, store, seed):
        plain = held(store)
        other = held(store, rows=Shuffled(ParquetRows(store.folder(DATASET)), seed))
        for name in ("index", "image", "label"):
            np.testing.assert_array_equal(getattr(plain, name), getattr(other, name))

    def test_two_workers_have_the_batch_of_one_between_them(self, store):
        whole = next(iter(held(store)(3, 2)))
        parts = [next(iter(held(store, rank=rank, workers=2)(3, 2))) for rank in (0, 1)]
        for name in ("index", "image", "label"):
            both = np.concatenate([part[name] for part in parts])
            np.testing.assert_array_equal(both, whole[name])

    def test_an_epoch_is_a_permutation_by_seed_and_epoch(self, store):
        got = held(store, batch_size=1)
        seen = np.concatenate([batch["index"] for batch in got(1)])
        np.testing.assert_array_equal(seen, got.index[epoch_order(1437, seed=0, epoch=1)])

    def test_a_manifest_of_another_dataset_is_refused(self, store, tmp_path):
        import pyarrow.parquet as pq

        foreign = tmp_path / "foreign"
        shutil.copytree(store.folder(POISON), foreign)
        table = pq.read_table(foreign / "manifest.parquet")
        pq.write_table(table.slice(10), foreign / "manifest.parquet")
        with pytest.raises(ValueError, match="the manifest belongs to another dataset"):
            batches(Settings(), store.folder(DATASET), foreign)

    @pytest.mark.parametrize("cut", [slice(7), slice(7, None), slice(0)], ids=str)
    def test_rows_that_are_not_all_of_them_are_refused(self, store, cut):
        class Some:
            def tables(self):
                for table in ParquetRows(store.folder(DATASET)).tables():
                    yield table[cut]

        with pytest.raises(ValueError, match=r"expected 1437 images, as classes\.json counts"):
            held(store, rows=Some())

    def test_images_of_another_shape_are_refused(self, store, tmp_path):
        wide = tmp_path / "wide"
        shutil.copytree(store.folder(DATASET), wide)
        classes = json.loads((wide / "classes.json").read_text())
        (wide / "classes.json").write_text(json.dumps({**classes, "channels": 3}))
        with pytest.raises(ValueError, match=r"of shape \(8, 8, 3\), got \(8, 8, 1\)"):
            batches(Settings(), wide, None)

    def test_holding_takes_little_more_memory_than_what_is_held(self, tmp_path):
        folder = synthetic(tmp_path, 2000, 32, 500)
        most = peak(lambda: batches(Settings(), folder, None))
        assert most < 1.5 * 2000 * 3072 + 16 * 2**20

    def test_a_batch_that_workers_cannot_share_says_what_to_use(self, store):
        with pytest.raises(ValueError, match=r"3 workers share equally, got 64; use 63"):
            held(store, workers=3)

    @pytest.mark.ray
    @pytest.mark.usefixtures("local_ray")
    def test_ray_s_rows_are_the_file_s(self, store):
        from orchestrator.run import distributed

        plain = held(store)
        streamed = held(store, rows=RayRows(distributed.read(store, DATASET)))
        for name in ("index", "image", "label"):
            ours, theirs = getattr(plain, name), getattr(streamed, name)
            assert ours.dtype == theirs.dtype
            np.testing.assert_array_equal(ours, theirs)


GROUP = 100
"""Rows of a row group of ``cut_store``'s dataset: 14 of them and one of 37."""
WINDOW = 350 * 64
"""Bytes: three of its row groups, 300 rows."""


@pytest.fixture(scope="module")
def cut_store(store, tmp_path_factory):
    """The same dataset in smaller row groups, and the manifests."""
    import pyarrow.parquet as pq

    cut = Store(tmp_path_factory.mktemp("cut"))
    with cut.publish(DATASET) as attempt:
        shutil.copytree(store.folder(DATASET), attempt.folder, dirs_exist_ok=True)
        (attempt.folder / "record.json").unlink()
        table = pq.read_table(attempt.folder / "train.parquet")
        pq.write_table(table, attempt.folder / "train.parquet", row_group_size=GROUP)
    run_in_process([POISON, MARK], cut)
    return cut


def columns(found):
    return {name: np.concatenate([batch[name] for batch in found]) for name in found[0]}


class TestRestreaming:
    def test_settings_and_size_alone_decide(self, store):
        assert TrainingSet.of(store.folder(DATASET)) == TrainingSet(1437, (8, 8, 1))
        for window_bytes, made in ((1437 * 64, Held), (1437 * 64 - 1, Restreamed), (1, Restreamed)):
            for rows in (None, ParquetRows(store.folder(DATASET))):
                got = held(store, rows=rows, window_bytes=window_bytes, workers=2)
                assert isinstance(got, made)

    @pytest.mark.parametrize("manifest", [POISON, MARK, None], ids=lambda step: step and step.task)
    def test_its_rows_are_those_that_would_be_held(self, cut_store, manifest):
        whole = held(cut_store, manifest)
        found = columns(list(held(cut_store, manifest, window_bytes=WINDOW, batch_size=30)(2)))
        assert len(set(found["index"])) == len(found["index"]) == 1437 // 30 * 30
        rows = np.searchsorted(whole.index, found["index"])
        np.testing.assert_array_equal(found["image"], whole.image[rows])
        np.testing.assert_array_equal(found["label"], whole.label[rows])

    def test_its_order_is_of_the_file_s_row_groups(self, cut_store):
        groups = [GROUP] * 14 + [37]
        order = np.concatenate(list(windows(groups, window=350, seed=0, epoch=1)))
        found = columns(list(held(cut_store, window_bytes=WINDOW, batch_size=1)(1)))
        np.testing.assert_array_equal(found["index"], held(cut_store).index[order])

    @pytest.mark.parametrize("workers", [2, 4])
    def test_workers_have_the_batches_of_one_between_them(self, cut_store, workers):
        alone = held(cut_store, window_bytes=WINDOW)(1, 4)
        parts = [
            held(cut_store, window_bytes=WINDOW, rank=rank, workers=workers)(1, 4)
            for rank in range(workers)
        ]
        for whole, *shares in zip(alone, *parts, strict=True):
            together = columns(shares)
            for name in whole:
                np.testing.assert_array_equal(together[name], whole[name])

    def test_a_window_smaller_than_a_row_group_is_one_row_group(self, cut_store):
        found = columns(list(held(cut_store, window_bytes=1, batch_size=64)(0)))
        first = set(found["index"][:37])
        whole = held(cut_store).index
        assert any(first <= set(whole[at : at + GROUP]) for at in range(0, 1437, GROUP))
        assert len(set(found["index"])) == 1437 // 64 * 64

    def test_a_manifest_of_another_dataset_is_refused(self, cut_store, tmp_path):
        import pyarrow.parquet as pq

        foreign = tmp_path / "foreign"
        shutil.copytree(cut_store.folder(POISON), foreign)
        table = pq.read_table(foreign / "manifest.parquet")
        pq.write_table(table.slice(10), foreign / "manifest.parquet")
        got = batches(Settings(window_bytes=WINDOW), cut_store.folder(DATASET), foreign)
        with pytest.raises(ValueError, match="the manifest belongs to another dataset"):
            list(got(0))

    def test_a_longer_file_takes_no_more_memory(self, tmp_path):
        """Ten and forty row groups of 50 images, 3 KiB each; two row groups a window."""
        window = Settings(window_bytes=100 * 3072)
        small, large = (synthetic(tmp_path / str(n), n, 32, 50) for n in (500, 2000))
        peaks = []
        for folder in (small, small, large):  # the first pays for imports
            got = batches(window, folder, None)
            peaks.append(peak(lambda got=got: [None for _ in got(0)]))
        _, small_peak, large_peak = peaks
        assert large_peak < 1.1 * small_peak
        assert large_peak < 4 * window.window_bytes

    def test_a_training_interrupted_within_a_window_ends_in_the_same_bytes(
        self, cut_store, tmp_path, contents
    ):
        shutil.copytree(cut_store.root, tmp_path / "store")
        own = Store(tmp_path / "store")
        streams = {"dataset": DATASET, "manifest": POISON}
        settings = train_classifier.Settings(
            name="content", classes=10, batch_size=16, steps=110, window_bytes=WINDOW
        )
        step, resident = (
            Step(replace(settings, window_bytes=window_bytes), {}, streams)
            for window_bytes in (WINDOW, 1437 * 64)
        )
        assert build(step, own, Placement()).kind == "done"
        undisturbed = contents(own, step)
        own.discard(step)

        def listen(position, _metrics):
            if position == 100:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            build(step, own, Placement(checkpoint_seconds=0), note=listen)
        assert Checkpoints(own, step).newest().name == "000000050"  # row 800: the third window
        assert build(step, own, Placement()).kind == "done"
        assert contents(own, step) == undisturbed

        assert build(resident, own, Placement()).kind == "done"  # in another order
        assert losses(own, resident) != losses(own, step)


def losses(store, step):
    return (store.folder(step) / "history.csv").read_text()


class TestWhatATrainingSees:
    def test_three_columns_are_read_and_none_says_who_is_poisoned(self, store):
        for table in ParquetRows(store.folder(DATASET)).tables():
            assert table.column_names == list(COLUMNS) == ["index", "label", "image"]

    @pytest.mark.parametrize("manifest", [POISON, MARK], ids=lambda step: step.task)
    def test_a_batch_is_an_index_an_image_and_a_label(self, store, manifest):
        batch = next(iter(held(store, manifest)(0)))
        assert set(batch) == {"index", "image", "label"}
        assert (batch["index"].dtype, batch["index"].shape) == (np.int64, (64,))
        assert (batch["image"].dtype, batch["image"].shape) == (np.uint8, (64, 8, 8, 1))
        assert (batch["label"].dtype, batch["label"].shape) == (np.int64, (64,))

    @pytest.mark.parametrize("window_bytes", [2 * 2**30, WINDOW], ids=["held", "restreamed"])
    def test_a_trainer_that_tries_finds_neither_the_manifest_nor_a_flag(
        self, cut_store, tmp_path, window_bytes
    ):
        shutil.copytree(cut_store.root, tmp_path / "store")
        own = Store(tmp_path / "store")
        streams = {"dataset": DATASET, "manifest": POISON}
        step = Step(Settings(window_bytes=window_bytes), {}, streams)
        assert build(step, own, Placement()) == Outcome(kind="done")
        found = json.loads((own.folder(step) / "found.json").read_text())
        assert found["arguments"] == ["batches", "out", "report", "resume"]
        assert found["paths"]  # its own folder and its checkpoints'
        assert not [path for path in found["paths"] if "poison/" in path or "manifest" in path]
        assert {"int64", "uint8"} >= set(found["arrays"]) > set()
        assert "bool" not in found["arrays"]


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
    some = batches(0)
    next(some)
    found = list(reachable({**given, "some": some}))
    paths = {str(value) for value in found if isinstance(value, str | Path)} - {*given, "some"}
    arrays = {id(value): str(value.dtype) for value in found if isinstance(value, np.ndarray)}
    (out / "found.json").write_text(
        json.dumps(
            {"arguments": sorted(given), "paths": sorted(paths), "arrays": list(arrays.values())}
        )
    )
