"""Projected gradient descent on classifiers whose best noise is known."""

import numpy as np
import pytest
import torch

from models.pgd import ascend
from tests.models.made import linear, small


def images(*values):
    return np.array(values, dtype=np.float32).reshape(-1, 1, 2, 2)


TWO = linear([[1, -2, 0, 0], [-1, 1, 0, 0]])
"""For class 0 against 1 count the differences of the rows: 2, -3, 0, 0."""


def test_of_two_linear_classes_the_best_corner_of_the_box_is_found():
    x = images([0.5, 0, 0.25, -0.5], [-0.25, 0.25, 0, 0])
    found = ascend(TWO, x, np.array([0, 0]), epsilon=0.25, step_size=0.0625, steps=4)
    corner = np.array([-0.25, 0.25, 0, 0]).reshape(1, 1, 2, 2)
    np.testing.assert_array_equal(found, x + corner)


def test_nothing_leaves_the_range_of_images():
    x = images([-1, 1, 0, 0], [-0.9, 0.9, 0, 0])
    found = ascend(TWO, x, np.array([0, 0]), epsilon=0.5, step_size=0.1, steps=9)
    np.testing.assert_array_equal(found, images([-1, 1, 0, 0], [-1, 1, 0, 0]))


@pytest.fixture
def network():
    return small(3)


@pytest.fixture
def batch():
    draws = np.random.default_rng(0)
    return draws.uniform(-1, 1, (6, 1, 8, 8)).astype(np.float32), draws.integers(0, 3, 6)


def test_the_first_step_is_the_sign_of_a_numerical_gradient(network, batch):
    x, labels = batch
    found = ascend(network, x, labels, epsilon=1, step_size=0.5, steps=1)
    network.network.double()
    row, size = 2, 1e-4
    for place in ((0, 0, 0), (0, 3, 4), (0, 7, 7)):
        losses = []
        for way in (size, -size):
            moved = torch.from_numpy(x[row : row + 1]).double()
            moved[(0, *place)] += way
            logits = network.network(moved)
            losses.append(-logits.log_softmax(1)[0, labels[row]].item())
        wanted = (x[row][place] + 0.5 * np.sign(losses[0] - losses[1])).clip(-1, 1)
        assert found[row][place] == pytest.approx(wanted, abs=1e-6)
