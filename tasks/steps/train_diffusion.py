"""Train a class-conditional diffusion model on whatever the stream brings.

Noise-prediction DDPM (Ho et al. 2020) or EDM (Karras et al. 2022), with the condition dropped now
and then for classifier-free guidance (Ho and Salimans 2022).  The trainer sees images and labels,
never which are poisoned.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Union

import numpy as np
from numpy.typing import NDArray

from tasks.data import images
from tasks.steps import batches as stream
from tasks.steps.batches import Batch, Batches, Report

if TYPE_CHECKING:
    import torch

    from models.ddpm import Ddpm
    from models.edm import Edm

NOISE_MODELS = ("ddpm", "edm")
"""What a network is trained to predict, and from how much noise."""

BETAS = ("linear", "scaled_linear", "squaredcos_cap_v2")
"""Beta schedules that diffusers knows and this task allows."""

SCHEDULES = ("one_cycle", "warmup_cosine", "ramp")
"""Schedules of ``models.training`` that this task allows."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Network, noising process and optimization."""

    revision: ClassVar[int] = 2
    """Add one when the same settings would now give other bytes."""

    image_size: int = 8
    """Side of the images, pixels."""
    channels: int = 1
    """Color channels of the images, 1 or 3."""
    classes: int = 10
    """Classes of the dataset; the null condition is one more."""
    block_channels: tuple[int, ...] = (32, 64)
    """Width of the U-Net, one entry a level; each level halves the side."""
    layers_per_block: int = 1
    """Residual blocks a level."""
    attention_levels: tuple[int, ...] = ()
    """Levels with self-attention, 0 being the full side."""
    groups: int = 8
    """Groups of the group normalization; divides every width."""
    dropout: float = 0.0
    """Probability, 0 <= p < 1."""
    diffusion_steps: int = 1000
    """T of the noising process of a DDPM."""
    betas: str = "squaredcos_cap_v2"
    """Its beta schedule, a name of BETAS."""
    null_probability: float = 0.1
    """How often a condition becomes the null condition, 0 <= p < 1; at 0 an EDM has none."""
    steps: int = 1000
    """Updates: 10 or more with one cycle, else 2."""
    batch_size: int = 64
    """Images of a global batch."""
    learning_rate: float = 1e-3
    """Peak of the schedule, > 0."""
    weight_decay: float = 1e-4
    """Of AdamW, >= 0 (paper, A.3)."""
    ema_decay: float | None = 0.995
    """Decay a step of the averaged weights, which are published, 0 < d < 1; None for no average."""
    seed: int = 0
    """Draws initial weights, order, noise, how much of it, null conditions and augmentation."""
    schedule: str = field(default="one_cycle", metadata={"since": 2})
    """A name of SCHEDULES; ``warmup_cosine`` is the authors', ``ramp`` that of their EDM."""
    attention_heads: int | None = field(default=None, metadata={"since": 2})
    """1 for one head over all channels; None for a head every 8 channels."""
    window_bytes: int = field(default=2 * 2**30, metadata={"since": 2})
    """Most bytes of images, uint8, held at once; of more, an epoch's order is window by window."""
    noise_model: str = field(default="ddpm", metadata={"since": 3})
    """A name of NOISE_MODELS."""
    p_mean: float = field(default=-1.2, metadata={"since": 3})
    """Of an EDM: mean of log sigma in training."""
    p_std: float = field(default=1.2, metadata={"since": 3})
    """Of an EDM: deviation of log sigma in training, > 0."""
    sigma_data: float = field(default=0.5, metadata={"since": 3})
    """Of an EDM: deviation of the images' pixels, > 0."""
    augmentation: float = field(default=0.0, metadata={"since": 3})
    """Of an EDM: probability of each kind of move (Karras, F.2), 0 <= p < 1; 0 for no mirroring."""

    def __post_init__(self) -> None:
        """Refuse what cannot be built or trained."""
        levels = len(self.block_channels)
        if not levels or self.image_size % 2 ** (levels - 1):
            raise ValueError(
                f"expected a side that can be halved {levels - 1} times, got image_size "
                f"{self.image_size} with block_channels {self.block_channels}; use fewer levels"
            )
        if self.groups < 1 or any(width % self.groups for width in self.block_channels):
            raise ValueError(
                f"expected groups that divide every width, got {self.groups} for "
                f"{self.block_channels}; use multiples of {self.groups}"
            )
        if not set(self.attention_levels) <= set(range(levels)):
            raise ValueError(
                f"expected attention_levels among 0..{levels - 1}, got {self.attention_levels}"
            )
        check_name("betas", self.betas, BETAS)
        _check_fraction("dropout", self.dropout)
        _check_fraction("null_probability", self.null_probability)
        if self.ema_decay is not None and not 0 < self.ema_decay < 1:
            raise ValueError(f"expected ema_decay in (0, 1) or None, got {self.ema_decay}")
        if self.attention_heads not in (None, 1):
            raise ValueError(
                f"expected attention_heads of 1 or None, got {self.attention_heads}: diffusers "
                "fixes a head's channels, not how many heads there are"
            )
        self._check_noise_model()
        check_name("schedule", self.schedule, SCHEDULES)
        check_optimization(
            self.steps, self.batch_size, self.learning_rate, self.schedule, self.window_bytes
        )

    def _check_noise_model(self) -> None:
        check_name("noise_model", self.noise_model, NOISE_MODELS)
        _check_fraction("augmentation", self.augmentation)
        if self.augmentation and self.noise_model != "edm":
            raise ValueError(
                f"expected augmentation 0 with noise_model {self.noise_model}, got "
                f"{self.augmentation}; use noise_model edm, whose network is told of it"
            )
        if not -math.inf < self.p_mean < math.inf:
            raise ValueError(f"expected a finite p_mean, got {self.p_mean}")
        for name in ("p_std", "sigma_data"):
            if not 0 < getattr(self, name) < math.inf:
                raise ValueError(f"expected {name} above 0, got {getattr(self, name)}")

    @property
    def has_null_condition(self) -> bool:
        """Whether the network has an embedding for "none"; a DDPM's always does."""
        return self.noise_model == "ddpm" or self.null_probability > 0

    @property
    def label(self) -> str:
        """Readable part of the artifact's path, e.g. ``ddpm-32x64-1000steps-seed0``."""
        widths = "x".join(str(width) for width in self.block_channels)
        return f"{self.noise_model}-{widths}-{self.steps}steps-seed{self.seed}"

    @property
    def expected_seconds(self) -> float:
        """Rough cost on one core, fitted to measured steps of U-Nets of 8 to 32 pixels.

        A step of the defaults takes 0.085 s; one of the authors' CIFAR10 models, 400 s.
        """
        scores = 3.1e-9 if self.attention_heads is None else 8e-10
        each = 0.0
        for level, width in enumerate(self.block_channels):
            pixels = (self.image_size >> level) ** 2
            each += (4e-9 * width + 2.2e-7) * pixels * width
            if level in self.attention_levels:
                each += scores * pixels**2 * width
        return 3.0 + self.steps * (0.009 + each * self._depth * self.batch_size)

    @property
    def expected_bytes(self) -> int:
        """Rough size on disk."""
        return int(500 * sum(width**2 for width in self.block_channels) * self._depth)

    @property
    def _depth(self) -> float:
        """Residual blocks of a level, down and up, in those of the default."""
        return (2 * self.layers_per_block + 1) / 3


