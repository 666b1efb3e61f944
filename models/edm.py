"""EDM: a U-Net wrapped so that it denoises an image of any noise (Karras et al. 2022).

The wrapping (Table 1, "Ours") gives the network inputs and targets of unit variance whatever the
noise; its loss is weighted so that every noise level counts the same at the start.  A saved model
opens with diffusers, whose ``EDMEulerScheduler`` applies the same wrapping.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, Self

import torch
from diffusers import EDMEulerScheduler, UNet2DModel
from torch import Tensor, nn

SIGMA_MIN: Final = 0.002
"""The least noise on a sampler's way (Table 1)."""
SIGMA_MAX: Final = 80.0
"""The noise that a sampler starts from (Table 1)."""
RHO: Final = 7.0
"""How much more densely a sampler's steps lie where there is little noise (Table 1)."""

_CLASSES: Final = "classes.json"


@dataclass(frozen=True)
class Edm:
    """A trained model, ready to denoise."""

    network: UNet2DModel
    """F of equation 7; in evaluation mode."""
    scheduler: EDMEulerScheduler
    """Holds sigma_data, with which it was trained."""
    classes: int
    """Real ones.  The network has one more embedding if it was trained with a null condition."""

    @property
    def null_condition(self) -> int | None:
        """The condition that means "none": one past the last class; None without one."""
        return self.classes if self.network.config.num_class_embeds > self.classes else None

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        size = self.network.config.sample_size
        return (self.network.config.in_channels, size, size)

    def denoise(self, x: Tensor, sigma: Tensor, condition: Tensor) -> Tensor:
        """D(x; sigma, condition); see ``models.denoiser.Denoiser.denoise``."""
        sigma_data = self.scheduler.config.sigma_data
        return denoise(self.network, x, sigma, condition, sigma_data=sigma_data)

    def decode(self, x: Tensor) -> Tensor:
        """Images of what is denoised: these are images already."""
        return x

    @classmethod
    def load(cls, folder: Path, device: torch.device) -> Self:
        """Open what ``save`` wrote."""
        network = UNet2DModel.from_pretrained(
            folder / "unet", low_cpu_mem_usage=False, use_safetensors=True
        )
        scheduler = EDMEulerScheduler.from_pretrained(folder / "scheduler")
        classes = json.loads((folder / _CLASSES).read_text())["classes"]
        return cls(network.to(device).eval(), scheduler, classes)

    def save(self, folder: Path) -> None:
        """Write ``unet/`` (safetensors), ``scheduler/`` and ``classes.json``."""
        self.network.save_pretrained(folder / "unet")
        self.scheduler.save_pretrained(folder / "scheduler")
        (folder / _CLASSES).write_text(json.dumps({"classes": self.classes}) + "\n")


def build_scheduler(*, sigma_data: float) -> EDMEulerScheduler:
    """The noise levels of Table 1 for images whose pixels deviate by ``sigma_data``."""
    return EDMEulerScheduler(
        sigma_min=SIGMA_MIN, sigma_max=SIGMA_MAX, sigma_data=sigma_data, rho=RHO
    )


class Preconditioning(NamedTuple):
    """c_skip, c_out, c_in and c_noise of Table 1, float32, (B, 1, 1, 1), ``noise`` (B,)."""

    skip: Tensor
    out: Tensor
    input: Tensor
    noise: Tensor


def precondition(sigma: Tensor, *, sigma_data: float) -> Preconditioning:
    """The factors for noise levels float32, (B,), > 0."""
    wide = sigma[:, None, None, None]
    total = wide.square() + sigma_data**2
    return Preconditioning(
        skip=sigma_data**2 / total,
        out=wide * sigma_data / total.sqrt(),
        input=total.rsqrt(),
        noise=sigma.log() / 4,
    )


def loss_weight(sigma: Tensor, *, sigma_data: float) -> Tensor:
    """lambda(sigma) = 1 / c_out ** 2 (Table 1), of any shape."""
    return (sigma.square() + sigma_data**2) / (sigma * sigma_data).square()


def denoise(
    network: nn.Module, x: Tensor, sigma: Tensor, condition: Tensor, *, sigma_data: float
) -> Tensor:
    """D = c_skip x + c_out F(c_in x; c_noise, condition) (equation 7), float32, (B, C, H, W).

    Given a noised x of that shape and sigma, float32, (B,), > 0.  The network is F, perhaps wrapped
    for data-parallel training; the condition is what its class embedding takes.
    """
    factors = precondition(sigma, sigma_data=sigma_data)
    raw: Tensor = network(
        factors.input * x, factors.noise, class_labels=condition, return_dict=False
    )[0]
    return factors.skip * x + factors.out * raw.float()


def denoising_loss(
    network: nn.Module,
    *,
    sigma_data: float,
    image: Tensor,
    sigma: Tensor,
    noise: Tensor,
    condition: Tensor,
) -> Tensor:
    """Weighted squared error of the denoised image (equation 2 under Table 1), a scalar mean.

    Given an image in [-1, 1] and standard normal noise, both float32, (B, C, H, W), and sigma,
    float32, (B,), > 0; the rest as for ``denoise``.
    """
    x = image + sigma[:, None, None, None] * noise
    denoised = denoise(network, x, sigma, condition, sigma_data=sigma_data)
    weight = loss_weight(sigma, sigma_data=sigma_data)[:, None, None, None]
    return (weight * (denoised - image).square()).mean()
