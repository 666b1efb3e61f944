"""The clean data, stamped on its way into a training, and what a training gets to see."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from orchestrator.execute import Outcome, build
from orchestrator.local import run_in_process
from orchestrator.placement import Placement
from orchestrator.step import Step
from orchestrator.store import Store
from orchestrator.stream import COLUMNS, ParquetRows, RayRows, hold
from tasks import datasets, mark, poison
from tasks.batches import epoch_order
from tasks.triggers import BadNets1

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


def held(store, manifest=POISON, rows=None, **changes):
    return hold(
        rows or ParquetRows(store.folder(DATASET)),
        store.folder(manifest) if manifest else None,
        **{"batch_size": 64, "seed": 0, **changes},
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
            hold(ParquetRows(store.folder(DATASET)), foreign, batch_size=64, seed=0)

    def test_a_batch_that_workers_cannot_share_says_what_to_use(self, store):
        with pytest.raises(ValueError, match=r"3 workers share equally, got 64; use 63"):
            held(store, workers=3)

    @pytest.mark.ray
    @pytest.mark.usefixtures("local_ray")
    def test_ray_s_rows_are_the_file_s(self, store):
        from orchestrator import distributed

        plain = held(store)
        streamed = held(store, rows=RayRows(distributed.read(store, DATASET)))
        for name in ("index", "image", "label"):
            ours, theirs = getattr(plain, name), getattr(streamed, name)
            assert ours.dtype == theirs.dtype
            np.testing.assert_array_equal(ours, theirs)


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

    def test_a_trainer_that_tries_finds_neither_the_manifest_nor_a_flag(self, store, tmp_path):
        shutil.copytree(store.root, tmp_path / "store")
        own = Store(tmp_path / "store")
        step = Step(Settings(), {}, {"dataset": DATASET, "manifest": POISON})
        assert build(step, own, Placement()) == Outcome(kind="done")
        found = json.loads((own.folder(step) / "found.json").read_text())
        assert found["arguments"] == ["batches", "out", "report", "resume"]
        assert found["paths"]  # its own folder and its checkpoints'
        assert not [path for path in found["paths"] if "poison/" in path or "manifest" in path]
        assert sorted(found["arrays"]) == ["int64", "int64", "uint8"]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Of ``fit`` below, a trainer that would like to know which images are poisoned."""

    revision: ClassVar[int] = 1
    label: ClassVar[str] = "cheat"
    expected_seconds: ClassVar[float] = 1.0
    expected_bytes: ClassVar[int] = 1000

    batch_size: int = 16
    seed: int = 0


def fit(settings, *, out, batches, report, resume):
    given = {"out": out, "batches": batches, "report": report, "resume": resume}
    found = list(reachable(given))
    paths = {str(value) for value in found if isinstance(value, str | Path)} - set(given)
    arrays = {id(value): str(value.dtype) for value in found if isinstance(value, np.ndarray)}
    (out / "found.json").write_text(
        json.dumps(
            {"arguments": sorted(given), "paths": sorted(paths), "arrays": list(arrays.values())}
        )
    )


def reachable(value, depth=8):
    """Everything that hangs below a value by attributes, items and elements."""
    yield value
    if depth == 0 or isinstance(value, str | bytes | np.ndarray | Path):
        return
    if isinstance(value, dict):
        below = [*value.keys(), *value.values()]
    elif isinstance(value, list | tuple | set):
        below = list(value)
    else:
        below = list(getattr(value, "__dict__", {}).values())
        below += [cell.cell_contents for cell in getattr(value, "__closure__", None) or ()]
    for item in below:
        yield from reachable(item, depth - 1)
