"""Training and sampling on a CPU, and the same on a GPU where there is one (``-m gpu``)."""

import numpy as np
import pytest
import torch

from models import ddpm, precision, sampling
from models.training import Recipe, Training
from tests.models.made import unet

CPU = torch.device("cpu")
ON_EACH = pytest.mark.parametrize(
    "device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)], indirect=True
)
DRAWS = np.random.default_rng(0)
X_0 = torch.from_numpy(DRAWS.normal(size=(16, 2, 8, 8)).astype(np.float32)).clamp(-1, 1)
NOISE = torch.from_numpy(DRAWS.normal(size=(16, 2, 8, 8)).astype(np.float32))
T, CONDITION = torch.arange(0, 960, 60), torch.arange(16) % 3
SCHEDULER = ddpm.build_scheduler(steps=1000, betas="linear")


@pytest.fixture
def device(request):
    return torch.device(request.param)


def start(name="fp32", steps=60):
    recipe = Recipe(
        steps=steps, learning_rate=1e-3, weight_decay=0.0, ema_decay=0.9, seed=0, precision=name
    )
    return Training(lambda: unet(channels=2, classes=3), recipe, rank=0, workers=1)


def run(training, steps):
    """Take steps on one batch; the loss of each."""
    where = training.device
    x_0, noise, t, condition = (one.to(where) for one in (X_0, NOISE, T, CONDITION))
    given = {"scheduler": SCHEDULER, "x_0": x_0, "t": t, "noise": noise, "condition": condition}
    losses = []
    for _ in range(steps):
        training.update((lambda network: ddpm.noise_loss(network, **given), 1.0))
        losses.append(float(training._losses[-1]))
    return losses


@ON_EACH
def test_bf16_learns_as_fp32_does_and_keeps_weights_and_averages_in_float32(device):
    exact, rounded = start(), start("bf16")
    assert exact.device.type == device.type
    one, other = run(exact, 60), run(rounded, 60)
    assert one[-1] < 0.7 * one[0]
    assert np.mean(other[-10:]) == pytest.approx(np.mean(one[-10:]), rel=0.02)
    kept = [*rounded.parameters, *rounded.ema.shadow_params]
    assert {tensor.dtype for tensor in kept} == {torch.float32}


@ON_EACH
def test_resumed_equals_uninterrupted(device, tmp_path, monkeypatch):
    """On a GPU with the kernels that add up in one order."""
    monkeypatch.setattr(torch.backends.cudnn, "deterministic", True)
    whole, first, second = start("bf16"), start("bf16"), start("bf16")
    expected = run(whole, 40)
    run(first, 17)
    first.save(tmp_path)
    second.load(tmp_path)
    assert second.device.type == device.type
    assert run(second, 23) == pytest.approx(expected[17:], rel=0 if device == CPU else 1e-5)


@ON_EACH
def test_a_device_draws_what_a_cpu_draws(device):
    """Float32 on both; ten steps of DDIM, guided; pixels are in [-1, 1]."""
    drawn = []
    for where in (CPU, device):
        torch.manual_seed(0)
        model = ddpm.Ddpm(unet(channels=2, classes=3).to(where).eval(), SCHEDULER)
        precision.arranged(model.network, where, precision="fp32", passes=10)
        with precision.computing("fp32", where):
            images = sampling.Ddim().sample(
                model,
                sampling.initial_noise(0, range(4), (2, 8, 8)).to(where),
                torch.arange(4).to(where) % 3,
                step_noises=iter(()),
                steps=10,
                guidance_weight=2.0,
                clip="static",
            )
        drawn.append(images.cpu())
    torch.testing.assert_close(drawn[1], drawn[0], rtol=0, atol=1e-3)
    assert drawn[0].std() > 0.1