def check_optimization(
    steps: int, batch_size: int, learning_rate: float, schedule: str, window_bytes: int
) -> None:
    """Refuse a training that cannot start."""
    least, which = (10, "one cycle") if schedule == "one_cycle" else (2, schedule)
    if steps < least:
        raise ValueError(f"expected at least {least} steps, which {which} needs, got {steps}")
    if batch_size < 1:
        raise ValueError(f"expected a batch_size of at least 1, got {batch_size}")
    if not 0 < learning_rate < float("inf"):
        raise ValueError(f"expected a learning_rate above 0, got {learning_rate}")
    if window_bytes < 1:
        raise ValueError(f"expected window_bytes of at least 1, got {window_bytes}")


def check_name(setting: str, name: str, known: tuple[str, ...]) -> None:
    """Refuse a name that is not among the known ones."""
    if name not in known:
        raise ValueError(f"expected {setting} of {', '.join(known)}, got {name!r}")


def fit(
    settings: Settings,
    *,
    out: Path,
    batches: Batches,
    report: Report,
    resume: Path | None,
) -> None:
    """Train, and write ``unet/``, ``scheduler/``, ``model.json`` and ``history.csv``.

    Raises:
        ValueError: ``resume`` is a checkpoint of another training.
        FloatingPointError: The loss is NaN or infinite.
    """
    from models.device import one_thread
    from models.training import Recipe, Training

    recipe = Recipe(
        steps=settings.steps,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        ema_decay=settings.ema_decay,
        seed=settings.seed,
        schedule=settings.schedule,
    )
    with one_thread():
        training = Training(
            lambda: build(settings), recipe, rank=batches.rank, workers=batches.workers
        )
        loss_of_step = _losses(settings, training.device)
        if resume is not None:
            training.load(resume)
        own = stream.own_rows(settings.batch_size, rank=batches.rank, workers=batches.workers)
        for batch in stream.steps(batches, training.step, settings.steps):
            training.update(loss_of_step(training.step, batch, own))
            training.report_if_due(report)
        network = training.finish()
        if batches.rank == 0:
            model_of(settings, network).save(out)
            training.write_history(out / "history.csv")
            (out / "model.json").write_text(json.dumps(_describe(settings), indent=1) + "\n")


