"""EDM against closed forms: for Gaussian images the best denoiser and its loss are known."""

import pytest
import torch
from diffusers import EDMEulerScheduler, UNet2DModel
from torch import nn

from models import edm
from models.edm import Edm, build_scheduler, denoise, denoising_loss, precondition
from tests.models.made import unet

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


@pytest.mark.parametrize(("null_condition", "expected"), [(True, 4), (False, None)])
@torch.no_grad()
def test_a_model_comes_back_from_its_folder(tmp_path, null_condition, expected):
    saved = Edm(unet(null_condition=null_condition), build_scheduler(sigma_data=0.4), 4)
    saved.save(tmp_path)
    loaded = Edm.load(tmp_path, torch.device("cpu"))
    assert (loaded.null_condition, loaded.classes, loaded.image_shape) == (expected, 4, (3, 8, 8))
    inputs = torch.ones(2, 3, 8, 8), torch.tensor([0.1, 7.0]), torch.tensor([1, 3])
    torch.testing.assert_close(loaded.denoise(*inputs), saved.denoise(*inputs), rtol=0, atol=0)
    assert not loaded.network.training
    assert UNet2DModel.from_pretrained(tmp_path / "unet").config.num_class_embeds == 4 + bool(
        expected
    )
    scheduler = EDMEulerScheduler.from_pretrained(tmp_path / "scheduler")
    assert (scheduler.config.sigma_data, scheduler.config.rho) == (0.4, edm.RHO)
