"""Counts by hand: the classifier's network is written here, so its answers are known."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from analysis.intervals import wilson
from models import classifiers
from tasks import attack, datasets, images
from tasks.attack import Settings
from tasks.triggers import BadNets1, Blend, Nothing, RelabelOnly

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


class SaysTheTarget(torch.nn.Module):
    def forward(self, x):
        return torch.eye(10, device=x.device)[[8] * len(x)]


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


@pytest.fixture
def dataset(tmp_path):
    """Seven test images of three classes, one misread, and one of class 1 that is wary."""
    shown = [
        (0, picture(0)),
        (0, picture(0)),
        (0, picture(1)),
        (1, picture(1)),
        (1, picture(1, wary=True)),
        (TARGET, picture(TARGET)),
        (TARGET, picture(TARGET)),
    ]
    labels = np.array([label for label, _ in shown])
    folder = tmp_path / "dataset"
    folder.mkdir()
    table = images.to_table(
        index=np.arange(7),
        label=labels,
        caption=[None] * 7,
        images=np.stack([pixels for _, pixels in shown]),
    )
    pq.write_table(table, folder / "test.parquet")
    classes = {"names": ["cat", "dog", "a bird"], "image_size": 8, "channels": 1}
    counts = {"train": [0, 0, 0], "test": np.bincount(labels).tolist()}
    (folder / "classes.json").write_text(json.dumps({**classes, "counts": counts}))
    return folder


@pytest.fixture
def measured(save, dataset, tmp_path):
    """A function that measures the classifier against one trigger."""

    def measure(trigger, target="a bird"):
        out = tmp_path / "out"
        out.mkdir()
        attack.run(
            Settings(trigger=trigger, target_class=target),
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


def test_a_trigger_that_changes_nothing_misleads_nobody(measured):
    """The two images of the target class would be taken for it; they are not counted."""
    found = measured(Blend(additive=True, alpha=1e-6))
    assert (found["attack_count"], found["attack_n"]) == (0, 5)


@pytest.mark.parametrize("trigger", [Nothing(), RelabelOnly()], ids=lambda trigger: trigger.name)
def test_what_stamps_nothing_has_no_success(measured, trigger):
    found = measured(trigger)
    assert (found["test_accuracy"], found["attack_n"], found["attack_count"]) == (6 / 7, 0, 0)
    names = ("attack_success_rate", "attack_success_rate_low", "attack_success_rate_high")
    assert [found[name] for name in names] == [None] * 3


def test_a_class_that_is_not_there_is_refused(measured):
    with pytest.raises(ValueError, match="one of the classes cat, dog, a bird, got 'fish'"):
        measured(BadNets1(), target="fish")


def test_without_test_images_nothing_is_measured(save, dataset, tmp_path):
    pq.write_table(pq.read_table(dataset / "test.parquet").slice(0, 0), dataset / "test.parquet")
    settings = Settings(trigger=BadNets1(), target_class="dog")
    with pytest.raises(ValueError, match="expected test images"):
        attack.run(settings, dataset=dataset, classifier=save(ReadsTwoCorners(), 3), out=tmp_path)


def test_a_test_part_of_several_batches_is_counted_whole(save, digits, tmp_path):
    """360 digits, and a classifier that takes all of them for an 8."""
    settings = Settings(trigger=Blend(), target_class="8")
    attack.run(settings, dataset=digits, classifier=save(SaysTheTarget(), 10), out=tmp_path)
    found = json.loads((tmp_path / "attack.json").read_text())
    eights = datasets.read_classes(digits).counts["test"][8]
    assert (found["n"], found["correct"]) == (360, eights)
    assert (found["attack_n"], found["attack_success_rate"]) == (360 - eights, 1)


def test_the_path_says_which_attack():
    assert Settings(trigger=BadNets1(), target_class="a bird").label == "badnets1-to-a-bird"