Loss = Callable[["torch.nn.Module"], "torch.Tensor"]


def _losses(settings: Settings, device: "torch.device") -> Callable[[int, Batch, slice], Loss]:
    """What is minimized in a step, of its number, this worker's rows and where they are."""
    import torch

    from models import ddpm, edm

    def on_device(arrays: tuple[NDArray[Any], ...]) -> list[torch.Tensor]:
        return [torch.from_numpy(array).to(device) for array in arrays]

    def of_ddpm(step: int, batch: Batch, own: slice) -> Loss:
        x_0, t, noise, condition = on_device(inputs_of_step(settings, step, batch, own))
        return partial(
            ddpm.noise_loss, scheduler=scheduler, x_0=x_0, t=t, noise=noise, condition=condition
        )

    def of_edm(step: int, batch: Batch, own: slice) -> Loss:
        image, sigma, noise, condition = on_device(edm_inputs_of_step(settings, step, batch, own))
        return partial(
            edm.denoising_loss,
            sigma_data=settings.sigma_data,
            image=image,
            sigma=sigma,
            noise=noise,
            condition=condition,
        )

    scheduler = ddpm.build_scheduler(steps=settings.diffusion_steps, betas=settings.betas)
    return of_ddpm if settings.noise_model == "ddpm" else of_edm


def inputs_of_step(
    settings: Settings, step: int, batch: Batch, own: slice
) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.float32], NDArray[np.int64]]:
    """What a DDPM is trained with in one step.

    Every worker draws for the whole global batch and keeps its rows, so how many workers there are
    changes nothing.

    Args:
        settings: Sizes, probabilities and the seed.
        step: 0, 1, ...
        batch: This worker's rows.
        own: Where they are in the global batch.

    Returns:
        x_0 float32 (B, C, H, W) in [-1, 1]; t int64 (B,), 0..T-1; noise float32 (B, C, H, W),
        standard normal; condition int64 (B,), the label or, now and then, the null condition.
    """
    from models.randomness import generator

    x_0 = images.to_float(batch["image"])
    t = generator(settings.seed, "time step", step).integers(
        settings.diffusion_steps, size=settings.batch_size
    )
    noise = _noise(settings, step, x_0.shape[1:])[own]
    return x_0, t[own], noise, _condition(settings, step, batch, own)


