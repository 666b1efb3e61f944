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
    """Images like the given ones, float32, (B, C, H, W), whose labels are hard to see.

    Untargeted and from the images themselves: the cross-entropy of the true labels, int64, (B,), is
    maximized, summed over the images, so that none depends on how many others there are, up to
    rounding.  A value in [-1, 1] moves by ``step_size`` a step, unless it has no gradient, and by
    ``epsilon`` at most.  The classifier's weights are neither changed nor given gradients.
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
