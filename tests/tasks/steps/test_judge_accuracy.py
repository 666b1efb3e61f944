"""Counts by hand: two real classifiers whose weights are set so that their answers are known."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from models import classifiers
from tasks.data import images
from tasks.steps import judge_accuracy
from tasks.steps.judge_accuracy import measure_trigger
from tasks.triggers import BadNets1
from tasks.triggers.patch import template_match
from tasks.triggers.unicolor import Unicolor

SHAPE = {"network": "small", "image_size": 8, "channels": 1}


@pytest.fixture
def judge(tmp_path):
    """A function that saves a judge which always answers 1 (or 0)."""

    def save(name, classes, answer):
        shape = classifiers.Shape(classes=classes, **SHAPE)
        network = classifiers.build(shape)
        with torch.no_grad():
            for weights in network.parameters():
                weights.zero_()
            network[-1].bias[1] = 1.0 if answer else -1.0
        (tmp_path / name).mkdir()
        classifiers.save(tmp_path / name, network, shape)
        return tmp_path / name

    return save


@pytest.fixture
def three_digits(tmp_path):
    """A test part of three images: a 0 and two 1s, of which the last happens to be stamped."""
    pictures = np.zeros((3, 8, 8, 1), dtype=np.uint8)
    pictures[2:] = BadNets1().stamp(pictures[2:])
    table = images.to_table(
        index=np.arange(3), label=np.array([0, 1, 1]), caption=[None] * 3, images=pictures
    )
    pq.write_table(table, tmp_path / "test.parquet")
    return tmp_path


@pytest.fixture
def measured(judge, three_digits, tmp_path):
    """A function that measures judges who always say class 1 and always see a trigger."""

    def measure(trigger):
        out = tmp_path / "out"
        out.mkdir()
        judge_accuracy.run(
            judge_accuracy.Settings(trigger=trigger),
            dataset=three_digits,
            content_judge=judge("content", 3, answer=1),
            trigger_judge=judge("trigger", 2, answer=1),
            out=out,
        )
        return json.loads((out / "judges.json").read_text())

    return measure


def test_judges_of_one_answer_are_counted_by_hand(measured):
    content = {"accuracy": 2 / 3, "n": 3, "confusion": [[0, 1, 0], [0, 2, 0], [0, 0, 0]]}
    assert measured(BadNets1()) == {
        "content": {"clean": content, "stamped": content},
        "trigger": {
            "false_positive_rate": 1.0,
            "false_negative_rate": 0.0,
            "balanced_accuracy": 0.5,
            "n_clean": 3,
            "n_stamped": 3,
            "false_positives": 3,
            "false_negatives": 0,
        },
        "template_match": {
            "false_positive_rate": 1 / 3,
            "false_negative_rate": 0.0,
            "balanced_accuracy": 1 - 1 / 3 / 2,
            "n_clean": 3,
            "n_stamped": 3,
            "false_positives": 1,
            "false_negatives": 0,
        },
    }


def test_the_template_match_errs_as_often_as_counted_by_hand():
    """Black on black: every clean image looks stamped; the second stamp is painted over."""
    black, clean = Unicolor(color=(0, 0, 0)), np.zeros((4, 8, 8, 3), dtype=np.uint8)
    stamped = black.stamp(clean[:2] + 200)
    stamped[1] = 200
    measured = measure_trigger(template_match(black, clean), template_match(black, stamped))
    assert (measured["false_positives"], measured["n_clean"]) == (4, 4)
    assert (measured["false_negatives"], measured["n_stamped"]) == (1, 2)
    assert measured["balanced_accuracy"] == 1 - (1 + 0.5) / 2


def test_trained_judges_pass_the_thresholds_of_the_dissection(judges):
    measured = json.loads((judges / "judges.json").read_text())
    assert measured["content"]["clean"]["accuracy"] > 0.9
    assert measured["trigger"]["balanced_accuracy"] > 0.99
    assert measured["template_match"]["balanced_accuracy"] > 0.99
    for pictures in ("clean", "stamped"):
        assert np.sum(measured["content"][pictures]["confusion"]) == 360
