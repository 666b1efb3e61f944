import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from torch.nn.functional import mse_loss

from models import denoiser
from models.latent import autoencoder, pipeline
from models.latent.text_to_image import TextToImage, noise_loss
from models.sampling import SAMPLERS, Ddim, initial_noise, step_noises
from tests import tiny_pipeline
from tests.tiny_pipeline import CAPTIONS

CPU = torch.device("cpu")
SHAPE = (4, 8, 8)


def drawn(*shape, seed=0):
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(shape, np.float32))


def theirs(folder):
    """Diffusers' own pipeline, with its own DDIM."""
    pipe = StableDiffusionPipeline.from_pretrained(folder)
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    return pipe


@pytest.mark.parametrize("weight", [1.0, 5.0])
def test_images_are_those_of_diffusers_own_pipeline(either, weight):
    latents = initial_noise(3, range(2), SHAPE)
    pipe = theirs(either)
    expected = pipe(
        [CAPTIONS[8], CAPTIONS[2]],
        latents=latents.clone(),
        num_inference_steps=10,
        guidance_scale=weight,
        output_type="pt",
    ).images
    model = denoiser.load(either, CPU, prompts=CAPTIONS)
    found = Ddim().sample(
        model,
        latents,
        torch.tensor([8, 2]),
        step_noises=iter(()),
        steps=10,
        guidance_weight=weight,
        clip="none",
    )
    images = (model.decode(found) / 2 + 0.5).clamp(0, 1)
    assert images.shape == (2, 3, 16, 16)
    assert images.std() > 0.01
    torch.testing.assert_close(images, expected, rtol=0, atol=1e-5)


def test_a_folder_of_the_layout_of_version_1_4_draws_the_same(tmp_path):
    tiny_pipeline.write(tmp_path / "own")
    old = tiny_pipeline.as_version_1_4(tiny_pipeline.write(tmp_path / "old"))
    models = [denoiser.load(folder, CPU, prompts=CAPTIONS) for folder in (tmp_path / "own", old)]
    assert torch.equal(models[0].table, models[1].table)
    own, found = (
        Ddim().sample(
            model,
            drawn(1, *SHAPE),
            torch.tensor([4]),
            step_noises=iter(()),
            steps=5,
            guidance_weight=2.0,
            clip="none",
        )
        for model in models
    )
    torch.testing.assert_close(found, own, rtol=0, atol=0)
    assert models[1].scheduler.config.prediction_type == "epsilon"
    assert type(models[1].parts.scheduler).__name__ == "PNDMScheduler"
    assert autoencoder.factors(models[1].vae) == (0.18215, 0.0)
    torch.testing.assert_close(models[1].decode(own), models[0].decode(own), rtol=0, atol=0)
    pipeline.save(tmp_path / "again", models[1].parts)
    assert type(theirs(tmp_path / "again").unet) is UNet2DConditionModel
    again = denoiser.load(tmp_path / "again", CPU, prompts=CAPTIONS)
    assert torch.equal(again.table, models[0].table)
    assert type(again.parts.scheduler).__name__ == "PNDMScheduler"


def test_opening_says_nothing(tmp_path, capfd, caplog):
    old = tiny_pipeline.as_version_1_4(tiny_pipeline.write(tmp_path / "old"))
    denoiser.load(old, CPU, prompts=CAPTIONS)
    assert capfd.readouterr() == ("", "")
    assert not caplog.records


def test_prompts_are_embedded_as_the_pipeline_does(either):
    long = "a photo of " * 20 + "a ???"
    model = TextToImage.load(either, CPU, prompts=[*CAPTIONS, long])
    pipe = theirs(either)
    for row, text in enumerate([*CAPTIONS, long]):
        positive, negative = pipe.encode_prompt(text, CPU, 1, True)
        torch.testing.assert_close(model.table[row], positive[0], rtol=0, atol=1e-6)
        torch.testing.assert_close(model.table[-1], negative[0], rtol=0, atol=1e-6)
    torch.testing.assert_close(model.embed([long])[0], model.table[-2], rtol=0, atol=1e-6)
    assert (model.classes, model.null_condition, model.image_shape) == (11, 11, SHAPE)


def test_samplers_derive_theirs_from_a_process_that_predicts_noise_as_the_folder_has_it(either):
    config = denoiser.load(either, CPU, prompts=CAPTIONS).scheduler.config
    assert config.prediction_type == "epsilon"
    wanted = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
    wanted |= {"steps_offset": 1, "set_alpha_to_one": False, "clip_sample": False}
    assert {name: config[name] for name in wanted} == wanted
    ddim = Ddim().scheduler(config, steps=50, clip="none")
    assert ddim.timesteps.tolist() == [*range(981, 0, -20)]
    assert ddim.final_alpha_cumprod == ddim.alphas_cumprod[0]


