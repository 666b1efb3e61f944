import math

import numpy as np
import pytest
import torch
from torch import nn

from models.ddpm import Ddpm, build_scheduler, noise_loss
from tests.models.made import unet

STEPS = 1000


def cosine_signal(t):
    """Cumulative alpha of the cosine schedule (Nichol and Dhariwal 2021, equation 17)."""

    def f(u):
        return math.cos((u + 0.008) / 1.008 * math.pi / 2) ** 2

    product = 1.0
    for step in range(t + 1):
        product *= 1 - min(1 - f((step + 1) / STEPS) / f(step / STEPS), 0.999)
    return product


class Scripted(nn.Module):
    """Predicts a multiple of its input, whatever the condition."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x_t, *_, **__):
        return (self.factor * x_t,)


@pytest.mark.parametrize("t", [0, 500, 998])
def test_the_loss_of_a_step_is_the_one_on_paper(t):
    factor = 0.7
    generator = torch.Generator().manual_seed(0)
    x_0, noise = torch.randn(2, 3, 1, 8, 8, generator=generator)
    signal = cosine_signal(t)
    x_t = math.sqrt(signal) * x_0 + math.sqrt(1 - signal) * noise
    expected = ((factor * x_t - noise) ** 2).mean()
    loss = noise_loss(
        Scripted(factor),
        scheduler=build_scheduler(steps=STEPS, betas="squaredcos_cap_v2"),
        x_0=x_0,
        t=torch.full((3,), t),
        noise=noise,
        condition=torch.zeros(3, dtype=torch.int64),
    )
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-5)


class BestNoise(nn.Module):
    """The exact noise prediction for images N(0.2, 0.3 ** 2), at times between two steps too."""

    def __init__(self, betas):
        super().__init__()
        signal = build_scheduler(steps=STEPS, betas=betas).alphas_cumprod.double().numpy()
        self.log_sigmas = np.log((1 - signal) / signal) / 2

    def forward(self, x_t, t, **_):
        sigma = np.exp(np.interp(t.numpy(), np.arange(STEPS), self.log_sigmas))
        sigma = torch.from_numpy(sigma)[:, None, None, None]
        x = x_t.double() * (1 + sigma**2).sqrt()
        return ((sigma * (x - 0.2) / (0.3**2 + sigma**2)).float(),)


@pytest.mark.parametrize("betas", ["linear", "squaredcos_cap_v2"])
def test_the_adapter_of_the_best_noise_prediction_is_the_best_denoiser(betas):
    model = Ddpm(BestNoise(betas), build_scheduler(steps=STEPS, betas=betas))
    sigma = torch.tensor([0.02, 0.1, 0.5, 1.0, 7.0, 80.0])
    wide = sigma[:, None, None, None]
    noise = torch.randn(6, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    x = 0.2 + (0.3**2 + wide**2).sqrt() * noise
    expected = 0.2 + 0.3**2 / (0.3**2 + wide**2) * (x - 0.2)
    found = model.denoise(x, sigma, torch.zeros(6, dtype=torch.int64))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def test_the_time_of_a_sigma_is_where_the_process_has_it():
    scheduler = build_scheduler(steps=STEPS, betas="squaredcos_cap_v2")
    model = Ddpm(unet(), scheduler)
    levels = [math.sqrt((1 - cosine_signal(t)) / cosine_signal(t)) for t in (1, 500, 501, 990)]
    between = math.sqrt(levels[1] * levels[2])
    sigma = torch.tensor([*levels, between])
    expected = torch.tensor([1, 500, 501, 990, 500.5])
    torch.testing.assert_close(model.time_of(sigma), expected, rtol=1e-4, atol=2e-3)
    # Cleaner than the first step and noisier than the last.
    assert model.time_of(torch.tensor([1e-4, 1e9])).tolist() == [0.0, 999.0]


def heads(model):
    return {
        (module.heads, module.to_q.out_features)
        for module in model.modules()
        if type(module).__name__ == "Attention"
    }


def test_there_is_a_head_every_eight_channels_or_one_over_all():
    assert heads(unet()) == set()
    assert heads(unet(attention_levels=(0, 1))) == {(1, 8), (2, 16)}
    assert heads(unet(attention_levels=(0, 1), attention_heads=1)) == {(1, 8), (1, 16)}
    assert heads(unet(block_channels=(16, 32), attention_levels=(1,))) == {(4, 32)}


def test_the_main_job_has_the_size_it_says():
    model = unet(channels=1, classes=10, block_channels=(32, 64), groups=8)
    assert sum(weights.numel() for weights in model.parameters()) == 635_681
