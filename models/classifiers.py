"""Image classifiers: judges of content and of triggers.

All normalize with groups, not batches: no running statistics, so what a data-parallel worker sees
of a batch changes nothing, and a checkpoint is weights alone.  Inputs are float32, (B, C, H, W), in
[-1, 1]; outputs are logits, (B, classes).
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
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
    second = max(4, first // 2)
    pool = [pooled(shape.image_size, first)] if shape.image_size > first else []
    return nn.Sequential(
        *_convolution(shape.channels, 32),
        *pool,
        *_convolution(32, 32),
        pooled(min(shape.image_size, first), second),
        *_convolution(32, 64),
        *_convolution(64, 64),
        pooled(second, 4),
        nn.Flatten(),
        nn.Linear(64 * 16, shape.classes),
    )


def pooled(side: int, smaller: int) -> nn.Module:
    """``AdaptiveAvgPool2d(smaller)`` on a grid of ``side``, in a quicker way if there is one.

    Halving and staying are quicker and equal bit by bit (a third of the side is not): at 8 pixels
    the whole network takes a fifth less time.
    """
    if side == smaller:
        return nn.Identity()
    return nn.AvgPool2d(2) if side == 2 * smaller else nn.AdaptiveAvgPool2d(smaller)


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

    def probabilities(self, images: NDArray[np.float32], batch_size: int) -> NDArray[np.float32]:
        """Class probabilities, float32, (N, classes).

        Args:
            images: float32, (N, C, H, W), in [-1, 1].
            batch_size: Images in one forward pass.
        """
        return self._each(lambda x: self.network(x).softmax(dim=1), images, batch_size)

    def features(self, images: NDArray[np.float32], batch_size: int) -> NDArray[np.float32]:
        """Features that the last linear layer reads, float32, (N, D); arguments as above.

        Raises:
            ValueError: The network has no linear layer.
        """
        return self._each(lambda x: penultimate(self.network, x), images, batch_size)

    @torch.inference_mode()
    def _each(
        self, compute: Callable[[Tensor], Tensor], images: NDArray[np.float32], batch_size: int
    ) -> NDArray[np.float32]:
        parts: list[Tensor] = []
        for first in range(0, len(images), batch_size):
            batch = torch.from_numpy(images[first : first + batch_size]).to(self.device)
            parts.append(compute(batch).cpu())
        return torch.cat(parts).numpy()


def head(network: nn.Module) -> nn.Linear:
    """The last linear layer, which turns features into logits.

    Raises:
        ValueError: There is none.
    """
    layers = [module for module in network.modules() if isinstance(module, nn.Linear)]
    if not layers:
        raise ValueError(
            f"expected a network that ends in a linear layer, got {type(network).__name__} without"
        )
    return layers[-1]


def penultimate(network: nn.Module, x: Tensor) -> Tensor:
    """What the last linear layer is given for ``x``, (B, D); gradients flow through it.

    Of ``small`` the 4x4 grid of features, of ``resnet18`` the features after pooling.

    Raises:
        ValueError: The network has no linear layer.
    """
    given: list[Tensor] = []
    hook = head(network).register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    try:
        network(x)
    finally:
        hook.remove()
    return given[-1]


@contextmanager
def frozen(network: nn.Module) -> Iterator[nn.Module]:
    """Inside, no parameter asks for a gradient; afterwards, those do that did before."""
    asking = [weights for weights in network.parameters() if weights.requires_grad]
    network.requires_grad_(False)
    try:
        yield network
    finally:
        for weights in asking:
            weights.requires_grad_(True)


def _convolution(ins: int, outs: int) -> tuple[nn.Module, nn.Module, nn.Module]:
    return nn.Conv2d(ins, outs, 3, padding=1), nn.GroupNorm(8, outs), nn.SiLU()
