"""Cognitive Distillation: which pixels does a classifier's answer rest on?

Huang et al. 2023, "Distilling Cognitive Backdoor Patterns within an Image" (algorithms: section
8.1).  For an image x learn a mask m = (tanh(z) + 1) / 2, one value a pixel, that keeps the logits
f(x) although the rest of the image is painted over in one random color c,

    x_cp = m x + (1 - m) c,        minimize  mean_k |f(x_cp)_k - f(x)_k| + gamma |m|_1 + beta TV(m),

with a fresh color every step.  A stamp alone decides a backdoored answer, so a small mask is
suspicious.  Mixing with weights that sum to 1 commutes with the map of levels, [0, 1] as published
and [-1, 1] here.
"""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models import randomness
from models.classifiers import Classifier, frozen

START: Final = 1.0
"""z before the first step, of every pixel: a mask of 0.881."""


def learn_masks(
    classifier: Classifier,
    images: NDArray[np.float32],
    colors: NDArray[np.float32],
    *,
    gamma: float,
    beta: float,
    learning_rate: float,
    betas: tuple[float, float],
) -> NDArray[np.float32]:
    """The mask of every image, float32, (B, H, W), in [0, 1]; Adam, a step for each color.

    What is minimized is the sum over the images, not their mean: with a mean Adam's epsilon would
    weigh more the more images there are.  So a mask does not depend on how many others are learned
    with it, up to rounding.

    Args:
        classifier: Its weights are neither changed nor given gradients.
        images: float32, (B, C, H, W), in [-1, 1].
        colors: float32, (B, steps, C), in [-1, 1].
        gamma: Weight of a mask's area.
        beta: Weight of a mask's total variation.
        learning_rate: Adam's.
        betas: Adam's decays.
    """
    device, (count, _, height, width) = classifier.device, images.shape
    x = torch.from_numpy(images).to(device)
    painted = torch.from_numpy(colors).to(device)[..., None, None]
    z = torch.full((count, 1, height, width), START, device=device, requires_grad=True)
    adam = torch.optim.Adam([z], learning_rate, betas)
    with frozen(classifier.network) as network:
        with torch.no_grad():
            wanted = network(x)
        for color in painted.unbind(dim=1):
            loss = losses(network, x, wanted, mask_of(z), color, gamma=gamma, beta=beta).sum()
            (z.grad,) = torch.autograd.grad(loss, z)
            adam.step()
    return mask_of(z).detach()[:, 0].cpu().numpy()


@torch.inference_mode()
def answers_kept(
    classifier: Classifier,
    images: NDArray[np.float32],
    masks: NDArray[np.float32],
    colors: NDArray[np.float32],
) -> NDArray[np.float64]:
    """Does a mask keep what the answer rests on?  Of an image's colors, the share that leaves it.

    An image's answer is the class of its largest logit.  A mask under which it is lost explains
    nothing: it is small because keeping pixels costs more than their logits are worth.

    Given float32 images (B, C, H, W) and colors (B, K, C) in [-1, 1], the latter painted where the
    masks, (B, H, W), are 0.  Returns float64, (B,), in [0, 1].
    """
    x = torch.from_numpy(images).to(classifier.device)
    mask = torch.from_numpy(masks).to(classifier.device)[:, None]
    wanted = classifier.network(x).argmax(dim=1)
    same = [
        classifier.network(color + mask * (x - color)).argmax(dim=1) == wanted
        for color in torch.from_numpy(colors).to(classifier.device)[..., None, None].unbind(dim=1)
    ]
    return torch.stack(same).double().mean(dim=0).cpu().numpy()


def mask_of(z: Tensor) -> Tensor:
    """The mask (tanh(z) + 1) / 2, in [0, 1]."""
    return (z.tanh() + 1) / 2


def losses(
    network: nn.Module,
    x: Tensor,
    wanted: Tensor,
    mask: Tensor,
    color: Tensor,
    *,
    gamma: float,
    beta: float,
) -> Tensor:
    """What is minimized, for each image: float32, (B,).

    Given x (B, C, H, W), ``wanted`` = f(x) (B, K), a mask (B, 1, H, W) in [0, 1] and a color
    (B, C, 1, 1).  The area |m|_1 is a sum over pixels, the total variation a mean.
    """
    kept = color + mask * (x - color)
    missed = (network(kept) - wanted).abs().mean(dim=1)
    return missed + gamma * mask.sum(dim=(1, 2, 3)) + beta * total_variation(mask)


def total_variation(mask: Tensor) -> Tensor:
    """Squared differences of neighbors, summed and divided by C H W; (B, C, H, W) to (B,)."""
    down, right = mask.diff(dim=2), mask.diff(dim=3)
    squares = down.square().sum(dim=(1, 2, 3)) + right.square().sum(dim=(1, 2, 3))
    return squares / mask[0].numel()


def colors(
    seed: int, index: NDArray[np.int64], *, steps: int, channels: int
) -> NDArray[np.float32]:
    """One color an image and step, float32, (B, steps, channels), uniform on [-1, 1].

    Decided by (seed, index).
    """
    streams = [randomness.generator(seed, "cognitive distillation", int(one)) for one in index]
    drawn = [stream.random((steps, channels), dtype=np.float32) for stream in streams]
    return 2 * np.stack(drawn) - 1
