"""What becomes of a sampler's estimate of the finished image, at every step."""

from typing import Final

from torch import Tensor, ones

CLIPS: Final = ("none", "static", "dynamic")
"""What becomes of a sampler's estimate of the image, at every step.

``none``: nothing, as the authors have it; images are clipped when they are finished.  ``static``:
it is clipped to [-1, 1].  ``dynamic``: an image whose DYNAMIC_QUANTILE of absolute values s is
above 1 is clipped to [-s, s] and divided by s (Saharia et al. 2022, section 2.3).
"""

DYNAMIC_QUANTILE: Final = 0.995
"""Saharia et al. (2022) recommend percentiles near 100; this is diffusers' default."""


def thresholded(image: Tensor, clip: str) -> Tensor:
    """Estimates of images, float32, (B, C, H, W), as a name of CLIPS changes them."""
    if clip == "none":
        return image
    limit = ones(len(image), device=image.device)
    if clip == "dynamic":
        limit = image.abs().flatten(1).quantile(DYNAMIC_QUANTILE, dim=1).clamp(min=1)
    limit = limit.view(-1, 1, 1, 1)
    return image.clamp(-limit, limit) / limit


def in_diffusers_words(clip: str) -> dict[str, object]:
    """The same for diffusers' schedulers; dynamic thresholding held at 1 is clipping."""
    return {
        "clip_sample": False,
        "thresholding": clip != "none",
        "dynamic_thresholding_ratio": DYNAMIC_QUANTILE,
        "sample_max_value": 1.0 if clip == "static" else float("inf"),
    }
