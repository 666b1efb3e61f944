"""STRIP: how sure is a classifier once other images are laid over this one?

Gao et al. 2019, "STRIP: A Defence Against Trojan Attacks on Deep Neural Networks" (algorithms:
section 8.2): the mean entropy of softmax f(clip(x + o, 0, 1)) over overlays o, natural logarithm.
A stamp that decides the answer alone still does so under an overlay, so little entropy is
suspicious.
"""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models import randomness
from models.classifiers import Classifier

AT_ONCE: Final = 128
"""Overlaid images of one forward pass, at most; memory does not grow with the overlays."""


@torch.inference_mode()
def mean_entropy(
    classifier: Classifier, image: NDArray[np.float32], overlays: NDArray[np.float32]
) -> float:
    """Mean entropy of one image's answers, in nats, 0 .. log K.

    Given an image, float32, (C, H, W), and overlays, (N, C, H, W), in [-1, 1].  One image at a
    time, so that it is the same in every bit whatever others are scored with it.
    """
    x = torch.from_numpy(image).to(classifier.device)
    entropies: list[Tensor] = []
    for first in range(0, len(overlays), AT_ONCE):
        overlay = torch.from_numpy(overlays[first : first + AT_ONCE]).to(classifier.device)
        entropies.append(entropy(classifier.network(overlaid(x, overlay))))
    return float(torch.cat(entropies).mean())


def overlaid(image: Tensor, overlays: Tensor) -> Tensor:
    """Both images added at full weight, as levels in [0, 1], and clipped; all are in [-1, 1]."""
    return (image + overlays + 1).clamp(max=1)


def entropy(logits: Tensor) -> Tensor:
    """Entropy of the softmax, in nats; (N, K) to float64, (N,).

    In double precision: where a stamp makes a classifier sure, what is left of its doubt is smaller
    than the distance of a float32 probability from 1.
    """
    logarithm = logits.double().log_softmax(dim=1)
    return -(logarithm.exp() * logarithm).sum(dim=1)


def choose_overlays(seed: int, index: int, *, overlays: int, pool: int) -> NDArray[np.int64]:
    """Which of a pool are laid over image ``index``, int64, (overlays,); may repeat."""
    return randomness.generator(seed, "strip", index).integers(0, pool, overlays)


def choose_pool(seed: int, images: int, most: int) -> NDArray[np.int64]:
    """Which of so many images are laid over others, int64, ascending: all, or ``most`` by seed."""
    return np.sort(randomness.generator(seed, "strip pool").permutation(images)[:most])
