import numpy as np
import pytest
import torch
from torch import nn

from models.cognitive_distillation import (
    answers_kept,
    colors,
    learn_masks,
    losses,
    total_variation,
)
from tests.models.made import classifier

PUBLISHED = {"beta": 1.0, "learning_rate": 0.1, "betas": (0.1, 0.1)}
STEPS = 100


def reading_a_corner(classes=4, size=8, side=2, channels=1, strength=10.0):
    """Logits are sums over the ``side`` x ``side`` pixels in the lower-right corner."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(channels * size * size, classes))
    weight = torch.zeros(classes, channels, size, size)
    signs = torch.tensor([1.0, -1.0]).repeat(classes // 2)
    weight[..., size - side :, size - side :] = strength * signs[:, None, None, None]
    with torch.no_grad():
        network[1].weight.copy_(weight.flatten(1))
    return classifier(network, 2, size, channels)


def pictures(count, size=8, channels=1):
    drawn = np.random.default_rng(0).random((count, channels, size, size), dtype=np.float32)
    return 2 * drawn - 1


def test_total_variation_by_hand():
    mask = torch.tensor([[[[0.0, 1.0], [0.5, 0.25]]], [[[0.3, 0.3], [0.3, 0.3]]]])
    # Down 0.5 and -0.75, right 1 and -0.25; 4 pixels.
    expected = (0.25 + 0.5625 + 1 + 0.0625) / 4
    np.testing.assert_allclose(total_variation(mask), [expected, 0], rtol=1e-6)


def test_what_is_minimized_is_what_was_published_for_levels_from_0_to_1():
    """Against numpy, on images, colors and mixtures in [0, 1]."""
    draw = np.random.default_rng(3)
    x, color, m = draw.random((2, 3, 4, 5)), draw.random((2, 3, 1, 1)), draw.random((2, 1, 4, 5))
    weight = draw.normal(size=(6, 60))
    network = nn.Sequential(nn.Flatten(), nn.Linear(60, 6, bias=False)).double()
    with torch.no_grad():
        network[1].weight.copy_(torch.from_numpy(weight))

    def logits(levels):
        return (2 * levels - 1).reshape(2, 60) @ weight.T

    mixed = x * m + (1 - m) * color
    missed = np.abs(logits(mixed) - logits(x)).mean(axis=1)
    area = m.reshape(2, -1).sum(axis=1)
    squares = np.square(np.diff(m, axis=2)).sum((1, 2, 3))
    squares += np.square(np.diff(m, axis=3)).sum((1, 2, 3))
    expected = missed + 0.02 * area + 3 * squares / 20

    ours = [torch.from_numpy(2 * levels - 1) for levels in (x, color)]
    with torch.no_grad():
        found = losses(
            network, ours[0], network(ours[0]), torch.from_numpy(m), ours[1], gamma=0.02, beta=3
        )
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_classifier_that_reads_one_corner_needs_that_corner(channels):
    """Within 0.1 everywhere: what is read is kept and the rest is dropped."""
    network = reading_a_corner(channels=channels)
    index = np.arange(6)
    painted = colors(0, index, steps=STEPS, channels=channels)
    masks = learn_masks(network, pictures(6, 8, channels), painted, gamma=0.16, **PUBLISHED)
    expected = np.zeros((6, 8, 8))
    expected[:, 6:, 6:] = 1
    np.testing.assert_allclose(masks, expected, atol=0.1)
    assert masks.dtype == np.float32


def test_colors_are_uniform_and_belong_to_seed_and_index():
    drawn = colors(0, np.arange(100), steps=50, channels=3)
    assert drawn.shape == (100, 50, 3)
    assert drawn.dtype == np.float32
    assert -1 <= drawn.min() < -0.99
    assert 0.99 < drawn.max() <= 1
    np.testing.assert_array_equal(colors(0, np.array([7]), steps=50, channels=3)[0], drawn[7])
    assert (colors(1, np.arange(100), steps=50, channels=3) != drawn).mean() > 0.99


def test_answers_are_kept_by_hand():
    """The answer is the sign of the corner; a mask of the corner keeps it, no mask the color's."""
    images = np.stack([np.ones((1, 8, 8)), -np.ones((1, 8, 8)), np.ones((1, 8, 8))])
    masks = np.zeros((3, 8, 8), dtype=np.float32)
    masks[2, 6:, 6:] = 1
    painted = np.array([1.0, -0.5, -1.0, -0.25], dtype=np.float32)
    drawn = np.broadcast_to(painted[None, :, None], (3, 4, 1)).copy()
    kept = answers_kept(reading_a_corner(), images.astype(np.float32), masks, drawn)
    assert kept.tolist() == [0.25, 0.75, 1.0]
