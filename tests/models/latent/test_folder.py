import shutil
import subprocess
import sys

import pytest

from models.latent.folder import check, check_image_size
from tests import tiny_pipeline
from tests.tiny_pipeline import as_version_1_4, change


def config(part):
    return f"{part}/{'scheduler_config' if part == 'scheduler' else 'config'}.json"


def changed(file, **values):
    return lambda folder: change(folder / file, **values)


def pickled(part, name):
    def make(folder):
        for file in (folder / part).glob("*.safetensors"):
            file.unlink()
        (folder / part / name).write_bytes(b"a pickle")

    return make


def single_file(folder):
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / "sd-v1-4.ckpt").write_bytes(b"a pickle")


def without(name):
    def make(folder):
        place = folder / name
        shutil.rmtree(place) if place.is_dir() else place.unlink()

    return make


def lost_shard(folder):
    (folder / "vae" / "diffusion_pytorch_model.safetensors").unlink()
    (folder / "vae" / "diffusion_pytorch_model.safetensors.index.json").write_text(
        '{"weight_map": {"a": "diffusion_pytorch_model-00001-of-00002.safetensors"}}'
    )


BAD = {
    "no folder": (shutil.rmtree, "got no folder, so no model_index.json"),
    "no pipeline": (without("model_index.json"), "got a folder without model_index.json"),
    "no JSON": (lambda folder: (folder / "model_index.json").write_text("{"), "expected JSON, got"),
    "a single file": (
        single_file,
        r"got sd-v1-4.ckpt, a pickle.*from_single_file.*save_pretrained",
    ),
    "a pickled U-Net": (
        pickled("unet", "diffusion_pytorch_model.bin"),
        r"expected weights as diffusion_pytorch_model.safetensors, got diffusion_pytorch_model.bin"
        r".*from_pretrained.*save_pretrained",
    ),
    "a pickled text encoder": (
        pickled("text_encoder", "pytorch_model.bin"),
        r"expected weights as model.safetensors, got pytorch_model.bin",
    ),
    "no weights": (
        without("vae/diffusion_pytorch_model.safetensors"),
        "expected weights, diffusion_pytorch_model.safetensors, got none",
    ),
    "a lost shard": (lost_shard, "expected a file diffusion_pytorch_model-00001-of-00002"),
    "a lost part": (without("vae"), "expected a folder vae, got none"),
    "a lost configuration": (without(config("unet")), "config.json: expected a file, got none"),
    "SDXL": (
        changed(
            "model_index.json",
            _class_name="StableDiffusionXLPipeline",
            text_encoder_2=["transformers", "CLIPTextModelWithProjection"],
        ),
        "got StableDiffusionXLPipeline, SDXL with two text encoders",
    ),
    "another pipeline": (
        changed("model_index.json", _class_name="StableDiffusionInpaintPipeline"),
        "expected a StableDiffusionPipeline, got StableDiffusionInpaintPipeline",
    ),
    "another text encoder": (
        changed("model_index.json", text_encoder=["transformers", "T5EncoderModel"]),
        "expected text_encoder of class CLIPTextModel, got T5EncoderModel",
    ),
    "a longer tokenizer": (
        changed("tokenizer/tokenizer_config.json", model_max_length=77),
        "expected a tokenizer with model_max_length 16.* got 77",
    ),
    "an endless tokenizer": (
        changed("tokenizer/tokenizer_config.json", model_max_length=None),
        "expected a tokenizer with model_max_length 16.* got None",
    ),
    "a tokenizer of more tokens": (
        changed(config("text_encoder"), vocab_size=20),
        "expected a tokenizer of at most 20 tokens.*, got ",
    ),
    "another width": (
        changed(config("unet"), cross_attention_dim=32),
        "expected a unet with cross_attention_dim 8.*, got 32",
    ),
    "other latents": (
        changed(config("unet"), in_channels=9),
        "expected a unet with in_channels 4.*, got 9",
    ),
    "classes": (
        changed(config("unet"), num_class_embeds=10),
        "told a text only, got num_class_embeds 10",
    ),
    "an unknown prediction": (
        changed(config("scheduler"), prediction_type="sample"),
        "expected a prediction_type of epsilon, v_prediction, got 'sample'",
    ),
    "unknown betas": (
        changed(config("scheduler"), beta_schedule="sigmoid"),
        "expected a beta_schedule of .*, got 'sigmoid'",
    ),
    "no signal at the end": (
        changed(config("scheduler"), rescale_betas_zero_snr=True),
        "got rescale_betas_zero_snr",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_used_is_refused_in_one_line(written, name):
    make, message = BAD[name]
    make(written)
    with pytest.raises(ValueError, match=message) as failure:
        check(written)
    assert "\n" not in str(failure.value)
    assert str(written) in str(failure.value)


@pytest.mark.parametrize("version", [1, 2])
def test_sizes_are_read(tmp_path, version):
    found = check(tiny_pipeline.write(tmp_path, version=version))
    assert (found.factor, found.latent_channels, found.latent_size) == (2, 4, 8)
    assert (found.image_size, found.max_length) == (16, 16)
    assert found.prediction_type == ("v_prediction" if version == 2 else "epsilon")
    assert found.text_width == 8 * version


def test_a_folder_of_the_layout_of_version_1_4_is_accepted(written):
    """With a feature extractor that there is no more, and 2 for the end in the text encoder."""
    before = check(written)
    assert check(as_version_1_4(written)) == before


@pytest.mark.parametrize("size", [1, 15, 0])
def test_a_size_that_the_autoencoder_does_not_divide_is_refused(written, size):
    check_image_size(written, 16)
    check_image_size(written, 34)
    with pytest.raises(ValueError, match=f"that is a multiple of 2.*, got {size}; use"):
        check_image_size(written, size)


def test_checking_loads_no_torch(written):
    code = (
        "import sys; from pathlib import Path; from models.latent.folder import check; "
        f"check(Path({str(written)!r})); "
        "print({'torch', 'diffusers', 'transformers', 'numpy'} & {*sys.modules})"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout == "set()\n"
