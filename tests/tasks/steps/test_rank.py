"""The order of a folder's images, from tables made by hand."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tasks.data import images
from tasks.steps import detect, rank

LABELS = [0, 0, 0, 1, 1, 1, 2]
SUSPICION = [-3.0, 5.0, 0.5, 5.0, -7.0, 0.25, 4.0]
KEPT = [1.0, 0.5, 0.0, 1.0, 1.0, 0.0, 0.0]
INDEX = [2, 3, 5, 7, 11, 13, 17]
FILES = ["a/0.png", 'a/1, "so".png', "a/2\n2.png", "b/0\r.png", "b/1.png", "b/2é.png", "c/0.png"]
# By hand: 5 (index 3 before 7), 4, 0.5, 0.25, -3, -7.
BY_RANK = [1, 3, 6, 2, 5, 0, 4]
NAMES = ("apples, red", "b", "c")


def image(place, side, channels=3):
    """A picture that tells which one it is."""
    return np.full((side, side, channels), 10 * place + 5, np.uint8)


@pytest.fixture
def dataset(tmp_path):
    """A function that writes a dataset's folder by hand."""

    def write(side=8, channels=3, files=FILES):
        folder = tmp_path / "dataset"
        folder.mkdir(exist_ok=True)
        table = images.to_table(
            index=np.array(INDEX),
            label=np.array(LABELS),
            caption=[None] * len(INDEX),
            images=np.stack([image(place, side, channels) for place in range(len(INDEX))]),
            path=files,
        )
        pq.write_table(table, folder / "train.parquet")
        counts = {"train": [3, 3, 1], "test": [0, 0, 0]}
        shape = {"image_size": side, "channels": channels}
        (folder / "classes.json").write_text(json.dumps({"names": NAMES, "counts": counts} | shape))
        return folder

    return write


@pytest.fixture
def suspicion(tmp_path):
    """A function that writes what ``detect`` would, in any order of the rows."""

    def write(order=None, masks=None):
        folder = tmp_path / "suspicion"
        folder.mkdir(exist_ok=True)
        pngs = [None] * len(INDEX) if masks is None else images.encode(masks)
        kept = [None] * len(INDEX) if masks is None else KEPT
        columns = {"index": INDEX, "label": LABELS, "suspicion": SUSPICION}
        columns |= {"mask": pngs, "kept": kept}
        table = pa.table(
            {
                name: [values[row] for row in order or range(len(INDEX))]
                for name, values in columns.items()
            },
            schema=detect.SCHEMA,
        )
        pq.write_table(table, folder / "rows.parquet")
        return folder

    return write


@pytest.fixture
def prepared(tmp_path):
    folder = tmp_path / "prepared"
    folder.mkdir()
    measured = {"training_accuracy": 6 / 7, "n": 7, "largest_class_share": 3 / 7}
    (folder / "classifier.json").write_text(json.dumps(measured))
    return folder


def ranked(tmp_path, dataset, suspicion, prepared, **settings):
    out = tmp_path / "out"
    out.mkdir(exist_ok=True)
    rank.run(
        rank.Settings(detector="cd", **settings),
        dataset=dataset,
        suspicion=suspicion,
        prepared=prepared,
        out=out,
    )
    with np.load(out / "groups.npz", allow_pickle=False) as groups:
        return out, {name: groups[name] for name in groups.files}


def which(pictures):
    """The places that pictures of ``image`` tell."""
    return (pictures[:, 0, 0, 0] // 10).tolist()


def test_images_are_ranked_by_suspicion_and_equal_ones_by_index(
    tmp_path, dataset, suspicion, prepared
):
    out, _ = ranked(tmp_path, dataset(), suspicion(), prepared)
    assert rank.read(out) == [
        (FILES[place], NAMES[LABELS[place]], SUSPICION[place], number)
        for number, place in enumerate(BY_RANK, start=1)
    ]


def test_the_row_says_what_a_hand_counts(tmp_path, dataset, suspicion, prepared):
    out, _ = ranked(tmp_path, dataset(), suspicion(), prepared)
    assert json.loads((out / "metrics.json").read_text()) == {
        "detector": "cd",
        "n": 7,
        "classes": 3,
        "training_accuracy": 6 / 7,
        "largest_class_share": 3 / 7,
        "distinct": 6,
        # Of -7, -3, 0.25, 0.5, 4, 5, 5: a quarter of the way is between the 2nd and the 3rd.
        "suspicion_min": -7.0,
        "suspicion_q25": -1.375,
        "suspicion_median": 0.5,
        "suspicion_q75": 4.5,
        "suspicion_q99": 5.0,
        "suspicion_max": 5.0,
        "answers_kept": None,
    }


def test_pictures_are_of_the_most_suspicious_overall_and_of_each_class(
    tmp_path, dataset, suspicion, prepared
):
    _, groups = ranked(tmp_path, dataset(), suspicion(), prepared, shown=4, shown_per_class=2)
    assert {name: which(pictures) for name, pictures in groups.items()} == {
        "most_suspicious": BY_RANK[:4],
        "class_0": [1, 2],
        "class_1": [3, 5],
        "class_2": [6],
    }
    np.testing.assert_array_equal(groups["class_2"], image(6, 8)[None])


def test_masks_go_with_their_pictures(tmp_path, dataset, suspicion, prepared):
    masks = np.stack([image(place, 8, channels=1) for place in range(len(INDEX))])
    given = suspicion([4, 0, 6, 2, 5, 1, 3], masks=masks)
    out, groups = ranked(tmp_path, dataset(), given, prepared, shown_per_class=1)
    assert json.loads((out / "metrics.json").read_text())["answers_kept"] == 0.5
    assert set(groups) == {
        f"{name}{masked}"
        for name in ("most_suspicious", "class_0", "class_1", "class_2")
        for masked in ("", "_masks")
    }
    for name in ("most_suspicious", "class_1"):
        assert which(groups[f"{name}_masks"]) == which(groups[name])
        assert groups[f"{name}_masks"].shape[1:] == (8, 8, 1)


def test_suspicions_of_other_images_are_refused(tmp_path, dataset, suspicion, prepared):
    some = suspicion(range(5))
    with pytest.raises(ValueError, match="each of the dataset's 7 training images, got 5"):
        ranked(tmp_path, dataset(), some, prepared)
