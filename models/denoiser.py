"""What every diffusion model can do, whatever it was trained to predict: denoise an image.

``Edm`` is trained to do so; ``Ddpm`` predicts noise at a time step and has an adapter.
"""

import json
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from models.ddpm import Ddpm
from models.edm import Edm


class Denoiser(Protocol):
    """A trained diffusion model, as an estimate of the image in a noised one."""

    @property
    def null_condition(self) -> int | None:
        """The condition that means "none"; None where it was trained without one."""
        ...

    @property
    def classes(self) -> int:
        """How many classes it knows; they are 0 .. classes - 1."""
        ...

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        ...

    def denoise(self, x: Tensor, sigma: Tensor, condition: Tensor) -> Tensor:
        """D(x; sigma, condition), the expected image (Karras et al. 2022, equation 2).

        Given x, float32, (B, C, H, W), an image in [-1, 1] plus sigma times standard normal noise,
        sigma, float32, (B,), > 0, and the condition, int64, (B,), a class or the null condition.
        """
        ...


KINDS: dict[str, type[Ddpm] | type[Edm]] = {"DDPMScheduler": Ddpm, "EDMEulerScheduler": Edm}
"""Models by what diffusers calls their noising process."""


def load(folder: Path, device: torch.device) -> Ddpm | Edm:
    """Open a model of either kind; raises ValueError for another, or one without classes."""
    scheduler = json.loads((folder / "scheduler" / "scheduler_config.json").read_text())
    name = scheduler["_class_name"]
    if name not in KINDS:
        raise ValueError(
            f"{folder}: expected a noising process of {', '.join(KINDS)}, got {name}; "
            "train the model with train_diffusion"
        )
    network = json.loads((folder / "unet" / "config.json").read_text())
    if network.get("num_class_embeds") is None:
        raise ValueError(
            f"{folder}: expected a model with class conditions, got one without; "
            "train it with labels"
        )
    return KINDS[name].load(folder, device)
