"""The training set as the defender has it: what is written for a detector, and that it goes."""

# ruff: noqa: ARG002 - detectors are given more than these look at

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bench.local import run_in_process
from orchestrator.run.execute import Outcome, build
from orchestrator.run.placement import Placement
from orchestrator.run.stream import write_training_set
from orchestrator.step import Step
from orchestrator.store.store import Store
from tasks.data import datasets, images
from tasks.detectors.detector import Prepared
from tasks.steps import detect, poison, prepare, train_classifier
from tests.orchestrator.conducted import DATASET, POISON, STREAMS
from tests.orchestrator.streamed import reachable
from tests.pictures import make_folder

CLASSIFIER = Step(
    train_classifier.Settings(name="classifier", classes=10, steps=40, batch_size=64), {}, STREAMS
)


@dataclass(frozen=True, kw_only=True)
class Brightness:
    """Bright images are suspicious."""

    name: ClassVar[str] = "brightness"

    def prepare(self, images, labels, classifier):
        return Prepared(classifier)

    def suspicion(self, images, labels, index, state):
        return images.mean(axis=(1, 2, 3))


def detection(detector, **changes):
    """The two steps of a detector on the training set."""
    prepared = Step(prepare.Settings(detector=detector), {"classifier": CLASSIFIER}, STREAMS)
    settings = detect.Settings(detector=detector, image_set="training", **changes)
    return prepared, Step(settings, {"prepared": prepared}, STREAMS)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A store with everything up to a prepared detector."""
    store = Store(tmp_path_factory.mktemp("made"))
    run_in_process([detection(Brightness())[0]], store)
    return store


@pytest.fixture
def store(made, copied):
    return copied(made)


@pytest.fixture
def write(made, tmp_path):
    """A function that writes a training set and returns its folder."""

    def written(manifest=POISON, dataset=None):
        folder = tmp_path / f"training-set-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        listed = made.folder(manifest) if manifest else None
        write_training_set(folder, dataset or made.folder(DATASET), listed)
        return folder

    return written


def defender_s(store):
    """Index, images, labels of ``poison.stamp``, and which of them are poisoned."""
    clean = datasets.read_split(store.folder(DATASET), "train")
    listed = poison.Manifest.read(store.folder(POISON))
    stamped = poison.stamp(clean.index, clean.images, clean.labels, listed)
    return clean.index, *stamped, listed.poisoned


@pytest.fixture(autouse=True)
def scratch(tmp_path, monkeypatch):
    """Where this process has its temporary folders."""
    (tmp_path / "scratch").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "scratch"))


def left_behind(store):
    """Whatever private and temporary folders there are."""
    private = [path for task in store.root.iterdir() for path in task.glob(".*")]
    return private + list(Path(tempfile.gettempdir()).iterdir())


class TestWriting:
    def test_pixels_and_labels_are_exactly_what_stamping_makes_of_them(self, made, write):
        rows = pq.read_table(write() / "rows.parquet")
        index, image, label, poisoned = defender_s(made)
        np.testing.assert_array_equal(rows["index"], index)
        np.testing.assert_array_equal(rows["label"], label)
        np.testing.assert_array_equal(images.from_column(rows["image"]), image)
        assert poisoned.sum() == 143

    def test_nothing_tells_which_rows_are_poisoned_but_their_own_pixels_and_labels(
        self, made, write
    ):
        """What differs from the clean set's file is that, row by row, and no other byte is free."""
        folders = [write(manifest) for manifest in (POISON, None)]
        assert [path.name for path in folders[0].iterdir()] == ["rows.parquet"]
        files = [folder / "rows.parquet" for folder in folders]
        assert pq.read_schema(files[0]).equals(images.DATASET_SCHEMA, check_metadata=True)
        about, clean_about = (described(file) for file in files)
        assert about == clean_about
        *_, poisoned = defender_s(made)
        rows, clean = (pq.read_table(file).to_pylist() for file in files)
        for row, clean_row, flag in zip(rows, clean, poisoned, strict=True):
            assert set(row) == {"index", "label", "caption", "image"}
            assert row["index"] == clean_row["index"]
            assert row["caption"] is row["image"]["path"] is None
            assert (row == clean_row) == (not flag)
        pngs = [row["image"]["bytes"] for row in rows]
        assert images.encode(images.decode(pngs)) == pngs

    def test_names_of_files_which_tell_true_classes_are_left_out(self, tmp_path, write):
        folder = tmp_path / "dataset"
        folder.mkdir()
        opened = datasets.ImageFolder.open(
            make_folder(tmp_path / "pictures", per_class=4), image_size=8
        )
        datasets.run(opened, out=folder)
        named = pq.read_table(folder / "train.parquet")["image"].to_pylist()
        assert all(image["path"] for image in named)
        rows = pq.read_table(write(None, folder) / "rows.parquet")["image"].to_pylist()
        assert len(rows) == len(named)
        assert {image["path"] for image in rows} == {None}


