import numpy as np
import pytest
import torch

from models.strip import AT_ONCE, choose_overlays, entropy, mean_entropy, overlaid
from tests.models.made import linear


def levels(*values):
    """An image, (1, 2, 2), in [-1, 1], of four levels in [0, 1]."""
    return (2 * np.array(values, dtype=np.float32) - 1).reshape(1, 2, 2)


def two_classes(p):
    return -p * np.log(p) - (1 - p) * np.log(1 - p)


class TestEntropy:
    def test_of_equal_logits_is_the_logarithm_of_the_classes(self):
        np.testing.assert_allclose(entropy(torch.full((2, 10), 3.0)), np.log(10), rtol=1e-12)
        assert entropy(torch.tensor([[2000.0, 0.0, -2000.0]])).item() == 0

    def test_of_two_classes_by_hand(self):
        found = entropy(torch.log(torch.tensor([[0.5, 0.5], [0.25, 0.75], [9.0, 1.0]])))
        expected = [0.6931471806, 0.5623351446, 0.3250829734]
        np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_levels_are_added_and_clipped():
    image, overlay = levels(0, 0.25, 0.75, 1), levels(0, 0.5, 0.5, 1)
    found = overlaid(torch.from_numpy(image), torch.from_numpy(overlay[None]))
    np.testing.assert_allclose(found[0], levels(0, 0.75, 1, 1), atol=1e-6)


def test_a_classifier_that_reads_nothing_has_the_entropy_of_its_constant_answer():
    overlays = np.stack([levels(0.1, 0.2, 0.3, 0.4), levels(1, 1, 1, 1)])
    undecided = linear([[0.0] * 4] * 5)
    assert mean_entropy(undecided, levels(0, 1, 0, 1), overlays) == pytest.approx(np.log(5))
    decided = linear([[0.0] * 4] * 2, [float(np.log(3)), 0.0])
    assert mean_entropy(decided, levels(0, 1, 0, 1), overlays) == pytest.approx(two_classes(0.75))


def test_two_overlays_by_hand_one_of_them_clipped():
    """Logit 0 is the first level, mapped to [-1, 1]; the others are not read."""
    classifier = linear([[1.0, 0, 0, 0], [0.0] * 4])
    overlays = np.stack([levels(0.25, 0, 0, 0), levels(0.75, 0, 0, 0)])
    # 0.5 + 0.25 is 0.75, which is 0.5 in [-1, 1]; 0.5 + 0.75 is clipped to 1.
    p, q = 1 / (1 + np.exp(-0.5)), 1 / (1 + np.exp(-1.0))
    expected = (two_classes(p) + two_classes(q)) / 2
    found = mean_entropy(classifier, levels(0.5, 0, 0, 0), overlays)
    assert found == pytest.approx(expected, rel=1e-6)


def test_many_overlays_are_the_mean_of_each_alone():
    draw = np.random.default_rng(0)
    overlays = 2 * draw.random((2 * AT_ONCE + 7, 1, 2, 2), dtype=np.float32) - 1
    classifier = linear(draw.normal(size=(3, 4)).tolist())
    image = levels(0.1, 0.4, 0.2, 0)
    each = [mean_entropy(classifier, image, overlay[None]) for overlay in overlays]
    assert mean_entropy(classifier, image, overlays) == pytest.approx(np.mean(each), rel=1e-6)


def test_overlays_are_from_the_whole_pool_and_belong_to_seed_and_index():
    chosen = np.stack([choose_overlays(0, index, overlays=100, pool=50) for index in range(40)])
    assert set(chosen.ravel()) == set(range(50))
    assert len(np.unique(chosen, axis=0)) == 40
    np.testing.assert_array_equal(choose_overlays(0, 7, overlays=100, pool=50), chosen[7])
    assert (choose_overlays(1, 7, overlays=100, pool=50) != chosen[7]).any()
