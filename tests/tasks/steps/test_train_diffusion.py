import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch

from orchestrator.studies import scales
from tasks.steps import train_diffusion
from tasks.steps.batches import own_rows
from tasks.steps.train_diffusion import Settings, edm_inputs_of_step, inputs_of_step


@pytest.fixture
def fit(hold, poisoned, silent, tmp_path_factory):
    """A function that trains and returns the folder."""

    def run(settings, *, report=silent, resume=None):
        out = tmp_path_factory.mktemp("out")
        batches = hold(settings, poisoned)
        train_diffusion.fit(settings, out=out, batches=batches, report=report, resume=resume)
        return out

    return run


def test_interrupted_equals_uninterrupted(fit, small_training, contents, model_and_checkpoint):
    model, checkpoint = model_and_checkpoint
    assert contents(fit(small_training, resume=checkpoint)) == contents(model)


def test_the_model_opens_with_diffusers(model):
    from diffusers import DDIMScheduler, DDPMScheduler, UNet2DModel

    network = UNet2DModel.from_pretrained(model / "unet")
    assert network.config.num_class_embeds == 11
    for kind in (DDPMScheduler, DDIMScheduler):
        scheduler = kind.from_pretrained(model / "scheduler")
        assert scheduler.config.beta_schedule == "squaredcos_cap_v2"
        assert scheduler.config.num_train_timesteps == 1000
    assert json.loads((model / "model.json").read_text())["null_condition"] == 10
    assert not [path for path in model.rglob("*") if path.suffix in {".bin", ".pt", ".pkl"}]


def test_a_loss_that_is_no_number_publishes_nothing(
    small_training, hold, poisoned, silent, tmp_path
):
    settings = replace(small_training, learning_rate=1e30)
    batches, message = hold(settings, poisoned), r"the loss is (nan|inf) at step \d+ of 120.*Lower"
    with pytest.raises(FloatingPointError, match=message):
        train_diffusion.fit(settings, out=tmp_path, batches=batches, report=silent, resume=None)
    assert not list(tmp_path.iterdir())


def losses(folder):
    """Means of steps 1-50, 51-100 and 101-120."""
    lines = (folder / "history.csv").read_text().splitlines()[1:]
    return [float(line.split(",")[1]) for line in lines]


