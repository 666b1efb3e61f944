"""Drawing images from a diffusion model with diffusers' own schedulers.

Adding a sampler: write the class, list it in ``SAMPLERS``, and the tests in
``tests/models/test_sampling.py`` pick it up.
"""

from collections.abc import Sequence
from typing import ClassVar, Protocol

import numpy as np
import torch
from diffusers import DDIMScheduler, DDPMScheduler
from numpy.typing import NDArray
from torch import Tensor

from models import randomness
from models.guidance import guided_noise


class NoiseModel(Protocol):
    """Anything that predicts noise: DDPM here, Stable Diffusion's U-Net later."""

    @property
    def null_condition(self) -> int:
        """The condition that means "none"."""
        ...

    @property
    def scheduler(self) -> DDPMScheduler:
        """The noising process it was trained with."""
        ...

    def predict_noise(self, x_t: Tensor, t: Tensor, condition: Tensor) -> Tensor:
        """The noise in ``x_t``, float32, (B, C, H, W)."""
        ...


class Sampler(Protocol):
    """A way to turn noise into images."""

    name: ClassVar[str]

    def sample(
        self,
        model: NoiseModel,
        noise: Tensor,
        condition: Tensor,
        *,
        steps: int,
        guidance_weight: float,
        clip: bool,
    ) -> Tensor:
        """Images, float32, (B, C, H, W), nominally in [-1, 1].

        Args:
            model: Predicts noise.
            noise: float32, (B, C, H, W), standard normal.
            condition: int64, (B,).
            steps: Network evaluations, 1..T.
            guidance_weight: As in ``models.guidance``.
            clip: Whether every estimate of the image is clipped to [-1, 1] on the way.
        """
        ...


class Ddim:
    """DDIM with eta = 0 (Song et al. 2021, equation 12) at evenly spaced steps from 0 on."""

    name: ClassVar[str] = "ddim"

    @torch.inference_mode()
    def sample(
        self,
        model: NoiseModel,
        noise: Tensor,
        condition: Tensor,
        *,
        steps: int,
        guidance_weight: float,
        clip: bool,
    ) -> Tensor:
        """Images, float32, (B, C, H, W); see ``Sampler.sample``."""
        scheduler = DDIMScheduler.from_config(model.scheduler.config, clip_sample=clip)
        scheduler.set_timesteps(steps)
        x_t = noise
        for t in scheduler.timesteps:
            predicted = guided_noise(
                model.predict_noise,
                x_t,
                t,
                condition,
                null_condition=model.null_condition,
                weight=guidance_weight,
            )
            x_t = scheduler.step(predicted, t, x_t, eta=0.0, return_dict=False)[0]
        return x_t


SAMPLERS: tuple[type[Sampler], ...] = (Ddim,)


def from_name(name: str) -> Sampler:
    """The sampler of SAMPLERS called ``name``.

    Raises:
        ValueError: There is none.
    """
    known = {kind.name: kind for kind in SAMPLERS}
    if name not in known:
        raise ValueError(f"expected a sampler of {', '.join(known)}, got {name!r}")
    return known[name]()


def initial_noise(seed: int, index: Sequence[int], shape: tuple[int, int, int]) -> Tensor:
    """The noise that images start from; one image's does not depend on which others are drawn.

    Args:
        seed: Of the sampling.
        index: B numbers, one an image.
        shape: (C, H, W).

    Returns:
        float32, (B, C, H, W), standard normal, on the CPU.
    """
    drawn: list[NDArray[np.float32]] = [
        randomness.generator(seed, "initial noise", number).standard_normal(shape, np.float32)
        for number in index
    ]
    return torch.from_numpy(np.stack(drawn))
