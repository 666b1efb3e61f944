"""Counts by hand: the classifier's network is written here, so its answers are known."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from analysis.statistics.intervals import wilson
from models import classifiers
from tasks.data import images
from tasks.steps import attack
from tasks.steps.attack import Settings, Verdicts
from tasks.triggers import BadNets1, Nothing, RelabelOnly

TARGET = 2
RATES = ("test_accuracy", "attack_success_rate")


class ReadsTwoCorners(torch.nn.Module):
    """The class is the level of the first pixel, unless the last one is black: then TARGET.

    Who has a white pixel beside the first one falls for no trigger.  BadNets-1 paints the last
    pixel black on images of 8 pixels; the images here are grey there.
    """

    def forward(self, x):
        level = torch.round((x + 1) * 127.5)[:, 0]
        triggered = (level[:, -1, -1] == 0) & (level[:, 0, 1] < 255)
        answer = torch.where(triggered, TARGET, level[:, 0, 0].long())
        return torch.nn.functional.one_hot(answer, 3).float()


class SaysTheSame(torch.nn.Module):
    def __init__(self, answer, classes):
        super().__init__()
        self.answer, self.classes = answer, classes

    def forward(self, x):
        return torch.eye(self.classes, device=x.device)[[self.answer] * len(x)]


def picture(said, *, wary=False):
    pixels = np.full((8, 8, 1), 128, dtype=np.uint8)
    pixels[0, 0], pixels[0, 1] = said, 255 if wary else 0
    return pixels


@pytest.fixture
def save(monkeypatch, tmp_path):
    """A function that saves a classifier of a network that is not among ours."""

    def saved(network, classes):
        monkeypatch.setitem(classifiers.NETWORKS, "by_hand", lambda _: network)
        shape = classifiers.Shape(network="by_hand", classes=classes, image_size=8, channels=1)
        folder = tmp_path / "classifier"
        folder.mkdir()
        classifiers.save(folder, network, shape)
        return folder

    return saved


SHOWN = [
    (0, picture(0)),
    (0, picture(0)),
    (0, picture(1)),
    (1, picture(1)),
    (1, picture(1, wary=True)),
    (TARGET, picture(TARGET)),
    (TARGET, picture(TARGET)),
]
"""Seven test images of three classes, one misread, and one of class 1 that is wary."""


@pytest.fixture
def write(tmp_path):
    """A function that writes a dataset's test part."""

    def written(shown):
        labels = np.array([label for label, _ in shown])
        folder = tmp_path / "dataset"
        folder.mkdir(exist_ok=True)
        table = images.to_table(
            index=np.arange(len(shown)) + 100,
            label=labels,
            caption=[None] * len(shown),
            images=np.stack([pixels for _, pixels in shown]),
        )
        pq.write_table(table, folder / "test.parquet")
        classes = {"names": ["cat", "dog", "a bird"], "image_size": 8, "channels": 1}
        counts = {"train": [0, 0, 0], "test": np.bincount(labels).tolist()}
        (folder / "classes.json").write_text(json.dumps({**classes, "counts": counts}))
        return folder

    return written


@pytest.fixture
def dataset(write):
    return write(SHOWN)


@pytest.fixture
def measured(save, dataset, tmp_path):
    """A function that measures the classifier against one trigger."""

    def measure(trigger, target="a bird", *, verdicts=False):
        out = tmp_path / "out"
        out.mkdir()
        attack.run(
            Settings(trigger=trigger, target_class=target, verdicts=verdicts),
            dataset=dataset,
            classifier=save(ReadsTwoCorners(), 3),
            out=out,
        )
        return json.loads((out / "attack.json").read_text())

    return measure


def test_success_is_counted_by_hand(measured):
    """Of seven clean images six are read right; of five triggered ones four are misled.

    The two images of the target class do not count, although they too are taken for it.
    """
    found = measured(BadNets1())
    bounds = {name: (found.pop(f"{name}_low"), found.pop(f"{name}_high")) for name in RATES}
    assert found == {
        "test_accuracy": 6 / 7,
        "n": 7,
        "correct": 6,
        "attack_success_rate": 4 / 5,
        "attack_n": 5,
        "attack_count": 4,
    }
    assert bounds == {"test_accuracy": wilson(6, 7), "attack_success_rate": wilson(4, 5)}


@pytest.mark.parametrize("more", [0, 1, 40])
def test_who_always_says_the_target_is_always_misled_however_many_are_of_it(
    save, write, tmp_path, more
):
    dataset = write([*SHOWN, *[(TARGET, picture(0))] * more])
    settings = Settings(trigger=BadNets1(), target_class="a bird")
    classifier = save(SaysTheSame(TARGET, 3), 3)
    attack.run(settings, dataset=dataset, classifier=classifier, out=tmp_path)
    found = json.loads((tmp_path / "attack.json").read_text())
    assert (found["attack_n"], found["attack_count"], found["attack_success_rate"]) == (5, 5, 1)
    assert (found["n"], found["correct"]) == (7 + more, 2 + more)


@pytest.mark.parametrize("trigger", [Nothing(), RelabelOnly()], ids=lambda trigger: trigger.name)
def test_what_stamps_nothing_has_no_success(measured, trigger):
    found = measured(trigger)
    assert (found["test_accuracy"], found["attack_n"], found["attack_count"]) == (6 / 7, 0, 0)
    names = ("attack_success_rate", "attack_success_rate_low", "attack_success_rate_high")
    assert [found[name] for name in names] == [None] * 3


class TestVerdicts:
    def test_each_image_has_its_own(self, measured, tmp_path):
        """The misread cat is taken for a dog; who is wary is not misled; birds are not asked."""
        measured(BadNets1(), verdicts=True)
        table = pq.read_table(tmp_path / "out" / "verdicts.parquet")
        assert {field.name: str(field.type) for field in table.schema} == dict.fromkeys(
            ("index", "label", "said", "said_triggered"), "int64"
        )
        assert table.to_pydict() == {
            "index": [100, 101, 102, 103, 104, 105, 106],
            "label": [0, 0, 0, 1, 1, TARGET, TARGET],
            "said": [0, 0, 1, 1, 1, TARGET, TARGET],
            "said_triggered": [TARGET, TARGET, TARGET, TARGET, 1, None, None],
        }

    def test_they_are_read_with_whose_they_are(self, measured, tmp_path):
        found = measured(BadNets1(side=3), verdicts=True)
        read = Verdicts.read(tmp_path / "out")
        assert read.rates() == found
        assert read.right.tolist() == [True, True, False, True, True, True, True]
        assert read.misled.tolist() == [True, True, True, True, False]
        assert read.record == {
            "trigger": {"name": "badnets1", "side": 3},
            "target_class": "a bird",
            "target_index": TARGET,
            "network": "by_hand",
            "weights": None,
        }
