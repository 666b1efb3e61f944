"""Text to image: a pipeline as a model like any other here, with prompts for conditions.

What is noised and denoised is a latent (Rombach et al. 2022); ``decode`` makes images of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Self

import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from torch import Tensor, nn
from transformers import CLIPTextModel

from models.ddpm import NoisePredictor
from models.latent import autoencoder
from models.latent.pipeline import (
    Parts,
    hidden_states,
    noising_process,
    open_parts,
    token_ids,
)


@dataclass(frozen=True, eq=False)
class TextToImage(NoisePredictor):
    """A pipeline and the prompts that it can be asked for, ready to be sampled."""

    parts: Parts
    table: Tensor
    """The prompts' embeddings, float32, (N + 1, L, D); the last is the empty prompt's."""

    @classmethod
    def of(cls, parts: Parts, prompts: Sequence[str]) -> Self:
        """Embed the prompts, one or more; raises ValueError for none or an empty one."""
        if not prompts or not all(text.strip() for text in prompts):
            raise ValueError(
                f"expected one prompt or more, none of them empty, got {tuple(prompts)}; "
                'give e.g. "a photo of a dog"'
            )
        return cls(parts, embed(parts, [*prompts, ""]))

    @classmethod
    def load(
        cls,
        folder: Path,
        device: torch.device,
        *,
        prompts: Sequence[str],
        weights: str = "averaged",
    ) -> Self:
        """Open a folder; raises ValueError as ``of`` and ``pipeline.open_parts``."""
        return cls.of(open_parts(folder, device, weights=weights), prompts)

    @property
    def network(self) -> UNet2DConditionModel:
        """The U-Net, in evaluation mode."""
        return self.parts.unet

    @property
    def vae(self) -> AutoencoderKL:
        """The autoencoder, in evaluation mode."""
        return self.parts.vae

    @cached_property
    def scheduler(self) -> DDPMScheduler:
        """The noising process, for a model that predicts noise, as ``predict_noise`` does."""
        return noising_process(self.parts.scheduler, prediction_type="epsilon")

    @property
    def classes(self) -> int:
        """How many prompts there are; condition i is the i-th."""
        return len(self.table) - 1

    @property
    def null_condition(self) -> int:
        """The empty prompt: one past the last."""
        return self.classes

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, h, w), of the latents."""
        size = self.network.config.sample_size
        return (self.network.config.in_channels, size, size)

    def predict_noise(self, x_t: Tensor, t: Tensor, condition: Tensor) -> Tensor:
        """The noise in ``x_t``, float32, (B, C, h, w), at ``t``, scalar or (B,), in [0, T - 1].

        Of a v that was predicted, the noise is sqrt(a) v + sqrt(1 - a) x_t, a being the cumulative
        alpha (Salimans and Ho 2022, appendix D).
        """
        text = self.table[condition]
        found: Tensor = self.network(x_t, t, encoder_hidden_states=text, return_dict=False)[0]
        found = found.float()
        if self.parts.scheduler.config.prediction_type == "epsilon":
            return found
        sigma = self.sigma_of(t.to(x_t.device)).view(-1, 1, 1, 1)
        return (found + sigma * x_t) / (1 + sigma.square()).sqrt()

    @torch.no_grad()
    def embed(self, texts: Sequence[str]) -> Tensor:
        """See ``embed``."""
        return embed(self.parts, texts)

    @torch.no_grad()
    def moments(self, images: Tensor) -> Tensor:
        """See ``autoencoder.moments``."""
        return autoencoder.moments(self.vae, images)

    @torch.no_grad()
    def decode(self, x: Tensor) -> Tensor:
        """Images of latents; see ``autoencoder.decode``."""
        return autoencoder.decode(self.vae, x)


@torch.no_grad()
def embed(parts: Parts, texts: Sequence[str], *, batch_size: int = 64) -> Tensor:
    """Texts as the U-Net is told them, float32, (N, L, D); on the text encoder's device."""
    ids = token_ids(parts.tokenizer, list(texts)).to(parts.text_encoder.device)
    return torch.cat([hidden_states(parts.text_encoder, some) for some in ids.split(batch_size)])


def noise_loss(
    network: nn.Module,
    *,
    scheduler: DDPMScheduler,
    x_0: Tensor,
    t: Tensor,
    noise: Tensor,
    text: Tensor,
) -> Tensor:
    """Mean squared error of what is predicted, noise or v, a scalar (Rombach et al. 2022, eq. 3).

    Given a ``pipeline.noising_process``, scaled latents x_0 and standard normal noise, both
    float32, (B, C, h, w), t int64, (B,), in 0..T-1, and the texts' embeddings, (B, L, D).
    """
    x_t = scheduler.add_noise(x_0, noise, t)
    predicted = network(x_t, t, encoder_hidden_states=text, return_dict=False)[0]
    target = noise
    if scheduler.config.prediction_type == "v_prediction":
        target = scheduler.get_velocity(x_0, noise, t)
    return nn.functional.mse_loss(predicted.float(), target)


class JointNetwork(nn.Module):
    """A U-Net and its text encoder, trained together: told tokens instead of their embeddings.

    For ``noise_loss``, ``text`` is then int64, (B, L), as ``pipeline.token_ids`` gives it.
    """

    def __init__(self, unet: UNet2DConditionModel, text_encoder: CLIPTextModel) -> None:
        super().__init__()
        self.unet = unet
        self.text_encoder = text_encoder

    def forward(
        self, x_t: Tensor, t: Tensor, encoder_hidden_states: Tensor, return_dict: bool = False
    ) -> tuple[Tensor]:
        """What is predicted, (B, C, h, w), as the U-Net gives it without ``return_dict``."""
        text = hidden_states(self.text_encoder, encoder_hidden_states)
        found: tuple[Tensor] = self.unet(
            x_t, t, encoder_hidden_states=text, return_dict=return_dict
        )
        return found
