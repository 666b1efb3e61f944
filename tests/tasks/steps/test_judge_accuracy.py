"""Counts by hand: two real classifiers whose weights are set so that their answers are known."""

import json

import numpy as np
import pytest
import torch

from models import classifiers
from tasks.steps import judge_accuracy
from tasks.triggers import BadNets1
from tests.tasks.made import write_images

SHAPE = {"network": "small", "image_size": 8, "channels": 1}


@pytest.fixture
def judge(tmp_path):
    """A function that saves a judge which always answers 1."""

    def save(name, classes):
        shape = classifiers.Shape(classes=classes, **SHAPE)
        network = classifiers.build(shape)
        with torch.no_grad():
            for weights in network.parameters():
                weights.zero_()
            network[-1].bias[1] = 1.0
        (tmp_path / name).mkdir()
        classifiers.save(tmp_path / name, network, shape)
        return tmp_path / name

    return save


def test_judges_of_one_answer_are_counted_by_hand(judge, tmp_path):
    """They always say class 1 and see a trigger in a 0 and two 1s, the last of which is stamped."""
    pictures = np.zeros((3, 8, 8, 1), dtype=np.uint8)
    pictures[2:] = BadNets1().stamp(pictures[2:])
    write_images(tmp_path / "test.parquet", pictures, [0, 1, 1])
    given = {"content_judge": judge("content", 3), "trigger_judge": judge("trigger", 2)}
    settings = judge_accuracy.Settings(trigger=BadNets1())
    judge_accuracy.run(settings, dataset=tmp_path, **given, out=tmp_path)
    content = {"accuracy": 2 / 3, "n": 3, "confusion": [[0, 1, 0], [0, 2, 0], [0, 0, 0]]}
    assert json.loads((tmp_path / "judges.json").read_text()) == {
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


def test_trained_judges_pass_the_thresholds_of_the_dissection(judges):
    measured = json.loads((judges / "judges.json").read_text())
    assert measured["content"]["clean"]["accuracy"] > 0.9
    assert measured["trigger"]["balanced_accuracy"] > 0.99
    assert measured["template_match"]["balanced_accuracy"] > 0.99
    for pictures in ("clean", "stamped"):
        assert np.sum(measured["content"][pictures]["confusion"]) == 360