def test_bf16_ends_within_two_percent_of_fp32_and_is_saved_in_float32(fit, small_training, model):
    """The mean loss of the last 20 of 120 steps; bfloat16 rounds by at most 0.4 %."""
    from safetensors.torch import load_file

    made = fit(replace(small_training, precision="bf16"))
    assert losses(made) == pytest.approx(losses(model), rel=0.02)
    assert losses(made) != losses(model)
    weights = load_file(made / "unet" / "diffusion_pytorch_model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32}


def test_computing_activations_again_changes_nothing(fit, small_training, model, contents):
    assert contents(fit(replace(small_training, recompute=True))) == contents(model)


def test_a_batch_learned_from_in_parts_takes_the_steps_of_the_whole_one(fit, small_training):
    """Sums of 8 and 5 of 16 images at a time: the mean loss of the first 50 steps.

    Without dropout, which draws for a part at a time.
    """
    plain = replace(small_training, dropout=0.0)
    first = losses(fit(plain))[0]
    for most in (8, 5):
        made = fit(replace(plain, micro_batch=most))
        assert losses(made)[0] == pytest.approx(first, rel=1e-4)


@pytest.mark.parametrize(
    ("changes", "size"),
    [({"block_channels": (8, 12)}, None), ({"ema_decay": None}, None), ({}, 1000)],
    ids=["other network", "no average", "truncated"],
)
def test_a_checkpoint_that_does_not_fit_is_named(
    fit, small_training, model_and_checkpoint, tmp_path, changes, size
):
    folder = tmp_path / "checkpoint"
    shutil.copytree(model_and_checkpoint[1], folder)
    [file] = folder.iterdir()
    file.write_bytes(file.read_bytes()[:size])
    with pytest.raises(ValueError, match="deleting it restarts the training") as failure:
        fit(replace(small_training, **changes), resume=folder)
    assert str(folder) in str(failure.value)
    assert "\n" not in str(failure.value)


def test_a_checkpoint_runs_no_code(fit, small_training, tmp_path):
    class Trap:
        def __reduce__(self):
            return (tmp_path.joinpath("sprung").mkdir, ())

    folder = tmp_path / "checkpoint"
    folder.mkdir()
    torch.save({"step": Trap()}, folder / "training.pt")
    with pytest.raises(ValueError, match="does not fit this training"):
        fit(small_training, resume=folder)
    assert not (tmp_path / "sprung").exists()


def test_global_random_state_is_left_alone(fit, small_training):
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002 - the legacy state is what must not move
    before = torch.get_rng_state(), np.random.get_state()[1]  # noqa: NPY002
    fit(replace(small_training, steps=10))
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002


def test_an_interrupted_edm_equals_an_uninterrupted_one_and_is_published_plainly(
    fit, small_training, contents, tmp_path
):
    """With everything that a resumed training has to bring back."""
    from diffusers import UNet2DModel

    from models import denoiser

    kind = {"noise_model": "edm", "null_probability": 0.0, "augmentation": 0.3}
    settings = replace(small_training, schedule="ramp", steps=60, **kind)
    whole = fit(settings, report=lambda step, _, save: step == 50 and save(tmp_path))
    assert contents(fit(settings, resume=tmp_path)) == contents(whole)
    loaded = denoiser.load(whole, torch.device("cpu"))
    assert (loaded.classes, loaded.null_condition) == (10, None)
    described = json.loads((whole / "model.json").read_text())
    assert (described["kind"], described["null_condition"]) == ("edm", None)
    network, said = UNet2DModel.from_pretrained(whole / "unet", output_loading_info=True)
    assert network.config.num_class_embeds == 10
    assert not said["unexpected_keys"]
    assert not said["missing_keys"]


def test_the_authors_model_of_cifar10_is_as_large_as_theirs():
    with torch.device("meta"):
        network = train_diffusion.build(scales.CIFAR10.diffusion)
    assert network.num_parameters() == 9_701_763


def arrays(inputs, *given):
    """What a step is given on the CPU."""
    return [tensor.numpy() for tensor in inputs(*given, torch.device("cpu"))]


class TestInputsOfAStep:
    SETTINGS = Settings(batch_size=64)
    WHOLE = slice(0, 64)

    @pytest.fixture
    def batch(self, hold):
        return next(hold(self.SETTINGS)(0, 1))

    def test_the_null_condition_comes_as_often_as_asked(self, batch):
        draws = [
            arrays(inputs_of_step, self.SETTINGS, step, batch, self.WHOLE)[3] for step in range(200)
        ]
        dropped = np.stack(draws) == 10
        # 12,800 draws of probability 0.1: a deviation of 0.27 %.
        assert abs(dropped.mean() - 0.1) < 5 * 0.0027
        labels = np.broadcast_to(batch["label"], dropped.shape)
        np.testing.assert_array_equal(np.stack(draws)[~dropped], labels[~dropped])

    def test_augmented_images_are_told_of(self, batch):
        edm = {"noise_model": "edm", "null_probability": 0.0}
        settings = replace(self.SETTINGS, **edm, augmentation=1e-9)  # mirrored only
        image, _, _, told = arrays(edm_inputs_of_step, settings, 3, batch, self.WHOLE)
        plain = arrays(inputs_of_step, settings, 3, batch, self.WHOLE)[0]
        mirrored = told[:, 1] == 1
        assert 10 < mirrored.sum() < 54
        assert not told[:, 2:].any()
        np.testing.assert_array_equal(told[:, 0], batch["label"])
        np.testing.assert_array_equal(image[~mirrored], plain[~mirrored])
        np.testing.assert_allclose(image[mirrored], plain[mirrored][..., ::-1], atol=1e-5)


@pytest.mark.parametrize("inputs", [inputs_of_step, edm_inputs_of_step])
def test_the_workers_together_draw_what_one_draws(hold, inputs):
    settings = Settings(batch_size=64, noise_model="edm", augmentation=0.5)
    whole = arrays(inputs, settings, 9, next(hold(settings)(0, 1)), slice(0, 64))
    parts = []
    for rank in range(4):
        rows = next(hold(settings, rank=rank, workers=4)(0, 1))
        parts.append(arrays(inputs, settings, 9, rows, own_rows(64, rank=rank, workers=4)))
    for one, shared in zip(whole, zip(*parts, strict=True), strict=True):
        np.testing.assert_array_equal(np.concatenate(shared), one)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"block_channels": (8, 8, 8, 8, 8)}, "halved 4 times"),
        ({"groups": 5}, "multiples of 5"),
        ({"attention_levels": (2,)}, r"among 0\.\.1"),
        ({"null_probability": -0.1}, r"null_probability in \[0, 1\)"),
        ({"schedule": "cosine"}, "schedule of one_cycle, warmup_cosine, ramp, got 'cosine'"),
        ({"steps": 1, "schedule": "ramp"}, "steps of at least 2, which ramp needs, got 1"),
        ({"augmentation": 0.1}, "augmentation 0 with noise_model ddpm, got 0.1; use"),
        ({"steps": 9}, "steps of at least 10, which one cycle needs, got 9"),
        ({"learning_rate": float("nan")}, "learning_rate above 0"),
        ({"precision": "fp16"}, "precision of fp32, tf32, bf16, got 'fp16'"),
        ({"micro_batch": -1}, "micro_batch of at least 0"),
    ],
)
def test_settings_that_cannot_train_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        Settings(**changes)
