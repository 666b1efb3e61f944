"""Projected gradient descent: the noise in a small box that hides an image's class the most.

Madry et al. 2018, "Towards Deep Learning Models Resistant to Adversarial Attacks": steps of equal
length along the sign of the gradient of the cross-entropy, each projected back onto the box.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from models.classifiers import Classifier, frozen


def ascend(
    classifier: Classifier,
    images: NDArray[np.float32],
    labels: NDArray[np.int64],
    *,
    epsilon: float,
    step_size: float,
    steps: int,
) -> NDArray[np.float32]:
    """Images near the given ones in which the classifier hardly sees their labels.

    Untargeted and from the images themselves: the cross-entropy of the labels is maximized,
    summed over the images, so that none depends on how many others there are, up to rounding.

    Args:
        classifier: Its weights are neither changed nor given gradients.
        images: float32, (B, C, H, W), in [-1, 1].
        labels: int64, (B,). True ones.
        epsilon: Most that a value changes.
        step_size: What every value moves in a step; one that has no gradient stays.
        steps: How many.

    Returns:
        float32, (B, C, H, W), in [-1, 1].
    """
    clean = torch.from_numpy(images).to(classifier.device)
    truth = torch.from_numpy(labels).to(classifier.device)
    lowest, highest = (clean - epsilon).clamp(min=-1), (clean + epsilon).clamp(max=1)
    x = clean
    with frozen(classifier.network) as network:
        for _ in range(steps):
            x = x.detach().requires_grad_(True)
            loss = functional.cross_entropy(network(x), truth, reduction="sum")
            (gradient,) = torch.autograd.grad(loss, x)
            with torch.no_grad():
                x = torch.clamp(x + step_size * gradient.sign(), lowest, highest)
    return x.detach().cpu().numpy()
