import json

import pytest
import torch

from models import ddpm, edm
from models.denoiser import load
from tests.models.made import unet

SETTINGS = {"num_train_timesteps", "beta_schedule", "sigma_data", "rho"}


@pytest.fixture(params=["ddpm", "edm", "edm without a null condition"])
def saved(request, tmp_path):
    """A model and the folder that it was written to."""
    if request.param == "ddpm":
        model = ddpm.Ddpm(unet(channels=1), ddpm.build_scheduler(steps=50, betas="linear"))
    else:
        network = unet(channels=1, null_condition=request.param == "edm")
        model = edm.Edm(network, edm.build_scheduler(sigma_data=0.4), 4)
    model.save(tmp_path)
    return model, tmp_path


@torch.no_grad()
def test_either_kind_is_opened_and_denoises(saved, request):
    model, folder = saved
    loaded = load(folder, torch.device("cpu"))
    assert type(loaded) is type(model)
    assert not loaded.network.training
    null = None if "without" in request.node.name else 4
    assert (loaded.classes, loaded.null_condition, loaded.image_shape) == (4, null, (1, 8, 8))
    inputs = torch.ones(3, 1, 8, 8), torch.tensor([0.01, 0.5, 80.0]), torch.tensor([0, 3, 1])
    torch.testing.assert_close(loaded.denoise(*inputs), model.denoise(*inputs), rtol=0, atol=0)
    own = type(model.scheduler).from_pretrained(folder / "scheduler")  # opens with diffusers
    assert all(
        own.config[name] == model.scheduler.config[name] for name in SETTINGS & {*own.config}
    )


def change(file, name, value):
    file.write_text(json.dumps(json.loads(file.read_text()) | {name: value}))


def test_a_model_without_class_conditions_or_of_an_unknown_process_is_refused(saved):
    _, folder = saved
    change(folder / "unet" / "config.json", "num_class_embeds", None)
    with pytest.raises(ValueError, match="expected a model with class conditions") as failure:
        load(folder, torch.device("cpu"))
    assert "\n" not in str(failure.value)
    change(folder / "scheduler" / "scheduler_config.json", "_class_name", "PNDMScheduler")
    message = "process of DDPMScheduler, EDMEulerScheduler, got PNDMScheduler"
    with pytest.raises(ValueError, match=message):
        load(folder, torch.device("cpu"))
