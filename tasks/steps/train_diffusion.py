"""Train a class-conditional diffusion model on the streamed images.

Noise-prediction DDPM (Ho et al. 2020) or EDM (Karras et al. 2022), with the condition dropped at
random for classifier-free guidance (Ho and Salimans 2022).
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Union

import numpy as np
from numpy.typing import NDArray

from tasks.checks import check, check_name
from tasks.steps.batches import Batch, Batches, ReportProgress
from tasks.steps.training import Loss, TrainingSettings, train

if TYPE_CHECKING:
    import torch

    from models.ddpm import Ddpm
    from models.edm import Edm

NOISE_MODELS = ("ddpm", "edm")
"""Kinds of diffusion models."""

BETAS = ("linear", "scaled_linear", "squaredcos_cap_v2")
"""Beta schedules of diffusers that this task allows."""

SCHEDULES = ("one_cycle", "warmup_cosine", "ramp")
"""Schedules of ``models.training`` that this task allows."""


@dataclass(frozen=True, kw_only=True)
class Settings(TrainingSettings):
    """Network, noising process and optimization."""

    revision = 2

    classes: int = 10
    """Classes of the dataset; the null condition is one more."""
    steps: int = 1000
    batch_size: int = 64
    weight_decay: float = 1e-4  # paper, A.3
    block_channels: tuple[int, ...] = (32, 64)
    """Channels of each level of the U-Net; each level halves the side."""
    layers_per_block: int = 1
    """Residual blocks of each level."""
    attention_levels: tuple[int, ...] = ()
    """Levels with self-attention, 0 being the full side."""
    groups: int = 8
    """Groups of the group normalization; divides all of block_channels."""
    dropout: float = 0.0
    """Dropout probability, 0 <= p < 1."""
    diffusion_steps: int = 1000
    """Steps T of the noising process of a DDPM."""
    betas: str = "squaredcos_cap_v2"
    """Beta schedule of a DDPM, a name of BETAS."""
    null_probability: float = 0.1
    """Probability of the null condition, 0 <= p < 1; at 0 an EDM has none."""
    ema_decay: float | None = 0.995
    """Decay a step of the averaged weights, which are saved, 0 < d < 1; None for no average."""
    attention_heads: int | None = field(default=None, metadata={"since": 2})
    """1 for one head over all channels; None for a head for every 8 channels."""
    noise_model: str = field(default="ddpm", metadata={"since": 3})
    """A name of NOISE_MODELS."""
    p_mean: float = field(default=-1.2, metadata={"since": 3})
    """Mean of log sigma in training an EDM."""
    p_std: float = field(default=1.2, metadata={"since": 3})
    """Standard deviation of log sigma in training an EDM, > 0."""
    sigma_data: float = field(default=0.5, metadata={"since": 3})
    """Standard deviation of the images' pixels for an EDM, > 0."""
    recompute: bool = field(default=False, metadata={"since": 3})
    """Whether activations are computed again for the gradients, for networks that do not fit."""
    augmentation: float = field(default=0.0, metadata={"since": 3})
    """Probability of each augmentation of an EDM (Karras, F.2), 0 <= p < 1; 0 mirrors nothing."""

    def __post_init__(self) -> None:
        levels, widths = len(self.block_channels), self.block_channels
        if not levels or self.image_size % 2 ** (levels - 1):
            raise ValueError(
                f"expected a side that can be halved {levels - 1} times, got image_size "
                f"{self.image_size} with block_channels {widths}; use fewer levels"
            )
        if self.groups < 1 or any(width % self.groups for width in widths):
            raise ValueError(
                f"expected groups that divide every width, got {self.groups} for {widths}; "
                f"use multiples of {self.groups}"
            )
        holds = set(self.attention_levels) <= set(range(levels))
        check("attention_levels", self.attention_levels, f"among 0..{levels - 1}", holds)
        check_name("betas", self.betas, BETAS)
        for name in ("dropout", "null_probability", "augmentation"):
            check(name, getattr(self, name), "in [0, 1)", 0 <= getattr(self, name) < 1)
        holds = self.ema_decay is None or 0 < self.ema_decay < 1
        check("ema_decay", self.ema_decay, "in (0, 1) or None", holds)
        # diffusers fixes the channels of a head, not the number of heads.
        holds = self.attention_heads in (None, 1)
        check("attention_heads", self.attention_heads, "of 1 or None", holds)
        check_name("noise_model", self.noise_model, NOISE_MODELS)
        if self.augmentation and self.noise_model != "edm":
            raise ValueError(
                f"expected augmentation 0 with noise_model {self.noise_model}, got "
                f"{self.augmentation}; use noise_model edm, whose network is given it"
            )
        check("p_mean", self.p_mean, "that is finite", -math.inf < self.p_mean < math.inf)
        for name in ("p_std", "sigma_data"):
            check(name, getattr(self, name), "above 0", 0 < getattr(self, name) < math.inf)
        self.check_training(SCHEDULES)

    @property
    def has_null_condition(self) -> bool:
        """Whether the network embeds the null condition; a DDPM always does."""
        return self.noise_model == "ddpm" or self.null_probability > 0

    @property
    def label(self) -> str:
        """Readable part of the result's path, e.g. ``ddpm-32x64-1000steps-seed0``."""
        widths = "x".join(str(width) for width in self.block_channels)
        return f"{self.noise_model}-{widths}-{self.steps}steps-seed{self.seed}"

    @property
    def expected_seconds(self) -> float:
        """Rough time on one core, fitted to measured steps of U-Nets of 8 to 32 pixels."""
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
        """Residual blocks of a level, relative to the default."""
        return (2 * self.layers_per_block + 1) / 3


