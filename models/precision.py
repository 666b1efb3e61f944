"""With how many bits networks compute, in which memory layout, and whether they are compiled.

Weights, their average, the optimizer and everything outside of the network stay in float32.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

PRECISIONS: Final = ("fp32", "tf32", "bf16")
"""``fp32`` is IEEE float32 everywhere; ``tf32`` lets a GPU round what it multiplies to 10 bits;
``bf16`` computes convolutions, products and attention in bfloat16 (``torch.autocast``)."""

COMPILED_FROM: Final = 3000
"""Passes through a network on a GPU from which compiling it is worth the minute that it takes; a
guess, not measured.  On a CPU nothing is compiled: it changes results in the last bit."""


@contextmanager
def computing(precision: str, device: torch.device) -> Iterator[None]:
    """Compute networks with this precision inside."""
    backends: tuple[Any, ...] = (torch.backends.cuda.matmul, torch.backends.cudnn.conv)  # type: ignore[attr-defined]
    before = [backend.fp32_precision for backend in backends]
    for backend in backends:
        backend.fp32_precision = "ieee" if precision == "fp32" else "tf32"
    try:
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            yield
    finally:
        for backend, value in zip(backends, before, strict=True):
            backend.fp32_precision = value


def refuse_unable(precision: str, device: torch.device) -> None:
    """Raise ValueError for bf16 on a GPU that only emulates it, or for an unknown precision."""
    if precision not in PRECISIONS:
        raise ValueError(f"expected a precision of {', '.join(PRECISIONS)}, got {precision!r}")
    if precision == "bf16" and device.type == "cuda":
        with torch.cuda.device(device):
            able = torch.cuda.is_bf16_supported(including_emulation=False)
        if not able:
            name = torch.cuda.get_device_name(device)
            raise ValueError(f"expected a GPU that computes in bf16, got {name}; use tf32 or fp32")


def arranged(network: nn.Module, device: torch.device, *, precision: str, passes: int) -> nn.Module:
    """The network, in place, as the device computes it fastest over so many passes.

    On a GPU it is laid out channels last, and compiled from COMPILED_FROM passes on; its
    ``state_dict`` keeps its names.  On a CPU nothing changes.  Raises ValueError as
    ``refuse_unable``.
    """
    refuse_unable(precision, device)
    if device.type == "cuda":
        network.to(memory_format=torch.channels_last)
        if passes >= COMPILED_FROM:
            network.compile()
    return network


def on_device(array: NDArray[np.generic] | Tensor, device: torch.device) -> Tensor:
    """The array on a device, whole; a GPU fetches it while the CPU goes on."""
    found = torch.as_tensor(array)
    if device.type == "cuda" and not found.is_cuda:
        return found.pin_memory().to(device, non_blocking=True)
    return found


def to_float(images: Tensor) -> Tensor:
    """Convert uint8, (N, H, W, C), to float32, (N, C, H, W), in [-1, 1], where the images are.

    On a CPU the bytes are those of ``tasks.data.images.to_float``; on a GPU the result is laid out
    channels last, as the images are.
    """
    scaled = images.permute(0, 3, 1, 2).float().div_(127.5).sub_(1)
    return scaled if images.is_cuda else scaled.contiguous()
