"""A diffusion model's training step as anybody would write it for a GPU: torch and diffusers alone.

It knows nothing of ours but the shape of the network: images lie on the GPU, noise is drawn there,
the network is compiled and computes in bf16.
"""

from collections.abc import Callable
from typing import Any

import torch
from diffusers import DDPMScheduler, UNet2DModel


def step_of(settings: Any, device: torch.device, *, images: int) -> Callable[[], None]:
    """A function that takes one step of the network that ``settings`` describe."""
    attends = [level in settings.attention_levels for level in range(len(settings.block_channels))]
    network = UNet2DModel(
        sample_size=settings.image_size,
        in_channels=settings.channels,
        out_channels=settings.channels,
        block_out_channels=settings.block_channels,
        down_block_types=tuple("AttnDownBlock2D" if one else "DownBlock2D" for one in attends),
        up_block_types=tuple("AttnUpBlock2D" if one else "UpBlock2D" for one in attends[::-1]),
        layers_per_block=settings.layers_per_block,
        norm_num_groups=settings.groups,
        dropout=settings.dropout,
        num_class_embeds=settings.classes + 1,
        add_attention=any(attends),
        attention_head_dim=8 if settings.attention_heads is None else None,
    ).to(device, memory_format=torch.channels_last)
    weights = list(network.parameters())
    averages = [weight.detach().clone() for weight in weights]
    optimizer = torch.optim.AdamW(weights, settings.learning_rate, fused=True)
    noising, n = (
        DDPMScheduler(num_train_timesteps=1000, beta_schedule="linear"),
        settings.batch_size,
    )
    noising.alphas_cumprod = noising.alphas_cumprod.to(device)
    shape = (settings.channels, settings.image_size, settings.image_size)
    data = torch.randint(0, 256, (images, *shape), dtype=torch.uint8, device=device)
    labels = torch.randint(0, settings.classes, (images,), device=device)
    compiled = torch.compile(network) if device.type == "cuda" else network

    def step() -> None:
        rows = torch.randint(images, (n,), device=device)
        t, noise = torch.randint(1000, (n,), device=device), torch.randn(n, *shape, device=device)
        noised = noising.add_noise(data[rows].float() / 127.5 - 1, noise, t)
        dropped = torch.rand(n, device=device) < settings.null_probability
        condition = torch.where(dropped, settings.classes, labels[rows])
        with torch.autocast(device.type, torch.bfloat16):
            predicted = compiled(noised, t, class_labels=condition).sample
        loss: Any = torch.nn.functional.mse_loss(predicted.float(), noise)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        torch._foreach_lerp_(averages, [weight.detach() for weight in weights], 1e-3)

    return step
