"""Image classifiers: judges of content and of triggers.

All normalize with groups, not batches: no running statistics, so what a data-parallel worker sees
of a batch changes nothing, and a checkpoint is weights alone.  Inputs are float32, (B, C, H, W), in
[-1, 1]; outputs are logits, (B, classes).
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

SMALL_IMAGE: Final = 64
"""Pixels; below, ResNet-18's strided stem would leave almost nothing of the image."""


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What a classifier is, short of its weights."""

    network: str
    """A name of NETWORKS."""
    classes: int
    """Logits."""
    image_size: int
    """Side of the images, pixels."""
    channels: int
    """Color channels of the images, 1 or 3."""


def small(shape: Shape) -> nn.Module:
    """Four convolutions and a linear layer, for images of 8 to 32 pixels.

    Above 8 pixels the grid is halved in front of the second convolution and behind it, to no
    less than 8 and 4 pixels, so that the last ones see much of the image.  The last feature map is
    kept as a 4x4 grid, not averaged away: where something is matters for digits as for stamps.
    """
    first = max(8, shape.image_size // 2)
    pool = [nn.AdaptiveAvgPool2d(first)] if shape.image_size > first else []
    return nn.Sequential(
        *_convolution(shape.channels, 32),
        *pool,
        *_convolution(32, 32),
        nn.AdaptiveAvgPool2d(max(4, first // 2)),
        *_convolution(32, 64),
        *_convolution(64, 64),
        nn.AdaptiveAvgPool2d(4),
        nn.Flatten(),
        nn.Linear(64 * 16, shape.classes),
    )


def resnet18(shape: Shape) -> nn.Module:
    """ResNet-18 of torchvision with group normalization, untrained.

    Below SMALL_IMAGE pixels with the usual CIFAR stem: a 3x3 convolution and no pooling.
    """
    from torchvision.models import resnet18 as build

    network: nn.Module = build(num_classes=shape.classes, norm_layer=partial(nn.GroupNorm, 32))
    tiny = shape.image_size < SMALL_IMAGE
    side, stride = (3, 1) if tiny else (7, 2)
    network.conv1 = nn.Conv2d(shape.channels, 64, side, stride, side // 2, bias=False)
    if tiny:
        network.maxpool = nn.Identity()
    return network


NETWORKS: Mapping[str, Callable[[Shape], nn.Module]] = {"small": small, "resnet18": resnet18}


def build(shape: Shape) -> nn.Module:
    """A freshly initialized classifier.

    Raises:
        ValueError: There is no such network.
    """
    if shape.network not in NETWORKS:
        raise ValueError(f"expected a network of {', '.join(NETWORKS)}, got {shape.network!r}")
    return NETWORKS[shape.network](shape)


def save(folder: Path, network: nn.Module, shape: Shape) -> None:
    """Write ``model.safetensors`` and ``network.json``."""
    weights = {name: tensor.contiguous().cpu() for name, tensor in network.state_dict().items()}
    save_file(weights, folder / "model.safetensors")
    (folder / "network.json").write_text(json.dumps(asdict(shape), indent=1) + "\n")


@dataclass(frozen=True)
class Classifier:
    """A trained classifier, ready to judge."""

    network: nn.Module
    """In evaluation mode."""
    shape: Shape
    device: torch.device

    @classmethod
    def load(cls, folder: Path, device: torch.device) -> "Classifier":
        """Open what ``save`` wrote."""
        shape = Shape(**json.loads((folder / "network.json").read_text()))
        network = build(shape)
        network.load_state_dict(load_file(folder / "model.safetensors"))
        return cls(network.to(device).eval(), shape, device)

    @torch.inference_mode()
    def probabilities(self, images: NDArray[np.float32], batch_size: int) -> NDArray[np.float32]:
        """Class probabilities, float32, (N, classes).

        Args:
            images: float32, (N, C, H, W), in [-1, 1].
            batch_size: Images in one forward pass.
        """
        parts: list[Tensor] = []
        for first in range(0, len(images), batch_size):
            batch = torch.from_numpy(images[first : first + batch_size]).to(self.device)
            parts.append(self.network(batch).softmax(dim=1).cpu())
        return torch.cat(parts).numpy()


def _convolution(ins: int, outs: int) -> tuple[nn.Module, nn.Module, nn.Module]:
    return nn.Conv2d(ins, outs, 3, padding=1), nn.GroupNorm(8, outs), nn.SiLU()
