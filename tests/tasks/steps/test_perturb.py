"""Noise for the digits' target class, found with a classifier of clean digits."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from models.classifiers import Classifier
from tasks.data import images
from tasks.steps.perturb import at_once


def test_no_level_changes_by_more_than_epsilon_or_leaves_the_range(noise, clean):
    delta = np.load(noise / "noise.npy").astype(int)
    assert np.abs(delta).max() == 16
    noisy = clean.images[clean.labels == 8] + delta
    assert (noisy.min(), noisy.max()) == (0, 255)
    assert (delta % 2 == 0)[(noisy > 0) & (noisy < 255)].mean() > 0.99  # whole steps of 2


def test_the_true_label_becomes_less_likely(noise, clean, content_judge):
    pictures = clean.images[clean.labels == 8]
    table = pq.read_table(noise / "noise.parquet")
    noisy = (pictures + np.load(noise / "noise.npy").astype(int)).astype(np.uint8)
    network = Classifier.load(content_judge, torch.device("cpu"))
    before, after = (
        network.probabilities(images.to_float(some), 256)[:, 8] for some in (pictures, noisy)
    )
    np.testing.assert_allclose(table["probability_before"], before, rtol=1e-5)
    np.testing.assert_allclose(table["probability_after"], after, rtol=1e-5)
    assert (after < before).all()
    found = json.loads((noise / "perturb.json").read_text())
    assert found["n"] == len(pictures) == 139
    assert found["probability_before"] == pytest.approx(before.mean(dtype=float), rel=1e-6)
    assert found["probability_after"] == pytest.approx(after.mean(dtype=float), rel=1e-6)
    assert found["probability_after"] < found["probability_before"] - 0.1
    for name, some in (("before", pictures), ("after", noisy)):
        said = network.probabilities(images.to_float(some), 256).argmax(axis=1)
        assert found[f"right_{name}"] == (said == 8).mean()


@pytest.mark.parametrize(("side", "images"), [(8, 256), (32, 256), (64, 64), (512, 1), (516, 1)])
def test_large_images_are_perturbed_fewer_at_a_time(side, images):
    assert at_once(side) == images