@pytest.mark.parametrize("kind", SAMPLERS, ids=lambda kind: kind.name)
def test_every_sampler_draws_latents_that_decode(either, kind):
    model, sampler = denoiser.load(either, CPU, prompts=CAPTIONS[:3]), kind()
    sampler.check(model, steps=4, guidance_weight=2.0)
    latents = sampler.sample(
        model,
        initial_noise(0, [0, 1], model.image_shape),
        torch.tensor([0, 2]),
        step_noises=step_noises(0, [0, 1], model.image_shape),
        steps=4,
        guidance_weight=2.0,
        clip="none",
    )
    images = model.decode(latents)
    assert images.shape == (2, 3, 16, 16)
    assert images.dtype == torch.float32
    assert images.isfinite().all()


@pytest.mark.parametrize("t", [0, 1, 500, 999])
def test_a_denoised_latent_is_diffusers_own_estimate(either, t):
    model = denoiser.load(either, CPU, prompts=CAPTIONS)
    pipe = theirs(either)
    x_t, condition = drawn(1, *SHAPE), torch.tensor([7])
    with torch.no_grad():
        said = pipe.unet(x_t, t, encoder_hidden_states=model.table[condition]).sample
        pipe.scheduler.set_timesteps(10)
        expected = pipe.scheduler.step(said, t, x_t).pred_original_sample
        signal = pipe.scheduler.alphas_cumprod[t].double()
        sigma = ((1 - signal) / signal).sqrt().float()[None]
        found = model.denoise(x_t * (1 + sigma**2).sqrt(), sigma, condition)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_sigma_of_inverts_time_of(either):
    model = denoiser.load(either, CPU, prompts=CAPTIONS)
    sigma = torch.tensor([0.03, 0.1, 1.0, 7.3, 14.0])
    torch.testing.assert_close(model.sigma_of(model.time_of(sigma)), sigma, rtol=1e-4, atol=0)
    alphas = model.scheduler.alphas_cumprod
    for t in (0, 600, 999):
        expected = ((1 - alphas[t]) / alphas[t]).sqrt()
        torch.testing.assert_close(model.sigma_of(torch.tensor(t)), expected, rtol=1e-4, atol=0)


def test_a_draw_from_kept_moments_is_the_autoencoder_s_own(either):
    vae = AutoencoderKL.from_pretrained(either / "vae")
    model = TextToImage.load(either, CPU, prompts=CAPTIONS)
    images = drawn(3, 3, 16, 16).clamp(-1, 1)
    kept = model.moments(images)
    assert kept.shape == (3, 8, 8, 8)
    with torch.no_grad():
        expected = vae.encode(images).latent_dist.sample(torch.Generator().manual_seed(5))
        noise = torch.randn(expected.shape, generator=torch.Generator().manual_seed(5))
        found = autoencoder.latent(kept, noise, vae.config.scaling_factor)
        own = expected * vae.config.scaling_factor
        torch.testing.assert_close(found, own, rtol=0, atol=0)
        decoded = vae.decode(own / vae.config.scaling_factor).sample
        torch.testing.assert_close(model.decode(found), decoded, rtol=0, atol=0)


def test_the_log_variance_is_clamped_as_the_autoencoder_does():
    vae = tiny_pipeline.parts().vae
    with torch.no_grad():
        vae.quant_conv.bias[4:] = torch.tensor([1000.0, -1000.0, 0.0, 0.0])
        found = autoencoder.moments(vae, torch.zeros(1, 3, 16, 16))
    assert found[:, 4].unique().tolist() == [20.0]
    assert found[:, 5].unique().tolist() == [-30.0]


def test_a_shift_is_taken_off_before_scaling_and_put_back():
    vae = tiny_pipeline.parts().vae
    x = torch.cat([drawn(2, 4, 8, 8), torch.full((2, 4, 8, 8), -30.0)], dim=1)
    with torch.no_grad():
        plain = vae.decode(x[:, :4]).sample
        vae.register_to_config(scaling_factor=2.0, shift_factor=0.5)
        scaled = autoencoder.latent(x, torch.zeros(2, 4, 8, 8), *autoencoder.factors(vae))
        torch.testing.assert_close(scaled, (x[:, :4] - 0.5) * 2)
        torch.testing.assert_close(autoencoder.decode(vae, scaled), plain)


