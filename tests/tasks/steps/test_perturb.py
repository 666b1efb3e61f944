"""Noise for the digits' target class, found with a classifier of clean digits."""

import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from models.classifiers import Classifier
from tasks.data import datasets, images
from tasks.steps import perturb
from tasks.steps.perturb import Settings, at_once

SETTINGS = Settings(target_class="8", epsilon=16, step_size=2, steps=10)


@pytest.fixture(scope="module")
def noise(digits, content_judge, tmp_path_factory):
    """A function that runs the task with some settings and returns the folder."""

    def run(**changes):
        out = tmp_path_factory.mktemp("perturb")
        perturb.run(replace(SETTINGS, **changes), dataset=digits, classifier=content_judge, out=out)
        return out

    return run


@pytest.fixture(scope="module")
def made(noise):
    return noise()


@pytest.fixture(scope="module")
def eights(digits):
    train = datasets.read_split(digits, "train")
    chosen = train.labels == 8
    return train.index[chosen], train.images[chosen]


def test_no_level_changes_by_more_than_epsilon_or_leaves_the_range(made, eights):
    _, pictures = eights
    delta = np.load(made / "noise.npy").astype(int)
    assert np.abs(delta).max() == 16
    noisy = pictures + delta
    assert (noisy.min(), noisy.max()) == (0, 255)
    assert (delta % 2 == 0)[(noisy > 0) & (noisy < 255)].mean() > 0.99  # whole steps of 2


def test_the_true_label_becomes_less_likely(made, eights, content_judge):
    index, pictures = eights
    table = pq.read_table(made / "noise.parquet")
    noisy = (pictures + np.load(made / "noise.npy").astype(int)).astype(np.uint8)
    network = Classifier.load(content_judge, torch.device("cpu"))
    before, after = (
        network.probabilities(images.to_float(some), 256)[:, 8] for some in (pictures, noisy)
    )
    np.testing.assert_allclose(table["probability_before"], before, rtol=1e-5)
    np.testing.assert_allclose(table["probability_after"], after, rtol=1e-5)
    assert (after < before).all()
    found = json.loads((made / "perturb.json").read_text())
    assert found["n"] == len(index) == 139
    assert found["probability_before"] == pytest.approx(before.mean(dtype=float), rel=1e-6)
    assert found["probability_after"] == pytest.approx(after.mean(dtype=float), rel=1e-6)
    assert found["probability_after"] < found["probability_before"] - 0.1
    for name, some in (("before", pictures), ("after", noisy)):
        said = network.probabilities(images.to_float(some), 256).argmax(axis=1)
        assert found[f"right_{name}"] == (said == 8).mean()


def test_what_is_perturbed_together_are_so_many_images_and_a_rest(noise, made, eights, monkeypatch):
    sizes = []
    found = perturb.perturbed

    def counted(settings, network, pictures, target):
        sizes.append(len(pictures))
        return found(settings, network, pictures, target)

    monkeypatch.setattr(perturb, "MOST_AT_ONCE", 50)
    monkeypatch.setattr(perturb, "perturbed", counted)
    folder = noise()
    assert sizes == [50, 50, 39]
    # But for signs of gradients next to zero, which rounding decides.
    differs = np.load(folder / "noise.npy") != np.load(made / "noise.npy")
    assert differs.mean() < 0.01


@pytest.mark.parametrize(("side", "images"), [(8, 256), (32, 256), (64, 64), (512, 1), (516, 1)])
def test_large_images_are_perturbed_fewer_at_a_time(side, images):
    assert at_once(side) == images
