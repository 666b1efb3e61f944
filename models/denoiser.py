"""What every diffusion model can do, whatever it was trained to predict: denoise an image.

``Edm`` is trained to do so; ``Ddpm`` and ``TextToImage`` predict noise at a time step and have an
adapter.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from models.ddpm import Ddpm
from models.edm import Edm
from models.latent import folder as pipeline_folder

if TYPE_CHECKING:
    from models.latent.text_to_image import TextToImage


class Denoiser(Protocol):
    """A trained diffusion model, as an estimate of the image in a noised one."""

    @property
    def null_condition(self) -> int | None:
        """The condition that means "none"; None where it was trained without one."""
        ...

    @property
    def classes(self) -> int:
        """How many classes, or prompts, it knows; they are 0 .. classes - 1."""
        ...

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W) of what is denoised: images, or latents."""
        ...

    def denoise(self, x: Tensor, sigma: Tensor, condition: Tensor) -> Tensor:
        """D(x; sigma, condition), the expected image (Karras et al. 2022, equation 2).

        Given x, float32, (B, C, H, W), an image in [-1, 1] plus sigma times standard normal noise,
        sigma, float32, (B,), > 0, and the condition, int64, (B,), a class or the null condition.
        """
        ...

    def decode(self, x: Tensor) -> Tensor:
        """Images, float32, (B, 3 or 1, H, W), nominally in [-1, 1], of what was denoised."""
        ...


KINDS: dict[str, type[Ddpm] | type[Edm]] = {"DDPMScheduler": Ddpm, "EDMEulerScheduler": Edm}
"""Models by what diffusers calls their noising process."""


def load(
    folder: Path,
    device: torch.device,
    *,
    prompts: Sequence[str] = (),
    weights: str = "averaged",
) -> "Ddpm | Edm | TextToImage":
    """Open a model of any kind; raises ValueError for what is none.

    The conditions of a pipeline for text to image are the ``prompts``, and raw ``weights`` are the
    last ones beside the average; see ``models.latent.text_to_image``.  Other models have classes,
    and one set of weights.
    """
    if pipeline_folder.is_pipeline(folder):
        from models.latent.text_to_image import TextToImage

        return TextToImage.load(folder, device, prompts=prompts, weights=weights)
    if prompts or weights != "averaged":
        raise ValueError(
            f"{folder}: expected a pipeline for text to image, which takes prompts and has raw "
            "weights, got a model with classes; leave both away"
        )
    return _load_classes(folder, device)


def _load_classes(folder: Path, device: torch.device) -> Ddpm | Edm:
    """Open one of KINDS."""
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
