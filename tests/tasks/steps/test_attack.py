"""Counts by hand: the classifier's network is written here, so its answers are known."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from analysis.statistics.intervals import wilson
from models import classifiers
from tasks.steps import attack
from tasks.steps.attack import Settings, Verdicts
from tasks.triggers import BadNets1, Nothing
from tests.tasks.made import write_images

TARGET = 2
RATES = ("test_accuracy", "attack_success_rate")
SHOWN = [(0, 0, 0), (0, 0, 0), (0, 1, 0), (1, 1, 0), (1, 1, 255), (TARGET, TARGET, 0)]
SHOWN.append((TARGET, TARGET, 0))
"""Label, first and second pixel of seven images: one is misread, and one of class 1 is wary."""


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


class SaysTheTarget(torch.nn.Module):
    def forward(self, x):
        return torch.eye(3, device=x.device)[[TARGET] * len(x)]


@pytest.fixture
def measured(monkeypatch, tmp_path):
    """A function that measures a classifier against one trigger."""

    def measure(trigger, network=ReadsTwoCorners, shown=SHOWN, **settings):
        monkeypatch.setitem(classifiers.NETWORKS, "by_hand", lambda _: network())
        shape = classifiers.Shape(network="by_hand", classes=3, image_size=8, channels=1)
        for name in ("classifier", "dataset", "out"):
            (tmp_path / name).mkdir()
        classifiers.save(tmp_path / "classifier", network(), shape)
        pictures = np.full((len(shown), 8, 8, 1), 128, dtype=np.uint8)
        labels = [label for label, _, _ in shown]
        pictures[:, 0, :2, 0] = [pixels for _, *pixels in shown]
        index = range(100, 100 + len(shown))
        write_images(tmp_path / "dataset" / "test.parquet", pictures, labels, index)
        classes = {"names": ["cat", "dog", "a bird"], "image_size": 8, "channels": 1}
        classes["counts"] = {"train": [0, 0, 0], "test": np.bincount(labels).tolist()}
        (tmp_path / "dataset" / "classes.json").write_text(json.dumps(classes))
        chosen = Settings(trigger=trigger, target_class="a bird", **settings)
        folders = {name: tmp_path / name for name in ("classifier", "dataset", "out")}
        attack.run(chosen, **folders)
        return json.loads((tmp_path / "out" / "attack.json").read_text())

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


@pytest.mark.parametrize("more", [0, 40])
def test_who_always_says_the_target_is_always_misled_however_many_are_of_it(measured, more):
    found = measured(BadNets1(), SaysTheTarget, SHOWN + [(TARGET, 0, 0)] * more)
    assert (found["attack_n"], found["attack_count"], found["attack_success_rate"]) == (5, 5, 1)
    assert (found["n"], found["correct"]) == (7 + more, 2 + more)


def test_what_stamps_nothing_has_no_success(measured):
    found = measured(Nothing())
    assert (found["test_accuracy"], found["attack_n"], found["attack_count"]) == (6 / 7, 0, 0)
    names = ("attack_success_rate", "attack_success_rate_low", "attack_success_rate_high")
    assert [found[name] for name in names] == [None] * 3


def test_each_image_has_its_verdict_and_they_say_whose_they_are(measured, tmp_path):
    """The misread cat is taken for a dog; who is wary is not misled; birds are not asked."""
    found = measured(BadNets1(side=3), verdicts=True)
    assert pq.read_table(tmp_path / "out" / "verdicts.parquet").to_pydict() == {
        "index": [100, 101, 102, 103, 104, 105, 106],
        "label": [0, 0, 0, 1, 1, TARGET, TARGET],
        "said": [0, 0, 1, 1, 1, TARGET, TARGET],
        "said_triggered": [TARGET, TARGET, TARGET, TARGET, 1, None, None],
    }
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
