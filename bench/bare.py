"""The laptop scale's network trained, or sampled, by a bare loop of torch and diffusers."""

import argparse
import json
import time

import torch
from diffusers import DDIMScheduler, DDPMScheduler, UNet2DModel

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("what", choices=("train", "sample"))
for name, default in (("--batches", 200), ("--batch-size", 64), ("--untimed", 50)):
    parser.add_argument(name, type=int, default=default)
asked = parser.parse_args()
size = asked.batch_size
torch.set_num_threads(1)
blocks = {"down_block_types": ("DownBlock2D",) * 2, "up_block_types": ("UpBlock2D",) * 2}
shape = {"sample_size": 8, "in_channels": 1, "out_channels": 1, "block_out_channels": (32, 64)}
layers = {"layers_per_block": 1, "norm_num_groups": 8, "add_attention": False}
network = UNet2DModel(**shape, **blocks, **layers, num_class_embeds=11)
weights = list(network.parameters())
betas = {"num_train_timesteps": 1000, "beta_schedule": "squaredcos_cap_v2"}


def train():
    """Take a training step at every turn."""
    images = torch.randint(0, 256, (1437, 1, 8, 8), dtype=torch.uint8)
    labels, noising = torch.randint(0, 10, (1437,)), DDPMScheduler(**betas)
    optimizer = torch.optim.AdamW(weights, lr=1e-3, weight_decay=1e-4, fused=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=asked.batches)
    averages = [weight.detach().clone() for weight in weights]
    while True:
        rows, t = torch.randint(0, len(images), (size,)), torch.randint(0, 1000, (size,))
        x_0, noise = images[rows].float() / 127.5 - 1, torch.randn(size, 1, 8, 8)
        condition = torch.where(torch.rand(size) < 0.1, 10, labels[rows])
        predicted = network(noising.add_noise(x_0, noise, t), t, class_labels=condition).sample
        torch.nn.functional.mse_loss(predicted, noise).backward()
        optimizer.step(), optimizer.zero_grad(), schedule.step()
        for average, weight in zip(averages, weights, strict=True):
            average.lerp_(weight.detach(), 0.005)
        yield


@torch.inference_mode()
def sample():
    """Draw a batch at every turn."""
    network.eval()
    condition = torch.tensor([10] * size + [8] * size)
    while True:
        ddim, x_t = DDIMScheduler(**betas, clip_sample=False), torch.randn(size, 1, 8, 8)
        ddim.set_timesteps(25)
        for t in ddim.timesteps:
            both = network(torch.cat([x_t, x_t]), t, class_labels=condition).sample
            noise = torch.lerp(*both.chunk(2), 2.0)
            x_t = ddim.step(noise, t, x_t).prev_sample
        yield


times = [time.perf_counter() for _, _ in zip(range(asked.batches), globals()[asked.what]())]  # noqa: B905
rate = (asked.batches - asked.untimed) / (times[-1] - times[asked.untimed - 1])
print(json.dumps({"batches_per_second": rate, "parameters": sum(w.numel() for w in weights)}))
