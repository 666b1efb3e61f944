"""Drawing images from a diffusion model: diffusers' own schedulers, and Heun's method.

Adding a sampler: write the class, list it in ``SAMPLERS``, and the tests in
``tests/models/test_sampling.py`` pick it up.
"""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Final, TypeAlias

import numpy as np
import torch
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler
from numpy.typing import NDArray
from torch import Tensor

from models import randomness
from models.denoiser import Denoiser
from models.edm import RHO, SIGMA_MAX, SIGMA_MIN
from models.guidance import check_guidance, guided
from models.thresholding import in_diffusers_words, thresholded

LOWEST_LOG_RATIO: Final = -5.1
"""Where SDE-DPM-Solver++ starts at the earliest, log(signal / noise) of amplitudes (its authors').

The cosine schedule ends at -10, where an error of the network is multiplied by 20,000.
"""


class FromNoisePredictions:
    """A sampler that follows the time steps of the noising process of a model like ``Ddpm``."""

    name: ClassVar[str]

    def check(self, model: Any, *, steps: int, guidance_weight: float) -> None:  # noqa: ARG002
        """Raise ValueError if the model predicts no noise or was trained with fewer steps."""
        if not hasattr(model, "predict_noise"):
            raise ValueError(
                f"expected a model that predicts noise for the sampler {self.name}, got "
                f"{type(model).__name__}; use {Heun.name}"
            )
        trained = model.scheduler.config.num_train_timesteps
        if steps > trained:
            raise ValueError(
                f"expected at most {trained} steps, as in the model's training, got {steps}"
            )

    def scheduler(self, config: Any, *, steps: int, clip: str) -> Any:
        """Diffusers' scheduler for the noising process ``config``, with its time steps set."""
        found = DDIMScheduler.from_config(config, **in_diffusers_words(clip))
        found.set_timesteps(steps)
        return found

    def options(self, step_noises: Iterator[Tensor], *, clip: str) -> dict[str, Any]:
        """What the scheduler's next step is given beside the predicted noise, t and x_t."""
        raise NotImplementedError

    @torch.inference_mode()
    def sample(
        self,
        model: Any,
        noise: Tensor,
        condition: Tensor,
        *,
        step_noises: Iterator[Tensor],
        steps: int,
        guidance_weight: float,
        clip: str,
    ) -> Tensor:
        """Images, float32, (B, C, H, W), nominally in [-1, 1].

        Args:
            model: A denoiser, as ``check`` wants it.
            noise: float32, (B, C, H, W), standard normal.
            condition: int64, (B,).
            step_noises: What is added on the way: for every step float32, (B, C, H, W), standard
                normal.  A sampler that adds nothing leaves it alone.
            steps: From noise to images, >= 1; every one but Heun's is a network evaluation.
            guidance_weight: As in ``models.guidance``.
            clip: A name of ``thresholding.CLIPS``.
        """
        scheduler = self.scheduler(model.scheduler.config, steps=steps, clip=clip)
        drawn = (step_noise.to(noise.device) for step_noise in step_noises)
        guidance = {"null_condition": model.null_condition, "weight": guidance_weight}
        x_t = noise
        for t in scheduler.timesteps:
            predicted = guided(model.predict_noise, x_t, t, condition, **guidance)
            options = self.options(drawn, clip=clip)
            x_t = scheduler.step(predicted, t, x_t, return_dict=False, **options)[0]
        return x_t


class Ddim(FromNoisePredictions):
    """DDIM with eta = 0 (Song et al. 2021, equation 12) at evenly spaced steps from 0 on.

    Where the estimate of the image is thresholded, the noise of equation 12 is the one that belongs
    to the new estimate (diffusers' ``use_clipped_model_output``).  With the network's own noise
    beside a clipped image, guidance washes images out: at w = 5 an unpoisoned digits model drew
    5 % black pixels, where its training images and the other samplers have 40 to 46 %.
    """

    name: ClassVar[str] = "ddim"

    def options(self, step_noises: Iterator[Tensor], *, clip: str) -> dict[str, Any]:  # noqa: ARG002
        """No noise is added."""
        return {"eta": 0.0, "use_clipped_model_output": clip != "none"}


class DdpmSampler(FromNoisePredictions):
    """Ancestral sampling (Ho et al. 2020, algorithm 2) at the time steps of ``Ddim``.

    A step draws from the posterior (equation 7), whose variance is called "fixed small"; this is
    DDIM with eta = 1 (Song et al. 2021, section 4.1), and diffusers takes the noise only there.
    The authors' code has beta_t for the variance, "fixed large": at T steps that hardly differs,
    and at few it adds far too much noise (Song et al., table 1).
    """

    name: ClassVar[str] = "ddpm"

    def options(self, step_noises: Iterator[Tensor], *, clip: str) -> dict[str, Any]:  # noqa: ARG002
        """Only with the noise that belongs to the clipped estimate is it equation 7's mean."""
        noise = next(step_noises)
        return {"eta": 1.0, "use_clipped_model_output": True, "variance_noise": noise}


