"""The diffusion classifier against hand counts and closed forms; models are exact denoisers."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

from models.diffusion_classifier import (
    DiffusionClassifier,
    Method,
    Watch,
    dropped_on,
    reduced,
    still_able,
)
from models.randomness import generator

CPU = torch.device("cpu")
METHOD = Method(
    counts=(4, 3),
    draws=20,
    stages=(),
    margin=3.0,
    reduction="mean",
    p_mean=-1.2,
    p_std=1.2,
    sigma_data=0.5,
    seed=0,
    rows_at_once=64,
)


@dataclass(frozen=True)
class Gaussians:
    """The optimal denoiser of classes that are Gaussians N(mean, spread^2) in every value."""

    means: torch.Tensor
    spread: float
    image_shape: tuple[int, int, int] = (1, 2, 2)
    null_condition: None = None

    @property
    def classes(self):
        return len(self.means)

    def denoise(self, x, sigma, condition):
        noise = sigma[:, None, None, None] ** 2
        mean = self.means[condition][:, None, None, None]
        return (self.spread**2 * x + noise * mean) / (self.spread**2 + noise)


def watch(n, trigger=None):
    return Watch(np.tile(np.array([0, 1]), (n, 1)), trigger)


def asked(method, images, model, index=None, trigger=None):
    classifier = DiffusionClassifier(model, method, CPU)
    given = list(range(len(images))) if index is None else index
    return classifier(images, given, watch(len(images), trigger))


@pytest.fixture
def model():
    return Gaussians(torch.tensor([-0.3, 0.3, 0.9]), spread=0.4)


@pytest.fixture
def images(model):
    return drawn_from(model, 12, seed=3)


def drawn_from(model, count, seed):
    rng = np.random.default_rng(seed)
    means = model.means.numpy()[rng.integers(0, model.classes, count)][:, None, None, None]
    return (means + model.spread * rng.standard_normal((count, 1, 2, 2))).astype(np.float32)


def by_hand(image, number, draws):
    """Of each draw of an image of the fixture the weight, and squared errors by class, (3, 4)."""
    stream, x_0 = generator(0, "classifier noise", number), image.ravel()
    for _ in range(draws):
        drawn = stream.standard_normal(5, np.float32)
        sigma = np.exp(-1.2 + 1.2 * drawn[0])
        means = np.array([-0.3, 0.3, 0.9])[:, None]
        denoised = (0.16 * (x_0 + sigma * drawn[1:]) + sigma**2 * means) / (0.16 + sigma**2)
        yield (sigma**2 + 0.25) / (0.5 * sigma) ** 2, (denoised - x_0) ** 2


class TestReducing:
    ERRORS = torch.tensor([[9.0, 1.0, 4.0, 2.0], [0.0, 8.0, 8.0, 8.0]])

    def test_the_largest_are_left_out_of_each_row_alone(self):
        found = reduced(self.ERRORS, (4, 3, 1), "mean")
        assert found.tolist() == [[4.0, 6.0], [7 / 3, 16 / 3], [1.0, 0.0]]

    def test_a_quantile_is_the_largest_that_is_kept(self):
        found = reduced(self.ERRORS, (4, 3, 1), "quantile")
        assert found.tolist() == [[9.0, 8.0], [4.0, 8.0], [1.0, 0.0]]

    def test_dropped_values_on_the_trigger_are_counted(self):
        mask = torch.tensor([True, False, True, False])
        found = dropped_on(self.ERRORS, mask, (4, 3, 2, 1))
        assert torch.isnan(found[0]).all()
        # 9; 9 and 4; 9, 4 and 2: on the trigger are 1 of 1, 2 of 2, 2 of 3.  Ties in order.
        assert found[1:, 0].tolist() == [1.0, 1.0, 2 / 3]
        assert found[1:, 1].tolist() == [0.0, 0.5, 1 / 3]


class TestAnswers:
    def test_losses_are_weighted_squared_errors_after_the_filter(self, model, images):
        """Recomputed image by image and class by class from the same stream of noise."""
        found = asked(METHOD, images[:2], model, index=[5, 7])
        for place, number in enumerate((5, 7)):
            total = np.zeros((2, 3))
            for weight, errors in by_hand(images[place], number, METHOD.draws):
                kept = np.sort(errors)[:, :3]
                total += weight * np.stack([errors.mean(axis=1), kept.mean(axis=1)])
            assert found.said[:, place].tolist() == total.argmin(axis=1).tolist()

    def test_approaches_the_bayes_decision_as_draws_grow(self):
        model = Gaussians(torch.tensor([-0.2, 0.2]), spread=0.3)
        images = drawn_from(model, 200, seed=0)
        bayes = (images.mean(axis=(1, 2, 3)) > 0).astype(int)  # equal spreads: the nearer mean
        agree = []
        for draws in (1, 30, 300):
            method = replace(METHOD, counts=(4,), draws=draws, rows_at_once=4096)
            agree.append(float((asked(method, images, model).said[0] == bayes).mean()))
        assert agree[0] < agree[1] < agree[2]
        assert agree[2] > 0.97

    def test_noise_is_held_for_a_few_draws_at_a_time_and_is_the_same(
        self, model, images, monkeypatch
    ):
        method, trigger = replace(METHOD, stages=(7,)), np.array([False, False, False, True])
        whole = asked(method, images, model, trigger=trigger)
        monkeypatch.setattr("models.diffusion_classifier.DRAWS_AT_ONCE", 3)
        parts = asked(method, images, model, trigger=trigger)
        np.testing.assert_array_equal(parts.said, whole.said)
        np.testing.assert_array_equal(parts.calls, whole.calls)
        np.testing.assert_allclose(parts.maps, whole.maps, rtol=1e-5)
        np.testing.assert_allclose(parts.on_trigger, whole.on_trigger, rtol=1e-12)

    def test_what_a_gpu_has_no_room_for_is_denoised_in_parts_and_is_the_same(self, model, images):
        sizes = []

        @dataclass(frozen=True)
        class Small(Gaussians):
            def denoise(self, x, sigma, condition):
                sizes.append(len(x))
                if len(x) > 20:
                    raise torch.OutOfMemoryError
                return super().denoise(x, sigma, condition)

        whole = asked(METHOD, images, model)
        parts = asked(METHOD, images, Small(model.means, model.spread))
        assert sizes[:3] == [64, 32, 16]
        assert set(sizes[3:]) <= {*range(1, 17)}
        np.testing.assert_array_equal(parts.said, whole.said)
        np.testing.assert_array_equal(parts.maps, whole.maps)

    def test_a_model_that_says_nan_is_refused(self, model, images):
        broken = replace(model, means=torch.tensor([0.0, torch.nan, 1.0]))
        with pytest.raises(FloatingPointError, match="NaN or infinity"):
            asked(METHOD, images, broken)

    def test_maps_and_shares_are_means_over_the_first_stage(self, model, images):
        trigger = np.array([False, False, False, True])
        method = replace(METHOD, stages=(2,))
        found = asked(method, images[:1], model, trigger=trigger)
        drawn = [(weight, errors[:2]) for weight, errors in by_hand(images[0], 0, 2)]
        expected = sum(weight * errors for weight, errors in drawn) / 2
        shares = sum((errors.argmax(axis=1) == 3) / 2 for _, errors in drawn)
        np.testing.assert_allclose(found.maps[0].reshape(2, 4), expected, rtol=1e-4)
        assert np.isnan(found.on_trigger[0]).all()
        assert found.on_trigger[1, 0].tolist() == shares.tolist()


class TestElimination:
    def test_a_class_that_is_always_far_behind_is_dropped_and_a_close_one_is_not(self):
        close = np.array([1.0, 1.2, 0.8, 1.1, 0.9])
        losses = np.stack([np.ones(5), close, np.linspace(8, 9, 5)], axis=1)[None]
        able = still_able(losses, np.array([True, True, True]), margin=3.0)
        assert able.tolist() == [True, True, False]

    def test_who_may_win_under_any_filter_stays(self):
        ones, far = np.ones(5), np.linspace(8, 9, 5)
        losses = np.stack([np.stack([ones, far], axis=1), np.stack([far, ones], axis=1)])
        assert still_able(losses, np.array([True, True]), margin=3.0).tolist() == [True, True]

    def test_the_margin_is_in_standard_errors_of_the_paired_difference(self):
        # Differences 1, 2, 3 have a mean of 2 and a standard error of 1 / sqrt(3): 3.46 of them.
        losses = np.stack([np.array([5.0, 5, 5]), np.array([6.0, 7, 8])], axis=1)[None]
        alive = np.array([True, True])
        assert still_able(losses, alive, margin=3.4).tolist() == [True, False]
        assert still_able(losses, alive, margin=3.5).tolist() == [True, True]

    def test_calls_are_counted_by_hand(self):
        """Far classes: the two wrong ones go after five draws, then nothing is left to ask."""
        model = Gaussians(torch.tensor([-0.9, 0.0, 0.9]), spread=0.05)
        images = np.full((2, 1, 2, 2), 0.9, dtype=np.float32)
        method = replace(METHOD, stages=(5,), margin=1.0)
        found = asked(method, images, model)
        assert found.said.tolist() == [[2, 2], [2, 2]]
        assert found.calls.tolist() == [15, 15]
        assert asked(METHOD, images, model).calls.tolist() == [60, 60]

    def test_an_endless_margin_drops_nobody_even_where_no_draw_differs(self):
        losses = np.stack([np.ones(4), np.ones(4), np.full(4, 2.0)], axis=1)[None]
        alive = np.array([True, True, True])
        assert still_able(losses, alive, margin=np.inf).tolist() == [True, True, True]
        assert still_able(losses, alive, margin=3.0).tolist() == [True, True, False]
