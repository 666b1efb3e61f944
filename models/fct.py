"""FCT: how far do a classifier's features move when the image is turned and moved?

Chen et al. 2022, "Effective Backdoor Defense by Exploiting Sensitivity of Poisoned Samples"
(algorithms: section 8.3): "feature consistency towards transformations",

    Delta(x) = mean_d (phi_d(x) - phi_d(tau(x)))^2,

phi the penultimate features of a copy of the classifier that was fine-tuned to push the centers of
the classes apart, tau a rotation and then a translation.  A stamp that was moved is no stamp any
more, so features that move far are suspicious.
"""

from collections.abc import Iterable
from copy import deepcopy
from dataclasses import replace
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import affine, rotate

from models import randomness
from models.classifiers import Classifier, penultimate

BLACK: Final = -1.0
"""Moves in from outside the image."""


def fine_tuned(
    classifier: Classifier,
    batches: Iterable[tuple[NDArray[np.float32], NDArray[np.int64]]],
    *,
    learning_rate: float,
    momentum: float,
    weight_decay: float,
) -> Classifier:
    """A copy of the classifier, trained on with ``intra_class_loss`` alone, by SGD.

    The copy's own accuracy may collapse: no loss holds it.  It stays in evaluation mode, so that
    nothing draws from global state; our networks have no running statistics.

    A step has a batch of images, float32, (B, C, H, W), in [-1, 1], and labels, int64, (B,); one of
    fewer than two classes is passed over.  Raises FloatingPointError for a loss of NaN or infinity.
    """
    network = deepcopy(classifier.network).requires_grad_(True).eval()
    optimizer = torch.optim.SGD(
        network.parameters(), learning_rate, momentum=momentum, weight_decay=weight_decay
    )
    for step, (images, labels) in enumerate(batches, start=1):
        if len(np.unique(labels)) < 2:
            continue
        x, label = (torch.from_numpy(given).to(classifier.device) for given in (images, labels))
        loss = intra_class_loss(penultimate(network, x), label)
        if not loss.isfinite():
            raise FloatingPointError(
                f"the loss of FCT's fine-tuning is {loss.item()} at step {step}; lower "
                f"learning_rate, which is {learning_rate:g}"
            )
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return replace(classifier, network=network.requires_grad_(False))


def intra_class_loss(features: Tensor, labels: Tensor) -> Tensor:
    """Mean cosine between the centers of a batch's classes, where each with itself counts as 0.

    Divides by C^2, the diagonal included, as published; C are the classes in the batch.  Given
    features, (B, D), and labels, int64, (B,).  Returns a scalar in [-1, 1].
    """
    centers = torch.stack([features[labels == label].mean(dim=0) for label in labels.unique()])
    directions = normalize(centers, dim=1)
    cosines = directions @ directions.T
    return (cosines - cosines.diag().diag()).mean()


def inconsistency(
    classifier: Classifier,
    images: NDArray[np.float32],
    angles: NDArray[np.float64],
    shifts: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Delta, averaged over the draws; float64, (B,).

    Given images, float32, (B, C, H, W), in [-1, 1], angles, float64, (B, draws), in degrees, and
    shifts, int64, (B, draws, 2), in pixels to the right and down.
    """
    draws = angles.shape[1]
    still = classifier.features(images, len(images)).astype(np.float64)
    total = np.zeros(len(images))
    for draw in range(draws):
        moved = transformed(images, angles[:, draw], shifts[:, draw])
        features = classifier.features(moved, len(images))
        total += np.square(still - features).mean(axis=1)
    return total / draws


def transformed(
    images: NDArray[np.float32], angles: NDArray[np.float64], shifts: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Each image turned about its center, then moved; nearest pixels, black moves in.

    Arguments as above for one draw; angles are counter-clockwise.
    """
    nearest, fill = InterpolationMode.NEAREST, [BLACK]
    moved: list[Tensor] = []
    for image, angle, shift in zip(torch.from_numpy(images), angles, shifts, strict=True):
        turned = rotate(image, float(angle), nearest, fill=fill)
        moved.append(affine(turned, 0.0, shift.tolist(), 1.0, [0.0, 0.0], nearest, fill))
    return torch.stack(moved).numpy()


def moves(
    seed: int, index: NDArray[np.int64], *, draws: int, degrees: float, pixels: float
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Angles, (B, draws), and shifts, (B, draws, 2), of every image, decided by (seed, index).

    Angles are uniform on [-degrees, degrees), shifts on [-pixels, pixels) and rounded.
    """
    streams = [randomness.generator(seed, "fct", int(position)) for position in index]
    drawn = np.stack([stream.uniform(-1, 1, (draws, 3)) for stream in streams])
    return degrees * drawn[..., 0], np.rint(pixels * drawn[..., 1:]).astype(np.int64)


def order(seed: int, epoch: int, n: int) -> NDArray[np.int64]:
    """In which order an epoch of the fine-tuning sees n images: a permutation by (seed, epoch)."""
    return randomness.generator(seed, "fct order", epoch).permutation(n)
