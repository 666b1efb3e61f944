"""The autoencoder of latent diffusion: images to the posterior of their latents, and back.

Rombach et al. 2022, section 3.1, with the KL penalty: the encoder gives a latent's mean and log
variance, its *moments*; the decoder makes an image of a latent drawn from them.
"""

import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn


def new_autoencoder(
    *,
    image_size: int,
    channels: int,
    block_channels: tuple[int, ...],
    layers_per_block: int,
    latent_channels: int,
    groups: int,
) -> AutoencoderKL:
    """A freshly initialized autoencoder that halves the side once less than it has levels.

    Args:
        image_size: Side of the images, pixels; divisible by 2 ** (levels - 1).
        channels: Of the images.
        block_channels: Width of each level, each divisible by ``groups``.
        layers_per_block: Residual blocks a level on the way down; one more on the way up.
        latent_channels: Of the latents.
        groups: Of the group normalization.
    """
    levels = len(block_channels)
    return AutoencoderKL(
        sample_size=image_size,
        in_channels=channels,
        out_channels=channels,
        block_out_channels=block_channels,
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        layers_per_block=layers_per_block,
        latent_channels=latent_channels,
        norm_num_groups=groups,
    )


def moments(vae: AutoencoderKL, images: Tensor) -> Tensor:
    """Mean and log variance of the latents' posterior, unscaled, float32, (B, 2 C, h, w).

    Given images in [-1, 1], float32, (B, 3, H, W).  The log variance is clamped to [-30, 20], as
    diffusers does.
    """
    posterior = vae.encode(images).latent_dist
    return torch.cat([posterior.mean, posterior.logvar], dim=1).float()


def latent(
    moments: Tensor, noise: Tensor, scaling_factor: float, shift_factor: float = 0.0
) -> Tensor:
    """A draw from the posterior, scaled: what is noised and denoised; float32, (B, C, h, w).

    Given unscaled moments, (B, 2 C, h, w), float32 or float16, and standard normal noise, float32,
    (B, C, h, w).  The factors are the autoencoder's; see ``factors``.
    """
    mean, log_variance = moments.float().chunk(2, dim=1)
    drawn = mean + (log_variance / 2).exp() * noise
    return (drawn - shift_factor) * scaling_factor


def factors(vae: AutoencoderKL) -> tuple[float, float]:
    """The scaling factor and the shift factor (0 without one) of ``latent`` and ``decode``."""
    shift = vae.config.get("shift_factor")
    return float(vae.config.scaling_factor), 0.0 if shift is None else float(shift)


def decode(vae: AutoencoderKL, latents: Tensor) -> Tensor:
    """Images of scaled latents, (B, C, h, w): float32, (B, 3, H, W), nominally in [-1, 1]."""
    scaling_factor, shift_factor = factors(vae)
    image: Tensor = vae.decode(latents / scaling_factor + shift_factor, return_dict=False)[0]
    return image.float()


def scaling_factor_of(latents: Tensor) -> float:
    """1 / standard deviation of unscaled draws, (N, C, h, w), N > 0, over all their values.

    With it, latents have unit variance (Rombach et al. 2022, appendix G).
    """
    return float(1 / latents.double().std(correction=0))


class Reconstruction(nn.Module):
    """An autoencoder whose forward pass is what its training needs; wrap it for data parallel."""

    def __init__(self, vae: AutoencoderKL) -> None:
        super().__init__()
        self.vae = vae

    def forward(self, images: Tensor, noise: Tensor) -> tuple[Tensor, Tensor]:
        """Decoded draws, (B, 3, H, W), and moments, (B, 2 C, h, w), float32, of such images."""
        found = moments(self.vae, images)
        decoded = self.vae.decode(latent(found, noise, 1.0), return_dict=False)[0]
        return decoded.float(), found


def reconstruction_loss(
    network: nn.Module, *, images: Tensor, noise: Tensor, kl_weight: float
) -> Tensor:
    """Squared error plus ``kl_weight`` times KL to the standard normal, a scalar.

    Both are sums over an image, averaged over the batch (Rombach et al. 2022, appendix G, with L2
    in place of perceptual and adversarial terms), and divided by the number of its values: the
    weight means what it means there, and the first term is the mean squared error.  Given a
    ``Reconstruction``, images in [-1, 1], float32, (B, 3, H, W), and standard normal noise, (B, C,
    h, w).
    """
    decoded, found = network(images, noise)
    mean, log_variance = found.chunk(2, dim=1)
    divergence = (mean.square() + log_variance.exp() - 1 - log_variance).sum() / 2
    squared = (decoded - images).square().sum()
    return (squared + kl_weight * divergence) / images.numel()
