"""Floating-point operations of a network, counted by torch on shapes alone."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


def unet_operations(build: Callable[[], nn.Module], channels: int, side: int) -> int:
    """Operations of one image's forward pass through a diffusion model's U-Net.

    A multiplication and the addition after it are two.  Counted are convolutions, matrix products
    and attention, which take almost all of the time.
    """
    with torch.device("meta"):
        network, label = build(), torch.zeros(1, dtype=torch.long)
        image = torch.zeros(1, channels, side, side)
        return _counted(lambda: network(image, label, class_labels=label))


def classifier_operations(build: Callable[[], nn.Module], channels: int, side: int) -> int:
    """Operations of one image's forward pass through a classifier, counted likewise."""
    with torch.device("meta"):
        network, image = build().eval(), torch.zeros(1, channels, side, side)
        return _counted(lambda: network(image))


def _counted(work: Callable[[], Tensor]) -> int:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        work()
    return int(counter.get_total_flops())