def described(file):
    """What a Parquet file says beside its values."""
    metadata = pq.read_metadata(file)
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    rows = [(group.num_rows, str(group.sorting_columns)) for group in groups]
    return metadata.schema.to_arrow_schema().to_string(), metadata.metadata, rows


FOUND = []
"""What the spies saw, in this process."""


@dataclass(frozen=True, kw_only=True)
class Spy(Brightness):
    """Would like to know which images are poisoned, and looks at whoever called it, too."""

    name: ClassVar[str] = "spy"

    def prepare(self, *given):
        FOUND.append(observed((*given, dict(sys._getframe(1).f_locals))))
        return super().prepare(*given)

    def suspicion(self, *given):
        FOUND.append(observed((*given, dict(sys._getframe(1).f_locals))))
        return super().suspicion(*given)


def observed(given):
    """Arrays, tables, paths, and what lies in the folders, of everything that can be reached."""
    found = list(reachable(given))
    paths = {value for value in found if isinstance(value, Path)}
    files = {file for path in paths if path.is_dir() for file in path.rglob("*")}
    return {
        "arrays": [value for value in found if isinstance(value, np.ndarray)],
        "tables": [value for value in found if isinstance(value, pa.Table)],
        "texts": {value for value in found if isinstance(value, str)},
        "paths": paths,
        "files": {file.name for file in files},
    }


def test_nothing_that_it_can_reach_tells_which_images_are_poisoned(made, store):
    """Arrays and columns of all images say their number, pixels or label, and nothing else."""
    FOUND.clear()
    run_in_process(detection(Spy(), batch_size=1437), store)
    prepared, detected = FOUND
    *given, _ = defender_s(made)
    for seen in (prepared, detected):
        found = list(seen["arrays"])
        for table in seen["tables"]:
            assert table.column_names == ["index", "label", "image"]
            found += [table["index"].to_numpy(), table["label"].to_numpy()]
        of_all = [array for array in found if array.shape[:1] == (1437,)]
        assert len(of_all) >= 2
        for array in of_all:
            assert any(np.array_equal(array, own) for own in given)
            assert array.dtype != np.bool_
        said = {str(path) for path in seen["paths"]} | seen["texts"]
        assert not [text for text in said if "poison/" in text or "manifest" in text]
        assert not [text for text in said if POISON.digest in text or DATASET.digest in text]
        assert "manifest.parquet" not in seen["files"]
    assert "rows.parquet" in prepared["files"]  # it was there to be looked at


def test_a_detection_interrupted_between_two_batches_leaves_none(store):
    _, step = detection(Brightness(), batch_size=100)

    def end_at_300(position, _metrics):
        if position == 300:
            assert len(left_behind(store)) == 2  # the attempt and the training set
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        build(step, store, Placement(), note=end_at_300)
    assert left_behind(store) == []
    assert build(step, store, Placement()) == Outcome(kind="done")