def edm_inputs_of_step(
    settings: Settings, step: int, batch: Batch, own: slice
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32], NDArray[Any]]:
    """What an EDM is trained with in one step; drawn, and asked for, as ``inputs_of_step``.

    Returns:
        image float32 (B, C, H, W) in [-1, 1]; sigma float32 (B,), > 0; noise float32 (B, C, H, W),
        standard normal; condition int64 (B,) as of a DDPM, or with augmentation float32 (B, 10), as
        ``models.edm_augmentation.LabeledEmbedding`` takes it.
    """
    from models import edm_augmentation
    from models.randomness import generator

    image = images.to_float(batch["image"])
    drawn = generator(settings.seed, "sigma", step).standard_normal(settings.batch_size)
    sigma = np.exp(settings.p_mean + settings.p_std * drawn).astype(np.float32)
    noise = _noise(settings, step, image.shape[1:])[own]
    condition = _condition(settings, step, batch, own)
    if not settings.augmentation:
        return image, sigma[own], noise, condition
    moves = edm_augmentation.draw(
        generator(settings.seed, "augmentation", step),
        whole=settings.batch_size,
        own=own,
        probability=settings.augmentation,
    )
    told = edm_augmentation.with_labels(condition, moves)
    return edm_augmentation.move(image, moves), sigma[own], noise, told


def _noise(settings: Settings, step: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Of the whole global batch, float32, (batch_size, *shape), standard normal."""
    from models.randomness import generator

    drawn: NDArray[np.float32] = generator(settings.seed, "noise", step).standard_normal(
        (settings.batch_size, *shape), np.float32
    )
    return drawn


def _condition(settings: Settings, step: int, batch: Batch, own: slice) -> NDArray[np.int64]:
    """This worker's labels, some replaced by the null condition, int64, (B,)."""
    from models.randomness import generator

    draws = generator(settings.seed, "null condition", step).random(settings.batch_size)
    dropped = draws < settings.null_probability
    return np.where(dropped[own], settings.classes, batch["label"])


def build(settings: Settings) -> "torch.nn.Module":
    """The U-Net of these settings, freshly initialized from torch's own generator.

    With augmentation its class embedding takes the labels of it too.
    """
    from models import ddpm, edm_augmentation

    network: torch.nn.Module = ddpm.build_network(
        image_size=settings.image_size,
        channels=settings.channels,
        classes=settings.classes,
        block_channels=settings.block_channels,
        layers_per_block=settings.layers_per_block,
        attention_levels=settings.attention_levels,
        groups=settings.groups,
        dropout=settings.dropout,
        attention_heads=settings.attention_heads,
        null_condition=settings.has_null_condition,
    )
    if settings.augmentation:
        edm_augmentation.label(network)
    return network


def model_of(settings: Settings, network: "torch.nn.Module") -> Union["Ddpm", "Edm"]:
    """The model that is published of a network that ``build`` made."""
    from models import ddpm, edm, edm_augmentation

    if settings.augmentation:
        edm_augmentation.unlabel(network)
    if settings.noise_model == "edm":
        scheduler = edm.build_scheduler(sigma_data=settings.sigma_data)
        return edm.Edm(network, scheduler, settings.classes)
    return ddpm.Ddpm(
        network, ddpm.build_scheduler(steps=settings.diffusion_steps, betas=settings.betas)
    )


def _describe(settings: Settings) -> dict[str, object]:
    """What ``model.json`` says, for readers that do not open the weights."""
    described: dict[str, object] = {
        "kind": settings.noise_model,
        "classes": settings.classes,
        "null_condition": settings.classes if settings.has_null_condition else None,
        "image_size": settings.image_size,
        "channels": settings.channels,
        "weights": "last" if settings.ema_decay is None else "averaged",
        "ema_decay": settings.ema_decay,
        "steps": settings.steps,
    }
    if settings.noise_model == "edm":
        own = ("p_mean", "p_std", "sigma_data", "augmentation")
        described |= {name: getattr(settings, name) for name in own}
    return described


def _check_fraction(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise ValueError(f"expected {name} in [0, 1), got {value}")