def fit(
    settings: Settings,
    *,
    out: Path,
    batches: Batches,
    report: ReportProgress,
    resume: Path | None,
) -> None:
    """Train, and write ``unet/``, ``scheduler/``, ``model.json`` and ``history.csv``."""
    from models.device import one_thread

    with one_thread():
        training = train(
            settings,
            partial(build, settings),
            partial(_losses, settings),
            batches=batches,
            report=report,
            resume=resume,
            ema_decay=settings.ema_decay,
            resident=True,
        )
        network = training.finish()
        if batches.rank == 0:
            model_of(settings, network).save(out)
            training.write_history(out / "history.csv")
            (out / "model.json").write_text(json.dumps(_describe(settings), indent=1) + "\n")


def _losses(settings: Settings, device: "torch.device") -> Callable[[int, Batch, slice], Loss]:
    """The loss of a step, given its number, this worker's rows and their places."""
    import torch

    from models import ddpm, edm

    scheduler = ddpm.build_scheduler(steps=settings.diffusion_steps, betas=settings.betas)
    inputs: Callable[..., tuple[torch.Tensor, ...]]
    if settings.noise_model == "ddpm":
        names, inputs = ("x_0", "t", "noise", "condition"), inputs_of_step
        loss = partial(ddpm.noise_loss, scheduler=scheduler)
    else:
        names, inputs = ("image", "sigma", "noise", "condition"), edm_inputs_of_step
        loss = partial(edm.denoising_loss, sigma_data=settings.sigma_data)

    def of_step(step: int, batch: Batch, own: slice) -> Loss:
        tensors = inputs(settings, step, batch, own, device)
        return partial(loss, **dict(zip(names, tensors, strict=True)))

    return of_step


def inputs_of_step(
    settings: Settings, step: int, batch: Batch, own: slice, device: "torch.device"
) -> tuple["torch.Tensor", ...]:
    """Inputs of a DDPM for step 0, 1, ... of a worker with rows ``own`` of the global batch.

    Every worker draws for the whole global batch and keeps its rows.  Returns, on the device, x_0
    float32 (B, C, H, W) in [-1, 1]; t int64 (B,), 0..T-1; noise as x_0, standard normal; condition
    int64 (B,).
    """
    from models.precision import on_device, to_float
    from models.randomness import generator

    x_0 = to_float(on_device(batch["image"], device))
    t = generator(settings.seed, "time step", step).integers(
        settings.diffusion_steps, size=settings.batch_size
    )
    drawn = t[own], _noise(settings, step, tuple(x_0.shape[1:]))[own]
    condition = _condition(settings, step, batch, own)
    return x_0, *(on_device(array, device) for array in (*drawn, condition))


def edm_inputs_of_step(
    settings: Settings, step: int, batch: Batch, own: slice, device: "torch.device"
) -> tuple["torch.Tensor", ...]:
    """Inputs of an EDM for one step, as of ``inputs_of_step``, with sigma float32 (B,), > 0, for t.

    With augmentation the condition is float32 (B, 10).
    """
    from models import edm_augmentation
    from models.precision import on_device, to_float
    from models.randomness import generator

    image = to_float(on_device(batch["image"], device))
    normal = generator(settings.seed, "sigma", step).standard_normal(settings.batch_size)
    sigma = np.exp(settings.p_mean + settings.p_std * normal).astype(np.float32)
    drawn = sigma[own], _noise(settings, step, tuple(image.shape[1:]))[own]
    condition: NDArray[Any] = _condition(settings, step, batch, own)
    if settings.augmentation:
        draws, chance = generator(settings.seed, "augmentation", step), settings.augmentation
        whole = settings.batch_size
        moves = edm_augmentation.draw(draws, whole=whole, own=own, probability=chance)
        image = edm_augmentation.move(image, moves)
        condition = edm_augmentation.with_labels(condition, moves)
    return image, *(on_device(array, device) for array in (*drawn, condition))


@lru_cache(maxsize=1)  # the parts of a batch ask for it one after another
def _noise(settings: Settings, step: int, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Noise of the whole global batch, float32, (batch_size, *shape), standard normal."""
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
    """The U-Net, initialized from torch's own generator; it takes the augmentation's labels too."""
    from models import ddpm, edm_augmentation

    shape = ("image_size", "channels", "classes", "block_channels", "layers_per_block")
    others = ("attention_levels", "groups", "dropout", "attention_heads")
    given: dict[str, Any] = {name: getattr(settings, name) for name in (*shape, *others)}
    null_condition = settings.has_null_condition
    unet = ddpm.build_network(**given, null_condition=null_condition)
    if settings.augmentation:
        edm_augmentation.label(unet)
    if settings.recompute:
        unet.enable_gradient_checkpointing()
    network: torch.nn.Module = unet
    return network


def model_of(settings: Settings, network: "torch.nn.Module") -> Union["Ddpm", "Edm"]:
    """The model to save of a network that ``build`` made."""
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
    """What ``model.json`` says, for readers that do not load the weights."""
    own = ("p_mean", "p_std", "sigma_data", "augmentation") if settings.noise_model == "edm" else ()
    return {
        "kind": settings.noise_model,
        "classes": settings.classes,
        "null_condition": settings.classes if settings.has_null_condition else None,
        "image_size": settings.image_size,
        "channels": settings.channels,
        "weights": "last" if settings.ema_decay is None else "averaged",
        **{name: getattr(settings, name) for name in ("ema_decay", "steps", *own)},
    }
