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


def pictures(channels):
    """Each tells which one it is."""
    levels = np.arange(5, 75, 10, dtype=np.uint8)
    return np.broadcast_to(levels[:, None, None, None], (7, 8, 8, channels)).copy()


def which(shown):
    """The places that some of ``pictures`` tell."""
    return (shown[:, 0, 0, 0] // 10).tolist()


@pytest.fixture
def ranked(tmp_path):
    """A function that ranks rows of ``detect`` in some order and returns the folder and groups."""

    def run(order=range(7), masks=None, **settings):
        table = images.to_table(
            index=np.array(INDEX),
            label=np.array(LABELS),
            caption=[None] * 7,
            images=pictures(3),
            path=FILES,
        )
        pq.write_table(table, tmp_path / "train.parquet")
        shape = {"image_size": 8, "channels": 3}
        counts = {"train": [3, 3, 1], "test": [0, 0, 0]}
        classes = {"names": NAMES, "counts": counts, **shape}
        (tmp_path / "classes.json").write_text(json.dumps(classes))
        columns = {
            "index": INDEX,
            "label": LABELS,
            "suspicion": SUSPICION,
            "mask": [None] * 7 if masks is None else images.encode(masks),
            "kept": [None] * 7 if masks is None else KEPT,
        }
        rows = pa.table(columns, schema=detect.SCHEMA).take([*order])
        pq.write_table(rows, tmp_path / "rows.parquet")
        measured = {"training_accuracy": 6 / 7, "n": 7, "largest_class_share": 3 / 7}
        (tmp_path / "classifier.json").write_text(json.dumps(measured))
        inputs = dict.fromkeys(("dataset", "suspicion", "prepared", "out"), tmp_path)
        rank.run(rank.Settings(detector="cd", **settings), **inputs)
        with np.load(tmp_path / "groups.npz", allow_pickle=False) as groups:
            return tmp_path, dict(groups)

    return run


def test_images_are_ranked_by_suspicion_and_equal_ones_by_index(ranked):
    out, _ = ranked()
    assert rank.read(out) == [
        (FILES[place], NAMES[LABELS[place]], SUSPICION[place], number)
        for number, place in enumerate(BY_RANK, start=1)
    ]
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


def test_pictures_are_of_the_most_suspicious_overall_and_of_each_class(ranked):
    _, groups = ranked(shown=4, shown_per_class=2)
    assert {name: which(shown) for name, shown in groups.items()} == {
        "most_suspicious": BY_RANK[:4],
        "class_0": [1, 2],
        "class_1": [3, 5],
        "class_2": [6],
    }
    np.testing.assert_array_equal(groups["class_2"], pictures(3)[6:])


def test_masks_go_with_their_pictures(ranked):
    out, groups = ranked([4, 0, 6, 2, 5, 1, 3], pictures(1), shown_per_class=1)
    assert json.loads((out / "metrics.json").read_text())["answers_kept"] == 0.5
    names = {"most_suspicious", "class_0", "class_1", "class_2"}
    assert set(groups) == names | {f"{name}_masks" for name in names}
    for name in names:
        assert which(groups[f"{name}_masks"]) == which(groups[name])
        assert groups[f"{name}_masks"].shape[1:] == (8, 8, 1)


def test_suspicions_of_other_images_are_refused(ranked):
    with pytest.raises(ValueError, match="each of the dataset's 7 training images, got 5"):
        ranked(range(5))
