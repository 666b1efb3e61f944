"""Classifier-free guidance, and the two ways to write its weight.

Here and everywhere in this project a weight w means

    e = e_u + w (e_c - e_u)                                     (Ho and Salimans 2022, rearranged)

so 0 is unconditional and 1 is no guidance.  The authors' DDPM code means (1 + w) e_c - w e_u, whose
"5" is our 6; their Stable Diffusion code means ours.
"""

from collections.abc import Callable

import torch
from torch import Tensor


def guided(
    predict: Callable[[Tensor, Tensor, Tensor], Tensor],
    x: Tensor,
    at: Tensor,
    condition: Tensor,
    *,
    null_condition: int | None,
    weight: float,
) -> Tensor:
    """Predict under guidance, in one forward pass; float32, (B, C, H, W), as ``x``.

    ``predict`` is a model's ``predict_noise``, ``at`` its time step, or its ``denoise`` and sigma,
    (B,).  The image is affine in the noise, D = x - sigma e: guiding one is guiding the other.  It
    is called once, with 2B images, or B where ``weight`` (w above, >= 0) is 1; ``condition`` is
    int64, (B,).  Raises ValueError as ``check_guidance``.
    """
    check_guidance(weight, null_condition)
    if weight == 1 or null_condition is None:
        return predict(x, at, condition)
    nothing = torch.full_like(condition, null_condition)
    times = torch.cat([at, at]) if at.ndim else at
    both = predict(torch.cat([x, x]), times, torch.cat([nothing, condition]))
    unconditional, conditional = both.chunk(2)
    return torch.lerp(unconditional, conditional, weight)


def check_guidance(weight: float, null_condition: int | None) -> None:
    """Raise ValueError for guidance (a weight other than 1) without a null condition."""
    if weight != 1 and null_condition is None:
        raise ValueError(
            f"expected a guidance_weight of 1, got {weight:g}: the model was trained without a "
            "null condition; train it with a null_probability above 0"
        )
