"""Train the autoencoder of a small latent diffusion model on the streamed images.

A variational one (Kingma and Welling 2014) of Stable Diffusion's form (Rombach et al. 2022), with
the squared error for the reconstruction: no perceptual and no adversarial loss.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tasks.checks import check
from tasks.steps.batches import Batch, Batches, ReportProgress
from tasks.steps.training import Loss, TrainingSettings, train

if TYPE_CHECKING:
    import torch

SCHEDULES = ("one_cycle", "warmup_cosine", "ramp")
"""Schedules of ``models.training`` that this task allows."""
SCALED_ON = 20
"""Batches that the scaling factor is measured on, at most."""


@dataclass(frozen=True, kw_only=True)
class Settings(TrainingSettings):
    """Network and optimization."""

    revision = 1

    image_size: int = 16
    channels: int = 3
    classes: int = 0
    """Not looked at."""
    steps: int = 1500
    batch_size: int = 64
    weight_decay: float = 0.0
    block_channels: tuple[int, ...] = (16, 32)
    """Channels of each level; each level but the last halves the side."""
    groups: int = 8
    """Groups of the group normalization."""
    latent_channels: int = 4
    """Channels of a latent."""
    kl_weight: float = 1e-6
    """Weight of the Kullback-Leibler divergence from the standard normal, a latent's sum."""

    def __post_init__(self) -> None:
        factor = 2 ** (len(self.block_channels) - 1)
        if self.image_size % factor:
            raise ValueError(
                f"expected an image_size that is a multiple of {factor} with {factor}-fold "
                f"reduction, got {self.image_size}; use fewer block_channels"
            )
        check("kl_weight", self.kl_weight, "of at least 0", self.kl_weight >= 0)
        self.check_training(SCHEDULES)

    @property
    def label(self) -> str:
        """Readable part of the result's path."""
        return f"{self.image_size}px-{self.steps}steps-seed{self.seed}"

    @property
    def expected_seconds(self) -> float:
        """Rough time on one core."""
        work = sum(
            (self.image_size >> level) ** 2 * width**2
            for level, width in enumerate(self.block_channels)
        )
        return 3.0 + 4e-9 * self.steps * self.batch_size * work * 10

    @property
    def expected_bytes(self) -> int:
        """Rough size on disk."""
        return int(1000 * sum(width**2 for width in self.block_channels))


def fit(
    settings: Settings,
    *,
    out: Path,
    batches: Batches,
    report: ReportProgress,
    resume: Path | None,
) -> None:
    """Train, and write ``vae/``, with the factor for its latents, and ``history.csv``."""
    import torch

    from models.device import one_thread
    from models.latent import autoencoder

    with one_thread():
        training = train(
            settings,
            partial(build, settings),
            partial(_losses, settings),
            batches=batches,
            report=report,
            resume=resume,
            ema_decay=None,
            resident=True,
        )
        network: Any = training.finish()
        if batches.rank == 0:
            inputs = (_inputs(settings, *one, training.device) for one in _some(settings, batches))
            with torch.no_grad():
                drawn = [
                    autoencoder.latent(autoencoder.moments(network.vae, images), noise, 1.0)
                    for images, noise in inputs
                ]
            factor = autoencoder.scaling_factor_of(torch.cat(drawn))
            network.vae.register_to_config(scaling_factor=factor)
            network.vae.save_pretrained(out / "vae")
            training.write_history(out / "history.csv")


def build(settings: Settings) -> "torch.nn.Module":
    """The network, initialized from torch's own generator."""
    from models.latent import autoencoder

    names = ("image_size", "channels", "block_channels", "latent_channels", "groups")
    own: dict[str, Any] = {name: getattr(settings, name) for name in names}
    return autoencoder.Reconstruction(autoencoder.new_autoencoder(**own, layers_per_block=1))


def _some(settings: Settings, batches: Batches) -> Iterator[tuple[int, Batch, slice]]:
    """The first batches once more, this worker's rows."""
    drawn = islice(batches(0, settings.steps), SCALED_ON)
    yield from ((step, batch, batches.own) for step, batch in enumerate(drawn))


def _inputs(
    settings: Settings, step: int, batch: Batch, own: slice, device: "torch.device"
) -> tuple["torch.Tensor", "torch.Tensor"]:
    """Images, and the noise that their latents are drawn with."""
    from models.precision import on_device, to_float
    from models.randomness import generator

    side = settings.image_size >> len(settings.block_channels) - 1
    shape = (settings.batch_size, settings.latent_channels, side, side)
    draws = generator(settings.seed, "latent of the autoencoder", step)
    noise = draws.standard_normal(shape, np.float32)[own]
    return to_float(on_device(batch["image"], device)), on_device(noise, device)


def _losses(settings: Settings, device: "torch.device") -> Callable[[int, Batch, slice], Loss]:
    """The loss of a step, given its number, this worker's rows and their places."""
    from models.latent.autoencoder import reconstruction_loss

    def of_step(step: int, batch: Batch, own: slice) -> Loss:
        images, noise = _inputs(settings, step, batch, own, device)
        weight = settings.kl_weight
        return partial(reconstruction_loss, images=images, noise=noise, kl_weight=weight)

    return of_step
