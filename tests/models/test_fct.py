import numpy as np
import pytest
import torch
from torch import nn

from models.fct import fine_tuned, inconsistency, intra_class_loss, moves, order, transformed
from tests.models import made

SGD = {"learning_rate": 0.01, "momentum": 0.9, "weight_decay": 5e-4}


def reading(body, features, size=8):
    """Features are what ``body`` makes of an image; the head is never trained."""
    network = nn.Sequential(body, nn.Flatten(), nn.Linear(features, 3))
    return made.classifier(network, 3, size)


@pytest.fixture
def small():
    return made.small(3)


@pytest.fixture
def pictures():
    return 2 * np.random.default_rng(0).random((12, 1, 8, 8), dtype=np.float32) - 1


LABELS = np.arange(12) % 3
PIXELS = reading(nn.Identity(), 64)
"""Features are the pixels."""
MEAN = reading(nn.AdaptiveAvgPool2d(1), 1)
"""The only feature is the mean of the image."""


def angles(*degrees):
    return np.array([degrees], dtype=np.float64)


def shifts(*pixels):
    return np.array([pixels], dtype=np.int64)


class TestTransforms:
    @pytest.mark.parametrize(("quarters", "angle"), [(1, 90.0), (2, 180.0), (3, -90.0)])
    def test_a_right_angle_turns_counter_clockwise(self, pictures, quarters, angle):
        found = transformed(pictures, np.full(12, angle), np.zeros((12, 2), dtype=np.int64))
        np.testing.assert_array_equal(found, np.rot90(pictures, quarters, axes=(2, 3)))

    def test_a_shift_goes_right_and_down_and_black_moves_in(self, pictures):
        found = transformed(pictures, np.zeros(12), np.tile([2, -1], (12, 1)))
        expected = np.full_like(pictures, -1)
        expected[:, :, :-1, 2:] = pictures[:, :, 1:, :-2]
        np.testing.assert_array_equal(found, expected)

    def test_moves_have_their_ranges_and_belong_to_seed_and_index(self):
        turns, steps = moves(0, np.arange(2000), draws=3, degrees=180, pixels=1.6)
        assert -180 <= turns.min() < -179
        assert 179 < turns.max() < 180
        # Rounded from [-1.6, 1.6): 0 from a length of 1, of 3.2.
        assert set(np.unique(steps)) == {-2, -1, 0, 1, 2}
        assert (steps == 0).mean() == pytest.approx(1 / 3.2, abs=5 * np.sqrt(0.25 / 12_000))
        again = moves(0, np.array([5]), draws=3, degrees=180, pixels=1.6)
        np.testing.assert_array_equal(again[0][0], turns[5])
        np.testing.assert_array_equal(again[1][0], steps[5])
        assert (moves(1, np.arange(9), draws=3, degrees=180, pixels=1.6)[0] != turns[:9]).all()


class TestInconsistency:
    def test_is_0_for_features_that_no_transform_changes(self, pictures, small):
        """Whatever the network, a black image stays black; whatever the image, 1 is 1."""
        black = np.full((12, 1, 8, 8), -1, dtype=np.float32)
        turns, steps = moves(0, np.arange(12), draws=4, degrees=180, pixels=1.6)
        assert inconsistency(small, black, turns, steps).tolist() == [0] * 12
        constant = reading(nn.Threshold(2.0, 1.0), 64)
        assert inconsistency(constant, pictures, turns, steps).tolist() == [0] * 12

    def test_of_the_pixels_of_a_white_image_is_what_leaves_it(self):
        """Moved by 2 and by 1, 8*8 - 6*7 pixels turn black, each a change of 2."""
        white = np.ones((1, 1, 8, 8), dtype=np.float32)
        found = inconsistency(PIXELS, white, angles(0), shifts([2, -1]))
        assert found.tolist() == [4 * 22 / 64]
        found = inconsistency(MEAN, white, angles(0), shifts([2, -1]))
        np.testing.assert_allclose(found, (2 * 22 / 64) ** 2, rtol=1e-6)

    def test_is_the_mean_over_the_draws(self):
        white = np.ones((1, 1, 8, 8), dtype=np.float32)
        found = inconsistency(PIXELS, white, angles(0, 0), shifts([0, 0], [4, 0]))
        assert found.tolist() == [(0 + 4 * 0.5) / 2]


class TestIntraClassLoss:
    def test_by_hand(self):
        """Centers (2, 0), (0, 1) and (1, 1): two cosines of 1 / sqrt(2), twice each, over 9."""
        features = torch.tensor([[1.0, 0], [3.0, 0], [0.0, 1], [2.0, 0], [0.0, 2]])
        labels = torch.tensor([7, 7, 0, 4, 4])
        expected = 4 / np.sqrt(2) / 9
        assert intra_class_loss(features, labels).item() == pytest.approx(expected, rel=1e-6)


class TestFineTuning:
    def test_takes_the_first_step_by_hand(self):
        """Features s * x of two images a and b: cos = (s*a).(s*b) / |s*a| |s*b|, over 2."""
        body = nn.Conv2d(2, 2, 1, groups=2, bias=False)
        with torch.no_grad():
            body.weight.fill_(1.0)
        images = np.array([[1.0, 0.0], [1.0, 1.0]], dtype=np.float32)[..., None, None]
        settings = {"learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.01}
        given = [(images, np.array([0, 1]))]
        copy = fine_tuned(reading(body, 2, size=1), given, **settings)
        # For s = (p, q), cos is p / sqrt(p^2 + q^2); at (1, 1) its gradient is (1, -1) / sqrt(8).
        gradient = np.array([1.0, -1.0]) / np.sqrt(8) / 2
        expected = 1 - 0.1 * (gradient + 0.01)
        np.testing.assert_allclose(copy.network[0].weight.detach().ravel(), expected, rtol=1e-6)
        assert body.weight.ravel().tolist() == [1.0, 1.0]  # the classifier is as it was
        assert body.weight.requires_grad

    def test_passes_over_a_batch_of_one_class(self, small, pictures):
        given = [(pictures[:1], LABELS[:1]), (pictures[::3], LABELS[::3])]
        copy = fine_tuned(small, given, **SGD)
        for name, now in copy.network.state_dict().items():
            assert torch.equal(now, small.network.state_dict()[name])

    def test_stops_where_the_loss_is_no_number(self, small, pictures):
        broken = np.full_like(pictures, np.nan)
        with pytest.raises(FloatingPointError, match="is nan at step 2; lower learning_rate"):
            fine_tuned(small, [(pictures, LABELS), (broken, LABELS)], **SGD)


def test_the_order_of_an_epoch_belongs_to_seed_and_epoch():
    orders = [order(seed, epoch, 20) for seed in (0, 1) for epoch in (0, 1)]
    assert all(sorted(rows) == list(range(20)) for rows in orders)
    assert len({tuple(rows) for rows in orders}) == 4
    np.testing.assert_array_equal(order(1, 0, 20), orders[2])