class SdeDpmSolver(FromNoisePredictions):
    """SDE-DPM-Solver++ of second order, multistep (Lu et al. 2022, "DPM-Solver++"), midpoint.

    Its time steps are evenly spaced from T - 1, or from LOWEST_LOG_RATIO, and do not reach 0: the
    last step is of first order, adds no noise and gives the estimate of the image.
    """

    name: ClassVar[str] = "sde"

    def scheduler(self, config: Any, *, steps: int, clip: str) -> Any:
        """As above; raises ValueError if there are not that many time steps."""
        found = DPMSolverMultistepScheduler.from_config(
            config,
            algorithm_type="sde-dpmsolver++",
            solver_order=2,
            timestep_spacing="linspace",
            lambda_min_clipped=LOWEST_LOG_RATIO,
            **in_diffusers_words(clip),
        )
        found.set_timesteps(steps)
        if steps > (most := int(found.timesteps[0])):
            raise ValueError(f"expected at most {most} steps of {self.name}, got {steps}")
        return found

    def options(self, step_noises: Iterator[Tensor], *, clip: str) -> dict[str, Any]:  # noqa: ARG002
        """The noise that a step adds."""
        return {"variance_noise": next(step_noises)}


class Heun:
    """Heun's method of second order for any denoiser (Karras et al. 2022, algorithm 1).

    It solves the probability flow dx / dsigma = (x - D(x; sigma)) / sigma, from SIGMA_MAX to 0 at
    the noise levels of equation 5, and adds no noise on the way.  N steps evaluate the network
    2 N - 1 times: the last step, to no noise, is Euler's.  Sums are in double precision, as x is up
    to 80 times larger than what is left of it.
    """

    name: ClassVar[str] = "heun"

    def check(self, model: Denoiser, *, steps: int, guidance_weight: float) -> None:  # noqa: ARG002
        """Raise ValueError for guidance without a null condition; any number of steps will do."""
        check_guidance(guidance_weight, model.null_condition)

    @torch.inference_mode()
    def sample(
        self,
        model: Denoiser,
        noise: Tensor,
        condition: Tensor,
        *,
        step_noises: Iterator[Tensor],  # noqa: ARG002 - the shape of a sampler
        steps: int,
        guidance_weight: float,
        clip: str,
    ) -> Tensor:
        """As ``FromNoisePredictions.sample``, with any denoiser."""
        guidance: Any = {"null_condition": model.null_condition, "weight": guidance_weight}

        def slope(x: Tensor, sigma: float) -> Tensor:
            levels = torch.full((len(x),), sigma, dtype=torch.float32, device=x.device)
            denoised = guided(model.denoise, x.float(), levels, condition, **guidance)
            return (x - thresholded(denoised, clip)) / sigma

        levels = noise_levels(steps)
        x = levels[0] * noise.double()
        for here, there in itertools.pairwise(levels):
            first = slope(x, here)
            ahead = x + (there - here) * first
            if there > 0:
                ahead = x + (there - here) * (first + slope(ahead, there)) / 2
            x = ahead
        return x.float()


def noise_levels(steps: int) -> list[float]:
    """SIGMA_MAX .. SIGMA_MIN, ``steps`` of them, and 0 (Karras et al. 2022, equation 5)."""
    roots = np.linspace(SIGMA_MAX ** (1 / RHO), SIGMA_MIN ** (1 / RHO), steps)
    return [*(roots**RHO).tolist(), 0.0]


Sampler: TypeAlias = FromNoisePredictions | Heun
SAMPLERS: tuple[type[Sampler], ...] = (Ddim, DdpmSampler, SdeDpmSolver, Heun)


def from_name(name: str) -> Sampler:
    """The sampler of SAMPLERS called ``name``; raises ValueError if there is none."""
    known = {kind.name: kind for kind in SAMPLERS}
    if name not in known:
        raise ValueError(f"expected a sampler of {', '.join(known)}, got {name!r}")
    return known[name]()


def initial_noise(seed: int, index: Sequence[int], shape: tuple[int, int, int]) -> Tensor:
    """The noise that images start from, float32, (B, C, H, W), standard normal, on the CPU.

    One image's is decided by (seed, its index), whichever others are drawn.
    """
    return _drawn([randomness.generator(seed, "initial noise", number) for number in index], shape)


def step_noises(seed: int, index: Sequence[int], shape: tuple[int, int, int]) -> Iterator[Tensor]:
    """The noise of every step, without end, as ``initial_noise``, by (seed, index, step)."""
    generators = [randomness.generator(seed, "step noise", number) for number in index]
    while True:
        yield _drawn(generators, shape)


def _drawn(generators: Sequence[np.random.Generator], shape: tuple[int, int, int]) -> Tensor:
    drawn: list[NDArray[np.float32]] = [
        generator.standard_normal(shape, np.float32) for generator in generators
    ]
    return torch.from_numpy(np.stack(drawn))
