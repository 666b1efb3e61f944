"""Classifier-free guidance, and the two ways to write its weight.

Here and everywhere in this project a weight w means

    e = e_u + w (e_c - e_u)                                     (Ho and Salimans 2022, rearranged)

so 0 is unconditional and 1 is no guidance.  The authors' DDPM code means (1 + w) e_c - w e_u, whose
"5" is our 6; their Stable Diffusion code means ours.  Only here is a weight applied; what is shown
to people is converted in ``analysis.wording``.
"""

from collections.abc import Callable

import torch
from torch import Tensor

PredictNoise = Callable[[Tensor, Tensor, Tensor], Tensor]
"""``predict_noise(x_t, t, condition)`` of a model."""


def guided_noise(
    predict_noise: PredictNoise,
    x_t: Tensor,
    t: Tensor,
    condition: Tensor,
    *,
    null_condition: int,
    weight: float,
) -> Tensor:
    """Predict noise under guidance, in one forward pass.

    Args:
        predict_noise: Called once, with 2B images; with B where ``weight`` is 1.
        x_t: float32, (B, C, H, W).
        t: int64, scalar.
        condition: int64, (B,).
        null_condition: The condition that means "none".
        weight: w above, >= 0.

    Returns:
        float32, (B, C, H, W).
    """
    if weight == 1:
        return predict_noise(x_t, t, condition)
    nothing = torch.full_like(condition, null_condition)
    both = predict_noise(torch.cat([x_t, x_t]), t, torch.cat([nothing, condition]))
    unconditional, conditional = both.chunk(2)
    return torch.lerp(unconditional, conditional, weight)
