"""Samplers against closed forms: with Gaussian data the best noise prediction is known."""

import itertools
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler

from models.ddpm import build_scheduler
from models.guidance import guided
from models.sampling import (
    SAMPLERS,
    Ddim,
    DdpmSampler,
    Heun,
    SdeDpmSolver,
    from_name,
    initial_noise,
    noise_levels,
)
from models.sampling import step_noises as noises_of
from models.thresholding import CLIPS, thresholded

SPREAD = 0.3
MEANS = torch.tensor([0.2, -0.1, 0.05])
SHAPE = (1, 4, 4)
BETAS = ["linear", "squaredcos_cap_v2"]


def best_denoised(x, sigma, condition):
    """The mean of N(MEANS[condition], SPREAD ** 2) given that noise ``sigma`` made ``x`` of it."""
    mean, variance = MEANS[condition][:, None, None, None], sigma[:, None, None, None] ** 2
    return mean + SPREAD**2 / (SPREAD**2 + variance) * (x - mean)


@dataclass
class Gaussian:
    """The optimal noise prediction for images that are N(MEANS[condition], SPREAD ** 2)."""

    betas: str = "squaredcos_cap_v2"
    null_condition: int = 2
    classes: int = 2
    image_shape: tuple[int, int, int] = SHAPE

    @cached_property
    def scheduler(self):
        return build_scheduler(steps=1000, betas=self.betas)

    def predict_noise(self, x_t, t, condition):
        signal = self.scheduler.alphas_cumprod[t]
        mean = MEANS[condition][:, None, None, None]
        variance = signal * SPREAD**2 + 1 - signal
        return (1 - signal).sqrt() * (x_t - signal.sqrt() * mean) / variance

    def denoise(self, x, sigma, condition):
        return best_denoised(x, sigma, condition)


@dataclass
class GaussianDenoiser:
    """The optimal denoiser of the same images, which predicts no noise; it counts its calls."""

    null_condition: int | None = None
    classes: int = 3
    image_shape: tuple[int, int, int] = SHAPE
    images: int = 0

    def denoise(self, x, sigma, condition):
        self.images += len(x)
        return best_denoised(x, sigma, condition)


def sample(model, noise, condition, *, kind=Ddim, step_noises=None, steps, weight=1.0, clip="none"):
    return kind().sample(
        model,
        noise,
        torch.full((len(noise),), condition),
        step_noises=step_noises or noises_of(0, range(len(noise)), noise.shape[1:]),
        steps=steps,
        guidance_weight=weight,
        clip=clip,
    )


@pytest.mark.parametrize(("steps", "betas"), [(1, "linear"), (25, "linear"), (100, BETAS[1])])
@pytest.mark.parametrize("clip", CLIPS)
def test_ddim_steps_are_equation_12_with_the_noise_that_belongs_to_the_estimate(clip, steps, betas):
    weight, model, stride = 5.0, Gaussian(betas), 1000 // steps
    noise = 3 * initial_noise(0, range(8), SHAPE)  # so much that clipping bites
    kept = model.scheduler.alphas_cumprod.double()
    x_t, condition, clipped = noise.double(), torch.zeros(8, dtype=torch.int64), 0
    for t in range(stride * (steps - 1), -1, -stride):
        given = model.predict_noise, x_t.float(), torch.tensor(t), condition
        predicted = guided(*given, null_condition=2, weight=weight).double()
        x_0 = (x_t - (1 - kept[t]).sqrt() * predicted) / kept[t].sqrt()
        changed = by_hand(x_0, clip)
        clipped += int((changed != x_0).sum())
        x_0 = changed
        belonging = (x_t - kept[t].sqrt() * x_0) / (1 - kept[t]).sqrt()
        before = kept[t - stride] if t else torch.ones((), dtype=torch.float64)
        x_t = before.sqrt() * x_0 + (1 - before).sqrt() * belonging
    assert (clipped > 0) == (clip != "none")
    found = sample(model, noise, 0, steps=steps, weight=weight, clip=clip, step_noises=iter(()))
    torch.testing.assert_close(found.double(), x_t, rtol=1e-3, atol=1e-3)


