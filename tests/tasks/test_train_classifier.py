from dataclasses import replace

import numpy as np
import pytest
import torch

from tasks import datasets, images, train_classifier
from tasks.batches import own_rows
from tasks.train_classifier import Settings, erased

SETTINGS = Settings(name="content", classes=10, erase=True, steps=60, batch_size=32)


@pytest.fixture
def fit(hold, silent, tmp_path_factory):
    """A function that trains on clean images and returns the folder."""

    def run(settings, *, report=silent, resume=None):
        out = tmp_path_factory.mktemp("out")
        batches = hold(settings)
        train_classifier.fit(settings, out=out, batches=batches, report=report, resume=resume)
        return out

    return run


def test_interrupted_equals_uninterrupted(fit, contents, tmp_path):
    whole = fit(SETTINGS, report=lambda step, _, save: step == 50 and save(tmp_path))
    assert contents(fit(SETTINGS, resume=tmp_path)) == contents(whole)


def test_the_weights_come_back_as_they_were_saved(digits, content_judge):
    from models.classifiers import Classifier

    test = datasets.read_split(digits, "test")
    judge = Classifier.load(content_judge, torch.device("cpu"))
    probabilities = judge.probabilities(images.to_float(test.images), 100)
    assert probabilities.shape == (360, 10)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    assert (probabilities.argmax(axis=1) == test.labels).mean() > 0.9


def test_resnet_trains_too(fit):
    from models.classifiers import Classifier

    out = fit(replace(SETTINGS, network="resnet18", steps=10, batch_size=4))
    judge = Classifier.load(out, torch.device("cpu"))
    assert judge.probabilities(np.zeros((2, 1, 8, 8), dtype=np.float32), 2).shape == (2, 10)


def test_the_workers_together_erase_what_one_erases(hold):
    whole = erased(next(hold(SETTINGS)(0))["image"], SETTINGS, 3, slice(0, 32))
    parts = [
        erased(
            next(hold(SETTINGS, rank=rank, workers=2)(0))["image"],
            SETTINGS,
            3,
            own_rows(32, rank=rank, workers=2),
        )
        for rank in (0, 1)
    ]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": "vgg"}, "small, resnet18, got 'vgg'"),
        ({"classes": 1}, "at least 2 classes"),
        ({"steps": 3}, "at least 10 steps"),
    ],
)
def test_settings_that_cannot_train_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(SETTINGS, **changes)
