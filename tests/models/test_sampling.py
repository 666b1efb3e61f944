"""Samplers against closed forms: with Gaussian data the best noise prediction is known."""

import itertools
import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from models.ddpm import build_scheduler
from models.sampling import SAMPLERS, Ddim, from_name, initial_noise

SPREAD = 0.3
MEANS = torch.tensor([0.2, -0.1, 0.05])
SHAPE = (1, 4, 4)


@dataclass
class Gaussian:
    """The optimal noise prediction for images that are N(MEANS[condition], SPREAD ** 2)."""

    betas: str = "squaredcos_cap_v2"
    null_condition: int = 2

    @property
    def scheduler(self):
        return build_scheduler(steps=1000, betas=self.betas)

    def predict_noise(self, x_t, t, condition):
        signal = self.scheduler.alphas_cumprod[t]
        mean = MEANS[condition][:, None, None, None]
        variance = signal * SPREAD**2 + 1 - signal
        return (1 - signal).sqrt() * (x_t - signal.sqrt() * mean) / variance


def sample(model, noise, condition, *, steps, weight=1.0, clip=False):
    return Ddim().sample(
        model,
        noise,
        torch.full((len(noise),), condition),
        steps=steps,
        guidance_weight=weight,
        clip=clip,
    )


def factor(model, steps):
    """What DDIM multiplies x_T - sqrt(signal_T) mean by: a product, in double precision."""
    signals = model.scheduler.alphas_cumprod.double()
    times = [step * (1000 // steps) for step in reversed(range(steps))]
    product = 1.0
    for position, t in enumerate(times):
        here = float(signals[t])
        there = float(signals[times[position + 1]]) if position + 1 < steps else 1.0
        variance = here * SPREAD**2 + 1 - here
        product *= math.sqrt(there * here) * SPREAD**2 + math.sqrt((1 - there) * (1 - here))
        product /= variance
    return product, math.sqrt(float(signals[times[0]]))


@pytest.mark.parametrize("steps", [1, 2, 10, 25, 100])
@pytest.mark.parametrize("betas", ["linear", "squaredcos_cap_v2"])
def test_every_step_is_the_linear_map_that_ddim_makes_of_a_gaussian(steps, betas):
    model, noise = Gaussian(betas), initial_noise(0, range(8), SHAPE)
    product, first = factor(model, steps)
    expected = MEANS[1] + product * (noise - first * MEANS[1])
    found = sample(model, noise, 1, steps=steps)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("betas", ["linear", "squaredcos_cap_v2"])
def test_samples_have_the_mean_and_the_spread_of_the_data(betas):
    noise = initial_noise(0, range(2000), SHAPE)
    samples = sample(Gaussian(betas), noise, 0, steps=200)
    # 32,000 draws: the mean is known to 0.0017, the deviation to 0.4 %; DDIM's bias comes on top.
    assert float(samples.mean()) == pytest.approx(0.2, abs=5 * 0.0017)
    assert float(samples.std()) == pytest.approx(SPREAD, rel=0.03)


@pytest.mark.parametrize("betas", ["linear", "squaredcos_cap_v2"])
def test_the_error_of_the_spread_falls_at_first_order(betas):
    noise = initial_noise(0, range(1), SHAPE)
    errors = []
    for steps in (25, 50, 100):
        product, first = factor(Gaussian(betas), steps)
        low, high = (
            sample(Gaussian(betas), start, 0, steps=steps) for start in (noise - 1, noise + 1)
        )
        torch.testing.assert_close((high - low) / 2, torch.full_like(noise, product))
        assert first < 0.2
        errors.append(SPREAD - product)
    orders = [math.log2(more / less) for more, less in itertools.pairwise(errors)]
    assert all(0.85 < order < 1.05 for order in orders)


@pytest.mark.parametrize("weight", [0.0, 1.0, 2.0, 5.0])
def test_guidance_moves_the_mean_along_the_line_between_the_conditions(weight):
    model, noise = Gaussian(), initial_noise(0, range(8), SHAPE)
    mean = MEANS[2] + weight * (MEANS[0] - MEANS[2])
    product, first = factor(model, 25)
    expected = mean + product * (noise - first * mean)
    found = sample(model, noise, 0, steps=25, weight=weight)
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def test_clipping_keeps_the_estimates_in_range():
    noise = 5 * initial_noise(0, range(8), SHAPE)
    assert sample(Gaussian(), noise, 0, steps=10, clip=True).abs().max() <= 1
    assert sample(Gaussian(), noise, 0, steps=10, clip=False).abs().max() > 1


@pytest.mark.parametrize("kind", SAMPLERS, ids=lambda kind: kind.name)
class TestEverySampler:
    def sample(self, kind, noise):
        condition = torch.zeros(len(noise), dtype=torch.int64)
        return kind().sample(Gaussian(), noise, condition, steps=20, guidance_weight=2.0, clip=True)

    def test_gives_an_image_for_every_noise(self, kind):
        noise = initial_noise(0, range(5), SHAPE)
        samples = self.sample(kind, noise)
        assert (samples.shape, samples.dtype) == (noise.shape, torch.float32)
        assert not samples.requires_grad

    def test_gives_the_same_again(self, kind):
        noise = initial_noise(0, range(5), SHAPE)
        before = noise.clone()
        torch.testing.assert_close(
            self.sample(kind, noise), self.sample(kind, noise), rtol=0, atol=0
        )
        torch.testing.assert_close(noise, before, rtol=0, atol=0)

    def test_draws_each_image_by_itself(self, kind):
        noise = initial_noise(0, range(5), SHAPE)
        one_by_one = torch.cat([self.sample(kind, row[None]) for row in noise])
        torch.testing.assert_close(self.sample(kind, noise), one_by_one, rtol=1e-5, atol=1e-5)

    def test_is_found_by_its_name(self, kind):
        assert isinstance(from_name(kind.name), kind)


def test_an_unknown_sampler_is_refused():
    with pytest.raises(ValueError, match="a sampler of ddim, got 'pndm'"):
        from_name("pndm")


def test_the_noise_of_an_image_is_its_own():
    whole = initial_noise(3, range(20), SHAPE)
    parts = [initial_noise(3, part, SHAPE) for part in ([0, 1, 2], range(3, 19), [19])]
    torch.testing.assert_close(torch.cat(parts), whole, rtol=0, atol=0)
    torch.testing.assert_close(initial_noise(3, [7], SHAPE)[0], whole[7], rtol=0, atol=0)
    assert (initial_noise(4, [7], SHAPE)[0] != whole[7]).all()


def test_the_noise_is_standard_normal():
    noise = initial_noise(0, range(2000), SHAPE).numpy()
    assert abs(noise.mean()) < 5 / np.sqrt(noise.size)
    assert abs(noise.var() - 1) < 5 * np.sqrt(2 / noise.size)
