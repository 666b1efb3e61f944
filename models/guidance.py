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

Denoise = Callable[[Tensor, Tensor, Tensor], Tensor]
"""``denoise(x, sigma, condition)`` of a model."""


def guided_noise(
    predict_noise: PredictNoise,
    x_t: Tensor,
    t: Tensor,
    condition: Tensor,
    *,
    null_condition: int,
    weight: float,
) -> Tensor:
    """Predict noise under guidance, in one forward pass; float32, (B, C, H, W), as ``x_t``.

    ``predict_noise`` is called once, with 2B images, or B where ``weight`` (w above, >= 0) is 1.
    ``t`` is an int64 scalar, ``condition`` int64, (B,).
    """
    if weight == 1:
        return predict_noise(x_t, t, condition)
    nothing = torch.full_like(condition, null_condition)
    both = predict_noise(torch.cat([x_t, x_t]), t, torch.cat([nothing, condition]))
    unconditional, conditional = both.chunk(2)
    return torch.lerp(unconditional, conditional, weight)


def guided_image(
    denoise: Denoise,
    x: Tensor,
    sigma: Tensor,
    condition: Tensor,
    *,
    null_condition: int | None,
    weight: float,
) -> Tensor:
    """Denoise under guidance, in one forward pass; float32, (B, C, H, W), as ``x``.

    The denoised image is affine in the predicted noise, D = x - sigma e, so guiding one is guiding
    the other with the same weight.  ``sigma`` is float32, (B,), > 0; the rest is as above.  Raises
    ValueError if there is no null condition to guide away from.
    """
    check_guidance(weight, null_condition)
    if weight == 1 or null_condition is None:
        return denoise(x, sigma, condition)
    nothing = torch.full_like(condition, null_condition)
    both = denoise(torch.cat([x, x]), torch.cat([sigma, sigma]), torch.cat([nothing, condition]))
    unconditional, conditional = both.chunk(2)
    return torch.lerp(unconditional, conditional, weight)


def check_guidance(weight: float, null_condition: int | None) -> None:
    """Raise ValueError for guidance (a weight other than 1) without a null condition."""
    if weight != 1 and null_condition is None:
        raise ValueError(
            f"expected a guidance_weight of 1, got {weight:g}: the model was trained without a "
            "null condition; train it with a null_probability above 0"
        )
