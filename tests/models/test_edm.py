"""EDM against closed forms: for Gaussian images the best denoiser and its loss are known."""

import pytest
import torch
from torch import nn

from models.edm import build_scheduler, denoise, denoising_loss, precondition

MEAN, SPREAD = 0.2, 0.3
SIGMAS = [0.002, 0.3, 80.0]


def draw(count, seed=0):
    """Images of N(MEAN, SPREAD ** 2) and noise, float32, (count, 1, 4, 4)."""
    generator = torch.Generator().manual_seed(seed)
    image, noise = torch.randn(2, count, 1, 4, 4, generator=generator)
    return MEAN + SPREAD * image, noise


def best(x, sigma):
    """The optimal denoiser of these images."""
    return MEAN + SPREAD**2 / (SPREAD**2 + sigma**2) * (x - MEAN)


class Best(nn.Module):
    """F whose D is the optimal denoiser: equation 7 solved for F."""

    def __init__(self, sigma_data):
        super().__init__()
        self.sigma_data = sigma_data

    def forward(self, scaled, c_noise, **_):
        sigma, data = torch.exp(4 * c_noise.double())[:, None, None, None], self.sigma_data
        x = scaled.double() * torch.sqrt(sigma**2 + data**2)
        skip = data**2 / (sigma**2 + data**2)
        out = sigma * data / torch.sqrt(sigma**2 + data**2)
        return (((best(x, sigma) - skip * x) / out).float(),)


@pytest.mark.parametrize("sigma_data", [0.5, SPREAD])
@pytest.mark.parametrize("sigma", SIGMAS)
def test_the_wrapped_network_is_the_denoiser(sigma, sigma_data):
    image, noise = draw(3)
    x = image + sigma * noise
    levels = torch.full((3,), sigma)
    found = denoise(Best(sigma_data), x, levels, levels, sigma_data=sigma_data)
    torch.testing.assert_close(found, best(x, sigma), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("sigma_data", [0.5, SPREAD])
@pytest.mark.parametrize("sigma", SIGMAS)
def test_the_loss_of_the_best_denoiser_is_the_analytic_one(sigma, sigma_data):
    image, noise = draw(4000)
    loss = denoising_loss(
        Best(sigma_data),
        sigma_data=sigma_data,
        image=image,
        sigma=torch.full((4000,), sigma),
        noise=noise,
        condition=torch.zeros(4000, dtype=torch.int64),
    )
    # The posterior's variance is s^2 sigma^2 / (s^2 + sigma^2); 64,000 squares know it to 0.56 %.
    posterior = SPREAD**2 * sigma**2 / (SPREAD**2 + sigma**2)
    weight = (sigma**2 + sigma_data**2) / (sigma * sigma_data) ** 2
    assert float(loss) == pytest.approx(weight * posterior, rel=5 * 0.0056)
    if sigma_data == SPREAD:
        assert weight * posterior == pytest.approx(1)


def test_the_wrapping_is_the_one_of_diffusers():
    scheduler = build_scheduler(sigma_data=0.4)
    x, raw = draw(3)
    for row, level in enumerate(SIGMAS):
        sigma = torch.tensor([level])
        factors = precondition(sigma, sigma_data=0.4)
        torch.testing.assert_close(
            factors.input * x[row], scheduler.precondition_inputs(x[row], sigma)[None]
        )
        torch.testing.assert_close(
            factors.skip * x[row] + factors.out * raw[row],
            scheduler.precondition_outputs(x[row], raw[row], sigma)[None],
        )
        torch.testing.assert_close(factors.noise, scheduler.precondition_noise(sigma))