def by_hand(x_0, clip):
    """Image by image: [-1, 1], or Imagen's [-s, s] over s, s a linear quantile of 99.5 %."""
    if clip == "none":
        return x_0
    changed = np.empty(x_0.shape)
    for image, place in zip(x_0.numpy(), changed, strict=True):
        limit = 1.0 if clip == "static" else max(1.0, np.quantile(np.abs(image), 0.995))
        place[...] = np.clip(image, -limit, limit) / limit
    return torch.from_numpy(changed)


def drawn(shape, seed=0):
    """The draws that diffusers makes itself from torch's generator of that seed."""
    generator = torch.Generator().manual_seed(seed)
    while True:
        yield torch.randn(shape, generator=generator)


@pytest.mark.parametrize("clip", CLIPS)
@pytest.mark.parametrize(("steps", "betas"), [(1, "linear"), (25, "linear"), (100, BETAS[1])])
def test_ancestral_steps_are_those_of_diffusers_ddpm_scheduler(betas, steps, clip):
    model, noise = Gaussian(betas), initial_noise(0, range(3), SHAPE)
    condition = torch.ones(3, dtype=torch.int64)
    scheduler = DDPMScheduler.from_config(
        model.scheduler.config,
        variance_type="fixed_small",
        clip_sample=clip == "static",
        thresholding=clip == "dynamic",
        sample_max_value=float("inf"),
    )
    scheduler.set_timesteps(steps)
    generator, x_t = torch.Generator().manual_seed(0), noise
    for t in scheduler.timesteps:
        predicted = guided(  # towards -4.45, so that there is something to clip
            model.predict_noise, x_t, t, condition, null_condition=2, weight=30.0
        )
        x_t = scheduler.step(predicted, t, x_t, generator=generator, return_dict=False)[0]
    given = {"kind": DdpmSampler, "weight": 30.0, "clip": clip, "step_noises": drawn(noise.shape)}
    found = sample(model, noise, 1, steps=steps, **given)
    torch.testing.assert_close(found, x_t, rtol=1e-3, atol=1e-4)


def best_image(x_t, signal):
    """The mean of N(MEANS[1], SPREAD ** 2) given that noise made ``x_t`` of it."""
    gain = math.sqrt(signal) * SPREAD**2 / (signal * SPREAD**2 + 1 - signal)
    return MEANS[1].double() + gain * (x_t - math.sqrt(signal) * MEANS[1].double())


def sde_dpm_solver(x_t, noises, signals, steps):
    """SDE-DPM-Solver++(2M), with log ratios (lambda) from amplitudes."""
    ratios = [0.5 * math.log(signal / (1 - signal)) for signal in signals]
    last = max(t for t in range(1000) if ratios[t] >= -5.1)
    times = np.linspace(0, last, steps + 1).round().astype(int)[:0:-1]
    before = None
    for position, t in enumerate(times):
        estimate = best_image(x_t, signals[t])
        if position + 1 == steps:
            return estimate
        there = times[position + 1]
        step = ratios[there] - ratios[t]
        direction = estimate
        if before is not None:
            span = ratios[t] - ratios[times[position - 1]]
            direction = estimate + step / (2 * span) * (estimate - before)
        amplitude, deviation = math.sqrt(signals[there]), math.sqrt(1 - signals[there])
        rest = 1 - math.exp(-2 * step)
        x_t = (
            deviation / math.sqrt(1 - signals[t]) * math.exp(-step) * x_t
            + amplitude * rest * direction
            + deviation * math.sqrt(rest) * next(noises)
        )
        before = estimate
    raise AssertionError


@pytest.mark.parametrize(("steps", "betas"), [(1, "linear"), (2, "linear"), (25, BETAS[1])])
def test_the_solver_takes_the_steps_on_paper(steps, betas):
    model, noise = Gaussian(betas), initial_noise(0, range(8), SHAPE)
    signals = [float(signal) for signal in model.scheduler.alphas_cumprod.double()]
    exact = (step.double() for step in noises_of(0, range(8), SHAPE))
    found = sample(model, noise, 1, kind=SdeDpmSolver, steps=steps)
    expected = sde_dpm_solver(noise.double(), exact, signals, steps)
    torch.testing.assert_close(found, expected.float(), rtol=1e-3, atol=1e-3)


