"""Class-conditional DDPM: a U-Net that predicts noise, and the process that adds it.

Ho et al. 2020, with the label dropped now and then for classifier-free guidance (Ho and Salimans
2022).  A saved model opens with diffusers.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import torch
from diffusers import DDPMScheduler, UNet2DModel
from torch import Tensor, nn


class NoisePredictor(ABC):
    """A model that predicts the noise at a time step, as a denoiser."""

    scheduler: DDPMScheduler
    """The noising process it was trained with."""

    @abstractmethod
    def predict_noise(self, x_t: Tensor, t: Tensor, condition: Tensor) -> Tensor:
        """The noise in ``x_t``, float32, (B, C, H, W), at ``t``, scalar or (B,), in [0, T - 1]."""

    def denoise(self, x: Tensor, sigma: Tensor, condition: Tensor) -> Tensor:
        """D(x; sigma, condition), from the noise that is predicted at the time with that sigma.

        ``x`` over sqrt(1 + sigma ** 2) is the x_t of the noising process (Karras et al. 2022,
        appendix C.3.1); see ``models.denoiser.Denoiser.denoise``.
        """
        wide = sigma[:, None, None, None]
        x_t = x / (1 + wide.square()).sqrt()
        return x - wide * self.predict_noise(x_t, self.time_of(sigma), condition)

    def time_of(self, sigma: Tensor) -> Tensor:
        """When the noise is ``sigma`` times the signal, float32, (B,), in [0, T - 1].

        Log sigma is interpolated over the T steps.  Less noise than the first step has, or more
        than the last, is taken for that step's.
        """
        levels = self._log_sigmas.to(sigma.device)
        asked = sigma.to(levels.dtype).log()
        above = torch.searchsorted(levels, asked).clamp(1, len(levels) - 1)
        low, high = levels[above - 1], levels[above]
        share = ((asked - low) / (high - low)).clamp(0, 1)
        return (above - 1 + share).float()

    def sigma_of(self, t: Tensor) -> Tensor:
        """What ``time_of`` inverts: noise over signal, float32, shaped as ``t``, in [0, T - 1]."""
        levels = self._log_sigmas.to(t.device)
        low = t.long().clamp(0, len(levels) - 2)
        return torch.lerp(levels[low], levels[low + 1], t.double() - low).exp().float()

    @cached_property
    def _log_sigmas(self) -> Tensor:
        """Log of noise over signal, amplitudes, of every step, float64, (T,), ascending."""
        signal = self.scheduler.alphas_cumprod.double()
        return ((1 - signal) / signal).log() / 2


@dataclass(frozen=True)
class Ddpm(NoisePredictor):
    """A trained model, ready to be sampled."""

    network: UNet2DModel
    """Predicts noise; in evaluation mode."""
    scheduler: DDPMScheduler
    """The noising process it was trained with."""

    @property
    def null_condition(self) -> int:
        """The condition that means "none": one past the last class."""
        return int(self.network.config.num_class_embeds) - 1

    @property
    def classes(self) -> int:
        """How many classes it knows."""
        return self.null_condition

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        size = self.network.config.sample_size
        return (self.network.config.in_channels, size, size)

    def predict_noise(self, x_t: Tensor, t: Tensor, condition: Tensor) -> Tensor:
        """The noise in ``x_t``, float32, (B, C, H, W), at ``t``, int64, scalar or (B,), 0..T-1."""
        predicted: Tensor = self.network(x_t, t, class_labels=condition, return_dict=False)[0]
        return predicted.float()

    def decode(self, x: Tensor) -> Tensor:
        """Images of what is denoised: these are images already."""
        return x

    @classmethod
    def load(cls, folder: Path, device: torch.device) -> Self:
        """Open what ``save`` wrote."""
        network = UNet2DModel.from_pretrained(
            folder / "unet", low_cpu_mem_usage=False, use_safetensors=True
        )
        scheduler = DDPMScheduler.from_pretrained(folder / "scheduler")
        return cls(network.to(device).eval(), scheduler)

    def save(self, folder: Path) -> None:
        """Write ``unet/`` (safetensors) and ``scheduler/``."""
        self.network.save_pretrained(folder / "unet")
        self.scheduler.save_pretrained(folder / "scheduler")


def build_network(
    *,
    image_size: int,
    channels: int,
    classes: int,
    block_channels: tuple[int, ...],
    layers_per_block: int,
    attention_levels: tuple[int, ...],
    groups: int,
    dropout: float,
    attention_heads: int | None = None,
    null_condition: bool = True,
) -> UNet2DModel:
    """A U-Net with one level per entry of ``block_channels``, freshly initialized.

    Args:
        image_size: Side, pixels; divisible by 2 ** (levels - 1).
        channels: Of the images.
        classes: Real ones.
        block_channels: Width of each level, each divisible by ``groups``.
        layers_per_block: Residual blocks a level on the way down; one more on the way up.
        attention_levels: Levels with self-attention; the middle has it if any level has.
        groups: Of the group normalization.
        dropout: Probability.
        attention_heads: 1 for one head over all channels; None for a head every 8 channels.
        null_condition: Whether one more embedding stands for "none".
    """
    attends = [level in attention_levels for level in range(len(block_channels))]
    down = tuple("AttnDownBlock2D" if attend else "DownBlock2D" for attend in attends)
    up = tuple("AttnUpBlock2D" if attend else "UpBlock2D" for attend in reversed(attends))
    return UNet2DModel(
        sample_size=image_size,
        in_channels=channels,
        out_channels=channels,
        block_out_channels=block_channels,
        down_block_types=down,
        up_block_types=up,
        layers_per_block=layers_per_block,
        norm_num_groups=groups,
        dropout=dropout,
        num_class_embeds=classes + null_condition,
        add_attention=any(attends),
        attention_head_dim=8 if attention_heads is None else None,
    )


def build_scheduler(*, steps: int, betas: str) -> DDPMScheduler:
    """The noising process with ``steps`` steps and diffusers' beta schedule of that name."""
    return DDPMScheduler(num_train_timesteps=steps, beta_schedule=betas)


def noise_loss(
    network: nn.Module,
    *,
    scheduler: DDPMScheduler,
    x_0: Tensor,
    t: Tensor,
    noise: Tensor,
    condition: Tensor,
) -> Tensor:
    """Mean squared error of the predicted noise (Ho et al. 2020, equation 14), a scalar.

    Given x_0 in [-1, 1] and standard normal noise, both float32, (B, C, H, W), t int64, (B,), in
    0..T-1, and the condition int64, (B,), a class or the null condition.
    """
    x_t = scheduler.add_noise(x_0, noise, t)
    predicted = network(x_t, t, class_labels=condition, return_dict=False)[0]
    return nn.functional.mse_loss(predicted.float(), noise)
