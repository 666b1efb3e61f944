"""Guided sampling with one forward pass a step, of twice the images, against two passes."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from orchestrator.studies.scales import LAPTOP, Scale

GUIDANCE_WEIGHT = 2.0
"""Any but 1, which needs no unconditional prediction."""


@dataclass
class Passes:
    """Seconds of the same batch of images, sampled both ways in turns."""

    images: int
    """In a batch."""
    evaluations: int
    """Network evaluations of one image."""
    together: list[float] = field(default_factory=list)
    """One pass a step, conditional and unconditional in one batch: what ``guided`` does."""
    apart: list[float] = field(default_factory=list)
    """Two passes a step, each of one half."""

    @property
    def ratio(self) -> float:
        """Median of together over median of apart: below 1, one pass is faster."""
        return statistics.median(self.together) / statistics.median(self.apart)

    @property
    def ratios(self) -> list[float]:
        """Together over the run apart right after it."""
        return [one / two for one, two in zip(self.together, self.apart, strict=True)]


def passes(
    runs: int, batch: int, enough: Callable[[], bool] = lambda: False, scale: Scale = LAPTOP
) -> Passes:
    """Sample ``batch`` images of a scale's untrained network both ways, ``runs`` times in turns.

    On one thread, as every worker computes; a first, untimed round warms up.

    Args:
        runs: Timed rounds.
        batch: Images.
        enough: Asked after every round; True ends it.
        scale: Whose network, noising and sampling; of the laptop's by default.
    """
    from models.device import one_thread

    samples = scale.generations
    found = Passes(images=batch, evaluations=2 * samples.steps)
    with one_thread():
        model = _model(scale)
        for turn in range(runs + 1):
            together = _seconds(model, scale, batch)
            apart = _seconds(_Apart(model), scale, batch)
            if turn:
                found.together.append(together)
                found.apart.append(apart)
                if enough():
                    break
    return found


def _model(scale: Scale) -> Any:
    from models import randomness
    from models.ddpm import Ddpm, build_scheduler
    from tasks.steps import train_diffusion

    settings = scale.diffusion
    with randomness.torch_seeded(0, "bench"):
        network: Any = train_diffusion.build(settings)
    scheduler = build_scheduler(steps=settings.diffusion_steps, betas=settings.betas)
    return Ddpm(network.eval(), scheduler)


def _seconds(model: Any, scale: Scale, batch: int) -> float:
    import torch

    from models.sampling import from_name, initial_noise, step_noises

    samples, drawing = scale.generations, (0, range(batch), model.image_shape)
    noise, condition = initial_noise(*drawing), torch.zeros(batch, dtype=torch.int64)
    began = time.perf_counter()
    from_name(samples.sampler).sample(
        model,
        noise,
        condition,
        step_noises=step_noises(*drawing),
        steps=samples.steps,
        guidance_weight=GUIDANCE_WEIGHT,
        clip=samples.clip,
    )
    return time.perf_counter() - began


class _Apart:
    """A model that predicts for either half of what it is given by itself."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def predict_noise(self, x_t: Any, t: Any, condition: Any) -> Any:
        import torch

        halves = zip(x_t.chunk(2), condition.chunk(2), strict=True)
        return torch.cat([self.model.predict_noise(x, t, of) for x, of in halves])