def flowed(noise, mean):
    """Where the probability flow takes 80 * noise: x - mean shrinks as sqrt(SPREAD^2 + sigma^2)."""
    return mean + (80 * noise - mean) * SPREAD / math.sqrt(SPREAD**2 + 80**2)


def test_heuns_error_of_the_probability_flow_falls_at_second_order():
    noise = initial_noise(0, range(4), SHAPE)
    errors = []
    for steps in (18, 36, 72, 144):
        found = sample(GaussianDenoiser(), noise, 1, kind=Heun, steps=steps)
        errors.append(float((found - flowed(noise, MEANS[1])).abs().max()))
    orders = [math.log2(more / less) for more, less in itertools.pairwise(errors)]
    assert all(1.9 < order < 2.3 for order in orders)
    assert errors[-1] < 1e-3


def test_heun_takes_the_steps_of_algorithm_1():
    noise, condition = initial_noise(0, range(4), SHAPE), torch.ones(4, dtype=torch.int64)
    levels = [(80 ** (1 / 7) + i / 5 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7 for i in range(6)]
    assert noise_levels(6) == pytest.approx([*levels, 0.0])

    def slope(x, sigma):
        return (x - best_denoised(x, torch.full((4,), sigma), condition)) / sigma

    x = 80 * noise.double()
    for here, there in itertools.pairwise([*levels, 0.0]):
        ahead = x + (there - here) * slope(x, here)
        if there:
            ahead = x + (there - here) * (slope(x, here) / 2 + slope(ahead, there) / 2)
        x = ahead
    found = sample(GaussianDenoiser(), noise, 1, kind=Heun, steps=6)
    torch.testing.assert_close(found, x.float(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("null", "weight", "each"), [(None, 1.0, 1), (2, 1.0, 1), (2, 3.0, 2)])
def test_heun_evaluates_twice_a_step_but_for_the_last(null, weight, each):
    model = GaussianDenoiser(null_condition=null)
    sample(model, initial_noise(0, range(4), SHAPE), 0, kind=Heun, steps=6, weight=weight)
    assert model.images == 4 * (2 * 6 - 1) * each


@pytest.mark.parametrize("kind", [Ddim, DdpmSampler, SdeDpmSolver], ids=lambda kind: kind.name)
def test_a_model_that_predicts_no_noise_is_refused_by_samplers_that_need_it(kind):
    message = f"predicts noise for the sampler {kind.name}, got GaussianDenoiser; use heun"
    with pytest.raises(ValueError, match=message):
        kind().check(GaussianDenoiser(), steps=2, guidance_weight=1.0)


def moments(kind, betas, steps, weight=1.0):
    """Mean and deviation of a sampled pixel, without sampling error.

    Without clipping an image is affine in its draws, so image 0 has none of them, image k only the
    k-th, and squares of the differences add up to the variance.
    """
    noise = torch.zeros(steps + 2, 1, 1, 1)
    noise[1] = 1
    draws = torch.eye(steps, steps + 2).roll(2, dims=1)[:, :, None, None, None]
    pixels = sample(
        Gaussian(betas), noise, 0, kind=kind, steps=steps, weight=weight, step_noises=iter(draws)
    ).ravel()
    return float(pixels[0]), float((pixels[1:] - pixels[0]).square().sum().sqrt())


@pytest.mark.parametrize("kind", SAMPLERS, ids=lambda kind: kind.name)
class TestEverySampler:
    @pytest.mark.parametrize("betas", BETAS)
    def test_more_steps_come_closer_to_the_data(self, kind, betas):
        found = [moments(kind, betas, steps) for steps in (10, 40, 160)]
        means, spreads = np.array(found).T
        errors = np.abs(spreads - SPREAD)
        assert errors[2] < errors[1] < errors[0]
        assert errors[2] < 0.07 * SPREAD
        # A walk starts from N(0, 1), though a little of the mean is left in the noised data: DDIM,
        # which adds no noise, carries that to the end.
        assert means[2] == pytest.approx(0.2, abs=0.005)

    @pytest.mark.parametrize("weight", [0.0, 2.0])
    def test_guidance_moves_the_mean_between_the_conditions(self, kind, weight):
        mean, spread = moments(kind, "squaredcos_cap_v2", 100, weight)
        expected = float(MEANS[2] + weight * (MEANS[0] - MEANS[2]))
        assert mean == pytest.approx(expected, abs=0.01)
        assert spread == pytest.approx(SPREAD, rel=0.1)

    @pytest.mark.parametrize("steps", [1, 14, 15])  # the solver changes its last steps below 15
    def test_few_steps_give_finite_images(self, kind, steps):
        noise = initial_noise(0, range(2), SHAPE)
        for clip, betas in zip(CLIPS, (*BETAS, BETAS[0]), strict=True):
            samples = sample(Gaussian(betas), noise, 0, kind=kind, steps=steps, clip=clip)
            assert samples.isfinite().all()

    def test_clipping_leaves_what_is_in_range_as_it_is(self, kind):
        # One step gives the estimate itself, of some of these within the range, of some beyond.
        noise = initial_noise(0, range(6), SHAPE) * 10.0 ** torch.arange(6)[:, None, None, None]
        whole = sample(Gaussian(), noise, 0, kind=kind, steps=1, clip="none")
        assert 0.1 < (whole.abs() > 1).float().mean() < 0.9
        clipped = sample(Gaussian(), noise, 0, kind=kind, steps=1, clip="static")
        torch.testing.assert_close(clipped, whole.clamp(-1, 1), rtol=0, atol=0)
        pushed = sample(Gaussian(), noise, 0, kind=kind, steps=1, clip="dynamic")
        torch.testing.assert_close(pushed, thresholded(whole, "dynamic"))

    def test_draws_each_image_by_itself_and_the_same_again(self, kind):
        def of(*index):
            given = {"kind": kind, "step_noises": noises_of(0, index, SHAPE), "clip": "static"}
            return sample(Gaussian(), noise[[*index]], 0, steps=20, weight=2.0, **given)

        noise = initial_noise(0, range(5), SHAPE)
        before, found = noise.clone(), of(*range(5))
        torch.testing.assert_close(found, torch.cat([*map(of, range(5))]), rtol=1e-5, atol=1e-5)
        assert torch.equal(of(*range(5)), found)
        assert torch.equal(noise, before)
        assert not found.requires_grad
        assert isinstance(from_name(kind.name), kind)


@pytest.mark.parametrize(("betas", "most"), [("linear", 999), ("squaredcos_cap_v2", 995)])
def test_the_solver_refuses_more_steps_than_there_are(betas, most):
    noise = initial_noise(0, range(2), SHAPE)
    SdeDpmSolver().scheduler(Gaussian(betas).scheduler.config, steps=most, clip="none")
    with pytest.raises(ValueError, match=f"at most {most} steps of sde, got {most + 1}"):
        sample(Gaussian(betas), noise, 0, kind=SdeDpmSolver, steps=most + 1)


def test_an_unknown_sampler_is_refused():
    with pytest.raises(ValueError, match="a sampler of ddim, ddpm, sde, heun, got 'pndm'"):
        from_name("pndm")


def first_steps(seed, index, count):
    return torch.stack(list(itertools.islice(noises_of(seed, index, SHAPE), count)))


def first_noise(seed, index, count):
    return initial_noise(seed, index, SHAPE)[None]


@pytest.mark.parametrize("drawn", [first_noise, first_steps])
def test_the_noise_of_an_image_and_of_a_step_is_the_images_own(drawn):
    whole = drawn(3, range(20), 4)
    parts = [drawn(3, part, 4) for part in ([0, 1, 2], range(3, 19), [19])]
    torch.testing.assert_close(torch.cat(parts, dim=1), whole, rtol=0, atol=0)
    torch.testing.assert_close(drawn(3, [7], 2), whole[:2, [7]], rtol=0, atol=0)
    assert (drawn(4, [7], 1)[0] != whole[0, 7]).all()
