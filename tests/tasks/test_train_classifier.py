from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from tasks import datasets, images, train_classifier
from tasks.batches import Held, own_rows
from tasks.train_classifier import Settings, augmented

SETTINGS = Settings(name="content", classes=10, erase=True, steps=60, batch_size=32)
CHANGES = {
    "as it was": {},
    "as the authors": {
        "optimizer": "sgd",
        "learning_rate": 1e-2,
        "weight_decay": 5e-4,
        "schedule": "cosine",
        "flip": True,
        "shift": 2,
    },
}


@pytest.fixture
def fit(hold, silent, tmp_path_factory):
    """A function that trains on clean images and returns the folder."""

    def run(settings, *, report=silent, resume=None):
        out = tmp_path_factory.mktemp("out")
        batches = hold(settings)
        train_classifier.fit(settings, out=out, batches=batches, report=report, resume=resume)
        return out

    return run


@pytest.mark.parametrize("changes", CHANGES.values(), ids=CHANGES)
def test_interrupted_equals_uninterrupted(fit, contents, tmp_path, changes):
    settings = replace(SETTINGS, **changes)
    whole = fit(settings, report=lambda step, _, save: step == 50 and save(tmp_path))
    assert contents(fit(settings, resume=tmp_path)) == contents(whole)


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


def test_the_authors_judge_takes_two_steps(silent, tmp_path):
    settings = Settings(
        name="content",
        classes=10,
        image_size=32,
        channels=3,
        network="resnet18",
        steps=2,
        batch_size=4,
        learning_rate=1e-2,
        weight_decay=5e-4,
        optimizer="sgd",
        schedule="cosine",
        flip=True,
        shift=4,
    )
    pixels = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
    batches = Held(index=np.arange(8), image=pixels, label=np.arange(8), batch_size=4, seed=0)
    train_classifier.fit(settings, out=tmp_path, batches=batches, report=silent, resume=None)
    assert len((tmp_path / "history.csv").read_text().splitlines()) == 2
    assert (tmp_path / "model.safetensors").stat().st_size > 44e6


@pytest.mark.parametrize(
    "changes",
    [
        {"erase": True, "flip": False, "shift": 0},
        {"erase": False, "flip": True, "shift": 0},
        {"erase": False, "flip": False, "shift": 2},
        {"erase": True, "flip": True, "shift": 2},
    ],
    ids=["erase", "flip", "shift", "all"],
)
def test_the_workers_together_change_what_one_changes(hold, changes):
    settings = replace(SETTINGS, **changes)
    given = next(hold(settings)(0))["image"]
    whole = augmented(given, settings, 3, slice(0, 32))
    parts = [
        augmented(
            next(hold(settings, rank=rank, workers=2)(0))["image"],
            settings,
            3,
            own_rows(32, rank=rank, workers=2),
        )
        for rank in (0, 1)
    ]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    assert (whole != given).any()
    assert (whole != augmented(given, settings, 4, slice(0, 32))).any()


def test_no_augmentation_changes_nothing(hold):
    settings = replace(SETTINGS, erase=False)
    given = next(hold(settings)(0))["image"]
    assert augmented(given, settings, 3, slice(0, 32)) is given


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": "vgg"}, "small, resnet18, got 'vgg'"),
        ({"classes": 1}, "at least 2 classes"),
        ({"optimizer": "adam"}, "optimizer of adamw, sgd, got 'adam'"),
        ({"schedule": "warmup_cosine"}, "schedule of one_cycle, cosine, got 'warmup_cosine'"),
        ({"steps": 3}, "at least 10 steps"),
        ({"steps": 1, "schedule": "cosine"}, "at least 2 steps, which cosine needs, got 1"),
        ({"shift": -1}, r"0\.\.7 pixels"),
        ({"shift": 8}, r"0\.\.7 pixels, less than a side, got 8"),
        ({"window_bytes": 0}, "window_bytes of at least 1"),
    ],
)
def test_settings_that_cannot_train_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        replace(SETTINGS, **changes)


def test_settings_of_before_keep_their_names():
    new = {"optimizer", "schedule", "flip", "shift", "window_bytes"}
    since = {field.name for field in fields(Settings) if field.metadata.get("since") == 2}
    assert since == new


def test_the_ways_to_train_that_settings_allow_are_there():
    from models.training import OPTIMIZERS, SCHEDULES

    assert train_classifier.OPTIMIZERS == tuple(OPTIMIZERS)
    assert set(train_classifier.SCHEDULES) <= set(SCHEDULES)