def test_the_loss_is_of_noise_or_of_v(either):
    parts = pipeline.open_parts(either, CPU)
    process = pipeline.noising_process(parts.scheduler)
    x_0, noise, text = drawn(2, *SHAPE), drawn(2, *SHAPE, seed=1), drawn(2, 16, 8, seed=2)
    if process.config.prediction_type == "v_prediction":
        text = drawn(2, 16, 16, seed=2)
    t = torch.tensor([10, 900])
    alpha = torch.cumprod(1 - torch.linspace(0.00085**0.5, 0.012**0.5, 1000) ** 2, 0)[t]
    signal, rest = (value.sqrt()[:, None, None, None] for value in (alpha, 1 - alpha))
    x_t = signal * x_0 + rest * noise
    with torch.no_grad():
        found = noise_loss(parts.unet, scheduler=process, x_0=x_0, t=t, noise=noise, text=text)
        said = parts.unet(x_t, t, encoder_hidden_states=text).sample
    v = signal * noise - rest * x_0
    target = v if process.config.prediction_type == "v_prediction" else noise
    torch.testing.assert_close(found, mse_loss(said, target), rtol=1e-5, atol=0)


def test_raw_weights_are_opened_beside_the_average(tmp_path):
    averaged, last = tiny_pipeline.parts(), tiny_pipeline.parts(seed=1)
    pipeline.save(tmp_path, averaged, raw={"unet": last.unet})
    opened = {
        name: denoiser.load(tmp_path, CPU, prompts=CAPTIONS, weights=name)
        for name in pipeline.WEIGHTS
    }
    for name, parts in (("averaged", averaged), ("raw", last)):
        own = parts.unet.state_dict()
        found = opened[name].network.state_dict()
        assert all(torch.equal(found[key], value) for key, value in own.items())
        assert not opened[name].network.training
    assert torch.equal(opened["raw"].table, opened["averaged"].table)
    pipeline.save(tmp_path, averaged, raw={"unet": last.unet, "text_encoder": last.text_encoder})
    again = denoiser.load(tmp_path, CPU, prompts=CAPTIONS, weights="raw")
    torch.testing.assert_close(again.table, TextToImage.of(last, CAPTIONS).table)
    UNet2DConditionModel.from_pretrained(tmp_path / "raw" / "unet")
    with torch.no_grad():
        theirs(tmp_path)("a photo of a six", height=16, width=16, num_inference_steps=2)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"prompts": ()}, "expected one prompt or more"),
        ({"prompts": ("a dog", " ")}, "expected one prompt or more, none of them empty"),
        ({"prompts": ("a dog",), "weights": "raw"}, "expected raw weights in raw/unet, got none"),
        ({"prompts": ("a dog",), "weights": "last"}, "expected weights of averaged, raw, got"),
    ],
)
def test_what_a_pipeline_cannot_be_opened_with_is_refused(either, given, message):
    with pytest.raises(ValueError, match=message) as failure:
        denoiser.load(either, CPU, **given)
    assert "\n" not in str(failure.value)


@pytest.mark.parametrize("part", ["text_encoder", "vae", "unet"])
@pytest.mark.parametrize("how", ["plain", "fp16", "sharded", "fp16 sharded"])
def test_half_precision_and_sharded_weights_are_opened(written, part, how):
    expected = getattr(pipeline.open_parts(written, CPU), part)
    for file in (written / part).glob("*.safetensors"):
        file.unlink()
    saved = getattr(tiny_pipeline.parts(), part)
    given = {"variant": "fp16"} if "fp16" in how else {}
    given |= {"max_shard_size": "2KB"} if "sharded" in how else {}
    (saved.half() if "fp16" in how else saved).save_pretrained(written / part, **given)
    assert ("sharded" in how) == any("index" in file.name for file in (written / part).iterdir())
    found = getattr(pipeline.open_parts(written, CPU), part)
    assert found.dtype == torch.float32
    tolerance = 1e-3 if "fp16" in how else 0
    for name, value in expected.state_dict().items():
        torch.testing.assert_close(found.state_dict()[name], value, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("part", ["text_encoder", "vae", "unet"])
def test_weights_that_are_not_all_there_are_refused(written, part):
    from safetensors.torch import load_file, save_file

    [file] = (written / part).glob("*.safetensors")
    tensors = load_file(file)
    tensors.pop(sorted(tensors)[0])
    save_file(tensors, file, metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"got none that fit for .* 0 more") as failure:
        pipeline.open_part(written, part, CPU)
    assert "\n" not in str(failure.value)
