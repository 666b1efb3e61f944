"""The networks that an image classifier can be: one of ours, and four of torchvision's.

Nothing is averaged over a batch, so what a data-parallel worker sees of it changes nothing: from
random weights they normalize with groups (VGG-16 normalizes nothing, as published), and from
ImageNet weights the statistics of the batch normalization stay as they came.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Final

import torch
from torch import Tensor, nn

SMALL_IMAGE: Final = 64
"""Pixels; below, a strided stem would leave almost nothing of the image."""
SMALLEST_OF_VGG: Final = 32
"""Pixels, which five halvings turn into one."""
GROUPS: Final = 32
"""Of a group normalization that stands for torchvision's batch normalization."""
IMAGENET_CLASSES: Final = 1000
IMAGENET_MEAN: Final = (0.485, 0.456, 0.406)
"""Red, green and blue, of images in [0, 1]; torchvision's."""
IMAGENET_SD: Final = (0.229, 0.224, 0.225)


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
    weights: str | None = None
    """What it started from: the sha256 of a file of ImageNet weights, its first 12 hex digits.

    None if its weights were drawn at random; the two are built differently.
    """

    def record(self) -> dict[str, Any]:
        """The fields as JSON values; without ``weights`` if None, as before there were any."""
        given = asdict(self)
        if self.weights is None:
            del given["weights"]
        return given


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


def resnet(shape: Shape) -> nn.Module:
    """ResNet-18 or ResNet-50 of torchvision with group normalization, untrained.

    Below SMALL_IMAGE pixels with the usual CIFAR stem: a 3x3 convolution and no pooling.  Of 8
    pixels the last of the four stages sees one.
    """
    normalization = partial(nn.GroupNorm, GROUPS)
    network = torchvision_s(shape.network, num_classes=shape.classes, norm_layer=normalization)
    network.conv1 = _stem(shape)
    if shape.image_size < SMALL_IMAGE:
        network.maxpool = nn.Identity()
    return network


def densenet121(shape: Shape) -> nn.Module:
    """DenseNet-121 of torchvision with group normalization, untrained; its stem as of ``resnet``.

    Of 8 pixels the last of the four blocks sees one.
    """
    plain = torchvision_s(shape.network, num_classes=shape.classes)
    network: Any = normalized_by(plain, partial(nn.GroupNorm, GROUPS))
    network.features.conv0 = _stem(shape)
    if shape.image_size < SMALL_IMAGE:
        network.features.pool0 = nn.Identity()
    return network


def vgg16(shape: Shape) -> nn.Module:
    """VGG-16 of torchvision (configuration D), untrained.

    Below SMALLEST_OF_VGG pixels images are enlarged to it in front (bilinear), since the network
    halves them five times.  Below SMALL_IMAGE what is left is one pixel, which the first linear
    layer reads once and not as 7x7 copies: the same functions, with 34 million weights for 134.

    All layers start as He et al. (2015) have it: without normalization, torchvision's standard
    deviation of 0.01 for linear layers lets through a thirtieth of the signal.
    """
    with torch.device("meta"):  # nothing is drawn twice, or for a layer that is replaced
        network = torchvision_s(shape.network, num_classes=shape.classes, init_weights=False)
        network.features[0] = nn.Conv2d(shape.channels, 64, 3, padding=1)
        if shape.image_size < SMALL_IMAGE:
            network.avgpool = nn.Identity()
            network.classifier[0] = nn.Linear(512, 4096)
    network.to_empty(device=torch.get_default_device())
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            assert layer.bias is not None
            nn.init.zeros_(layer.bias)
    if shape.image_size >= SMALLEST_OF_VGG:
        return network
    enlarged = nn.Upsample(SMALLEST_OF_VGG, mode="bilinear", align_corners=False)
    return nn.Sequential(OrderedDict(enlarged=enlarged, network=network))


NETWORKS: Final[Mapping[str, Callable[[Shape], nn.Module]]] = {
    "small": small,
    "resnet18": resnet,
    "resnet50": resnet,
    "vgg16": vgg16,
    "densenet121": densenet121,
}


def build(shape: Shape) -> nn.Module:
    """A fresh classifier, still without given weights; raises ValueError if unknown."""
    if shape.network not in NETWORKS:
        raise ValueError(f"expected a network of {', '.join(NETWORKS)}, got {shape.network!r}")
    return NETWORKS[shape.network](shape) if shape.weights is None else from_imagenet(shape)


def from_imagenet(shape: Shape) -> nn.Module:
    """Torchvision's own network, its statistics frozen, behind ``AsImageNet``; to be loaded."""
    from torchvision.ops import FrozenBatchNorm2d

    plain = torchvision_s(shape.network, num_classes=shape.classes)
    network = normalized_by(plain, FrozenBatchNorm2d)
    return nn.Sequential(OrderedDict(front=AsImageNet(shape.image_size), network=network))


def normalized_by(network: nn.Module, normalization: Callable[[int], nn.Module]) -> nn.Module:
    """The network with ``normalization(channels)`` in place of each batch normalization."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.BatchNorm2d):
                setattr(module, name, normalization(child.num_features))
    return network


def torchvision_s(name: str, **settings: Any) -> Any:
    """A network of torchvision, which takes two seconds to import, so only who needs it does."""
    from torchvision import models

    return getattr(models, name)(**settings)


def imagenet_tensors(name: str) -> dict[str, tuple[int, ...]]:
    """Name -> shape of the tensors of torchvision's network with ImageNet's classes.

    Without ``num_batches_tracked``, a count that no output depends on and older files lack.
    """
    with torch.device("meta"):
        tensors = torchvision_s(name, num_classes=IMAGENET_CLASSES).state_dict()
    return {
        name: tuple(tensor.shape)
        for name, tensor in tensors.items()
        if not name.endswith(".num_batches_tracked")
    }


class AsImageNet(nn.Module):
    """Turns images in [-1, 1] into what ImageNet weights were trained on.

    Grey becomes three equal channels; ImageNet's mean and standard deviation become 0 and 1; below
    SMALL_IMAGE pixels images are enlarged to it (bilinear).
    """

    factor: Tensor
    offset: Tensor

    def __init__(self, image_size: int) -> None:
        """For images of that side, pixels."""
        super().__init__()
        mean, sd = (torch.tensor(it).view(3, 1, 1) for it in (IMAGENET_MEAN, IMAGENET_SD))
        self.register_buffer("factor", 0.5 / sd, persistent=False)
        self.register_buffer("offset", (0.5 - mean) / sd, persistent=False)
        self.enlarged = (
            nn.Upsample(SMALL_IMAGE, mode="bilinear", align_corners=False)
            if image_size < SMALL_IMAGE
            else nn.Identity()
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, 1 or 3, H, W) -> (B, 3, H, W), or larger."""
        return self.enlarged(x) * self.factor + self.offset


def _stem(shape: Shape) -> nn.Conv2d:
    """The first convolution: torchvision's, or that of small images."""
    side, stride = (3, 1) if shape.image_size < SMALL_IMAGE else (7, 2)
    return nn.Conv2d(shape.channels, 64, side, stride, side // 2, bias=False)


def _convolution(ins: int, outs: int) -> tuple[nn.Module, nn.Module, nn.Module]:
    return nn.Conv2d(ins, outs, 3, padding=1), nn.GroupNorm(8, outs), nn.SiLU()
