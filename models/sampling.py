"""Drawing images from a diffusion model with diffusers' own schedulers.

Adding a sampler: write the class, list it in ``SAMPLERS``, and the tests in
``tests/models/test_sampling.py`` pick it up.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar, Final, Protocol

import numpy as np
import torch
from diffusers import DDIMScheduler, DDPMScheduler, DPMSolverMultistepScheduler
from numpy.typing import NDArray
from torch import Tensor

from models import randomness
from models.guidance import guided_noise

LOWEST_LOG_RATIO: Final = -5.1
"""Where SDE-DPM-Solver++ starts at the earliest, log(signal / noise) of amplitudes (its authors').

The cosine schedule ends at -10, where an error of the network is multiplied by 20,000.
"""


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
        step_noises: Iterator[Tensor],
        steps: int,
        guidance_weight: float,
        clip: bool,
    ) -> Tensor:
        """Images, float32, (B, C, H, W), nominally in [-1, 1].

        Args:
            model: Predicts noise.
            noise: float32, (B, C, H, W), standard normal.
            condition: int64, (B,).
            step_noises: What is added on the way: for every step float32, (B, C, H, W), standard
                normal.  A sampler that adds nothing leaves it alone.
            steps: Network evaluations, 1..T.
            guidance_weight: As in ``models.guidance``.
            clip: Whether every estimate of the image is clipped to [-1, 1] on the way.
        """
        ...


class Ddim:
    """DDIM with eta = 0 (Song et al. 2021, equation 12) at evenly spaced steps from 0 on.

    Where the estimate of the image is clipped, the noise of equation 12 is the one that belongs to
    the clipped estimate (diffusers' ``use_clipped_model_output``).  With the network's own noise
    beside a clipped image, guidance washes images out: at w = 5 an unpoisoned digits model drew
    5 % black pixels, where its training images and the other samplers have 40 to 46 %.
    """

    name: ClassVar[str] = "ddim"

    @torch.inference_mode()
    def sample(
        self,
        model: NoiseModel,
        noise: Tensor,
        condition: Tensor,
        *,
        step_noises: Iterator[Tensor],  # noqa: ARG002 - the shape of a sampler
        steps: int,
        guidance_weight: float,
        clip: bool,
    ) -> Tensor:
        """Images, float32, (B, C, H, W); see ``Sampler.sample``."""
        scheduler = DDIMScheduler.from_config(model.scheduler.config, clip_sample=clip)
        scheduler.set_timesteps(steps)

        def step(*now: Tensor) -> Tensor:
            return _first(
                scheduler.step(*now, eta=0.0, use_clipped_model_output=clip, return_dict=False)
            )

        return _walk(model, noise, condition, scheduler.timesteps, step, guidance_weight)


class Ddpm:
    """Ancestral sampling (Ho et al. 2020, algorithm 2) at the time steps of ``Ddim``.

    A step draws from the posterior (equation 7), whose variance is called "fixed small"; this is
    DDIM with eta = 1 (Song et al. 2021, section 4.1), and diffusers takes the noise only there.
    The authors' code has beta_t for the variance, "fixed large": at T steps that hardly differs,
    and at few it adds far too much noise (Song et al., table 1).
    """

    name: ClassVar[str] = "ddpm"

    @torch.inference_mode()
    def sample(
        self,
        model: NoiseModel,
        noise: Tensor,
        condition: Tensor,
        *,
        step_noises: Iterator[Tensor],
        steps: int,
        guidance_weight: float,
        clip: bool,
    ) -> Tensor:
        """Images, float32, (B, C, H, W); see ``Sampler.sample``."""
        scheduler = DDIMScheduler.from_config(model.scheduler.config, clip_sample=clip)
        scheduler.set_timesteps(steps)

        def step(*now: Tensor) -> Tensor:
            # Only with the noise that belongs to the clipped estimate is it equation 7's mean.
            return _first(
                scheduler.step(
                    *now,
                    eta=1.0,
                    use_clipped_model_output=True,
                    variance_noise=next(step_noises).to(noise.device),
                    return_dict=False,
                )
            )

        return _walk(model, noise, condition, scheduler.timesteps, step, guidance_weight)


class SdeDpmSolver:
    """SDE-DPM-Solver++ of second order, multistep (Lu et al. 2022, "DPM-Solver++"), midpoint.

    Its time steps are evenly spaced from T - 1, or from LOWEST_LOG_RATIO, and do not reach 0: the
    last step is of first order, adds no noise and gives the estimate of the image.
    """

    name: ClassVar[str] = "sde"

    @torch.inference_mode()
    def sample(
        self,
        model: NoiseModel,
        noise: Tensor,
        condition: Tensor,
        *,
        step_noises: Iterator[Tensor],
        steps: int,
        guidance_weight: float,
        clip: bool,
    ) -> Tensor:
        """Images, float32, (B, C, H, W); see ``Sampler.sample``.

        Raises:
            ValueError: There are not that many time steps.
        """
        scheduler = DPMSolverMultistepScheduler.from_config(
            model.scheduler.config,
            algorithm_type="sde-dpmsolver++",
            solver_order=2,
            timestep_spacing="linspace",
            lambda_min_clipped=LOWEST_LOG_RATIO,
            # Dynamic thresholding whose threshold may not leave 1 is clipping.
            thresholding=clip,
            sample_max_value=1.0,
        )
        scheduler.set_timesteps(steps)
        if steps > (most := int(scheduler.timesteps[0])):
            raise ValueError(f"expected at most {most} steps of {self.name}, got {steps}")

        def step(*now: Tensor) -> Tensor:
            drawn = next(step_noises)
            return _first(scheduler.step(*now, variance_noise=drawn, return_dict=False))

        return _walk(model, noise, condition, scheduler.timesteps, step, guidance_weight)


SAMPLERS: tuple[type[Sampler], ...] = (Ddim, Ddpm, SdeDpmSolver)


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
    return _drawn([randomness.generator(seed, "initial noise", number) for number in index], shape)


def step_noises(seed: int, index: Sequence[int], shape: tuple[int, int, int]) -> Iterator[Tensor]:
    """The noise of every step, without end; an image's depends on (seed, its number, step) alone.

    Args:
        seed: Of the sampling.
        index: B numbers, one an image.
        shape: (C, H, W).

    Yields:
        float32, (B, C, H, W), standard normal, on the CPU.
    """
    generators = [randomness.generator(seed, "step noise", number) for number in index]
    while True:
        yield _drawn(generators, shape)


def _drawn(generators: Sequence[np.random.Generator], shape: tuple[int, int, int]) -> Tensor:
    drawn: list[NDArray[np.float32]] = [
        generator.standard_normal(shape, np.float32) for generator in generators
    ]
    return torch.from_numpy(np.stack(drawn))


def _walk(
    model: NoiseModel,
    noise: Tensor,
    condition: Tensor,
    times: Tensor,
    step: Callable[[Tensor, Tensor, Tensor], Tensor],
    guidance_weight: float,
) -> Tensor:
    """From noise to images: ``x_t = step(predicted noise, t, x_t)`` for every t."""
    x_t = noise
    for t in times:
        predicted = guided_noise(
            model.predict_noise,
            x_t,
            t,
            condition,
            null_condition=model.null_condition,
            weight=guidance_weight,
        )
        x_t = step(predicted, t, x_t)
    return x_t


def _first(returned: tuple[Tensor, ...]) -> Tensor:
    """The sample among what a scheduler's step returns."""
    return returned[0]
