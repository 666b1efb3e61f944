"""The laptop scale's network trained, or sampled, by a bare loop of torch and diffusers."""

import argparse
import json
import time

import torch
from diffusers import DDIMScheduler, DDPMScheduler, UNet2DModel

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("what", choices=("train", "sample"))
parser.add_argument("--batches", type=int, default=200)
parser.add_argument("--batch-size", type=int, default=64)
parser.add_argument("--untimed", type=int, default=50, help="Batches before the clock starts.")
arguments = parser.parse_args()
batches, size, untimed = arguments.batches, arguments.batch_size, arguments.untimed

torch.set_num_threads(1)
torch.manual_seed(0)
network = UNet2DModel(
    sample_size=8, in_channels=1, out_channels=1, block_out_channels=(32, 64), layers_per_block=1,
    down_block_types=("DownBlock2D",) * 2, up_block_types=("UpBlock2D",) * 2, norm_num_groups=8,
    num_class_embeds=11, add_attention=False,
)  # fmt: skip
parameters = list(network.parameters())


def train():
    """Predict the noise in random images; yield after each step."""
    images = torch.randint(0, 256, (1437, 1, 8, 8), dtype=torch.uint8)
    labels = torch.randint(0, 10, (1437,))
    noising = DDPMScheduler(num_train_timesteps=1000, beta_schedule="squaredcos_cap_v2")
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=1e-4, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=batches)
    averaged = [parameter.detach().clone() for parameter in parameters]
    for _ in range(batches):
        rows = torch.randint(0, len(images), (size,))
        x_0, noise = images[rows].float() / 127.5 - 1, torch.randn(size, 1, 8, 8)
        t = torch.randint(0, 1000, (size,))
        condition = torch.where(torch.rand(size) < 0.1, 10, labels[rows])
        predicted = network(noising.add_noise(x_0, noise, t), t, class_labels=condition).sample
        torch.nn.functional.mse_loss(predicted, noise).backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
        with torch.no_grad():
            for average, parameter in zip(averaged, parameters, strict=True):
                average.lerp_(parameter, 1 - 0.995)
        yield


@torch.inference_mode()
def sample():
    """Draw batches with 25 DDIM steps at guidance weight 2; yield after each."""
    network.eval()
    condition = torch.cat([torch.full((size,), 10), torch.full((size,), 8)])
    for _ in range(batches):
        ddim = DDIMScheduler(1000, beta_schedule="squaredcos_cap_v2", clip_sample=True)
        ddim.set_timesteps(25)
        x_t = torch.randn(size, 1, 8, 8)
        for t in ddim.timesteps:
            both = network(torch.cat([x_t, x_t]), t, class_labels=condition).sample
            unconditional, conditional = both.chunk(2)
            guided = unconditional + 2 * (conditional - unconditional)
            x_t = ddim.step(guided, t, x_t).prev_sample
        yield


times = [time.perf_counter() for _ in {"train": train, "sample": sample}[arguments.what]()]
rate = (batches - untimed) / (times[-1] - times[untimed - 1])
unit = {"train": ("steps_per_second", rate), "sample": ("images_per_second", rate * size)}
count = sum(parameter.numel() for parameter in parameters)
print(json.dumps(dict([unit[arguments.what], ("parameters", count)])))
