"""Train the U-Net of a text-to-image pipeline on moments and captions, the rest left as it is.

So the paper fine-tunes Stable Diffusion (appendix A): the loss, the rate and the batch of latent
diffusion, no caption dropped.  Trained with the text encoder, a new pipeline is pre-trained.
"""

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tasks.checks import check
from tasks.steps.batches import Batch, Batches, ReportProgress
from tasks.steps.training import Loss, Optimization, train

if TYPE_CHECKING:
    import torch

SCHEDULES = ("constant", "one_cycle", "warmup_cosine", "ramp")
"""Schedules of ``models.training`` that this task allows."""
MOST_EMBEDDED = 1000
"""Distinct captions whose embeddings are kept, if the text encoder does not learn."""


@dataclass(frozen=True, kw_only=True)
class Settings(Optimization):
    """What is trained, and how; the pipeline to start from is in the inputs."""

    revision = 1

    steps: int = 1100
    batch_size: int = 16
    learning_rate: float = 1e-4
    weight_decay: float = 1e-2  # torch's default for AdamW, as in the authors' code
    schedule: str = "constant"
    ema_decay: float | None = 0.9999
    """Decay a step of the averaged weights, from the first on, 0 < d < 1; None for no average."""
    caption_dropout: float = 0.0
    """Probability that a caption is replaced by the empty one, 0 <= p < 1."""
    train_text_encoder: bool = False
    """Whether the text encoder learns, too: to pre-train a new pipeline."""
    recompute: bool = False
    """Whether activations are computed again for the gradients, for networks that do not fit."""

    def __post_init__(self) -> None:
        holds = 0 <= self.caption_dropout < 1
        check("caption_dropout", self.caption_dropout, "in [0, 1)", holds)
        holds = self.ema_decay is None or 0 < self.ema_decay < 1
        check("ema_decay", self.ema_decay, "in (0, 1) or None", holds)
        self.check_training(SCHEDULES)

    @property
    def label(self) -> str:
        """Readable part of the result's path, e.g. ``1100steps-seed0``."""
        kind = "pretrained-" if self.train_text_encoder else ""
        return f"{kind}{self.steps}steps-seed{self.seed}"

    @property
    def expected_seconds(self) -> float:
        """Rough time on one core, of the small pipeline of ``new_pipeline``."""
        return 5.0 + 2.5e-3 * self.steps * self.batch_size

    @property
    def expected_bytes(self) -> int:
        """Rough size on disk, of the same."""
        return 8_000_000


def fit(
    settings: Settings,
    *,
    out: Path,
    batches: Batches,
    report: ReportProgress,
    resume: Path | None,
    pipeline: Path,
) -> None:
    """Train, and write the whole pipeline, with ``raw/unet`` beside an average, and the history.

    ``pipeline`` is the folder to start from.  Raises as ``train``, and ValueError for a folder that
    is no such pipeline.
    """
    import torch

    from models.device import one_thread
    from models.latent import pipeline as opening

    parts = opening.open_parts(pipeline, torch.device("cpu"))
    with one_thread():
        training = train(
            settings,
            partial(build, settings, parts),
            partial(_losses, settings, parts),
            batches=batches,
            report=report,
            resume=resume,
            ema_decay=settings.ema_decay,
            resident=True,
        )
        raw = None
        if settings.ema_decay is not None and batches.rank == 0:
            raw = _trained(settings, deepcopy(training.plain).cpu())
        trained = _trained(settings, training.finish())
        if batches.rank == 0:
            whole = replace(parts, **{name: part.cpu() for name, part in trained.items()})
            opening.save(out, whole, raw=raw)
            training.write_history(out / "history.csv")


def build(settings: Settings, parts: Any) -> "torch.nn.Module":
    """The networks that learn."""
    from models.latent.text_to_image import JointNetwork

    if settings.recompute:
        parts.unet.enable_gradient_checkpointing()
    if settings.train_text_encoder:
        return JointNetwork(parts.unet, parts.text_encoder)
    network: torch.nn.Module = parts.unet
    return network


def _trained(settings: Settings, network: Any) -> dict[str, Any]:
    """The parts of a pipeline that learned, by name."""
    return dict(network.named_children()) if settings.train_text_encoder else {"unet": network}


def _losses(
    settings: Settings, parts: Any, device: "torch.device"
) -> Callable[[int, Batch, slice], Loss]:
    """The loss of a step, given its number, this worker's rows and their places."""
    from models.latent import autoencoder
    from models.latent.pipeline import noising_process
    from models.latent.text_to_image import noise_loss
    from models.precision import on_device

    process = noising_process(parts.scheduler)
    factors = autoencoder.factors(parts.vae)
    told = _told(settings, parts, device)

    def of_step(step: int, batch: Batch, own: slice) -> Loss:
        halves = on_device(batch["image"], device)
        shape = (halves.shape[1] // 2, *halves.shape[2:])
        drawn = _draws(settings, step, process.config.num_train_timesteps, shape)
        t, of_latent, noise = (on_device(one[own], device) for one in drawn)
        x_0 = autoencoder.latent(halves, of_latent, *factors)
        text = told(_captions(settings, step, batch, own))
        return partial(noise_loss, scheduler=process, x_0=x_0, t=t, noise=noise, text=text)

    return of_step


@lru_cache(maxsize=1)  # the parts of a batch ask for them one after another
def _draws(
    settings: Settings, step: int, diffusion_steps: int, shape: tuple[int, ...]
) -> tuple[NDArray[Any], ...]:
    """Of the whole batch: time steps, int64, the noise of the latents' draw, and of the process."""
    from models.randomness import generator

    n, shape = settings.batch_size, (settings.batch_size, *shape)
    return (
        generator(settings.seed, "time step of a latent", step).integers(diffusion_steps, size=n),
        generator(settings.seed, "latent", step).standard_normal(shape, np.float32),
        generator(settings.seed, "noise of a latent", step).standard_normal(shape, np.float32),
    )


def _captions(settings: Settings, step: int, batch: Batch, own: slice) -> list[str]:
    """This worker's captions, some replaced by the empty one."""
    from models.randomness import generator

    draws = generator(settings.seed, "caption dropout", step).random(settings.batch_size)[own]
    dropped = draws < settings.caption_dropout
    return ["" if drop else text for drop, text in zip(dropped, batch["caption"], strict=True)]


def _told(
    settings: Settings, parts: Any, device: "torch.device"
) -> Callable[[Sequence[str]], "torch.Tensor"]:
    """What the network is given for captions: tokens, or embeddings where no encoder learns."""
    import torch

    from models.latent.pipeline import token_ids
    from models.latent.text_to_image import embed

    if settings.train_text_encoder:
        return lambda texts: token_ids(parts.tokenizer, list(texts)).to(device)
    parts.text_encoder.to(device)
    known: dict[str, torch.Tensor] = {}

    def embedded(texts: Sequence[str]) -> torch.Tensor:
        if new := sorted({*texts} - known.keys()):
            if len(known) > MOST_EMBEDDED:
                known.clear()
                new = sorted({*texts})
            # One by one: with others beside it a text's last bit may be another.
            known.update(zip(new, embed(parts, new, batch_size=1), strict=True))
        return torch.stack([known[text] for text in texts])

    return embedded
