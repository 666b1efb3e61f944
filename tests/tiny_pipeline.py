"""Stable-Diffusion-shaped folders with tiny random networks, made in a second."""

import json

import torch
from safetensors.torch import load_file, save_file

from models.latent import autoencoder, new, pipeline
from models.randomness import torch_seeded

DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
CAPTIONS = tuple(f"A photo of a {digit}" for digit in DIGITS)
"""Every word of these is a token."""
LENGTH = 16
"""Tokens of a prompt."""
OLDER = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


def parts(*, image_size=16, version=1, seed=0, latent_channels=4):
    """The parts of a pipeline of 16-pixel images, by default; v-prediction in version 2."""
    second = version == 2
    tokenizer = new.make_tokenizer(CAPTIONS, size=80, max_length=LENGTH)
    width = 16 if second else 8
    with torch_seeded(seed, "tiny pipeline"):
        found = pipeline.Parts(
            tokenizer=tokenizer,
            text_encoder=new.new_text_encoder(
                tokenizer, width=width, layers=2, heads=2, inner_width=2 * width
            ),
            vae=autoencoder.new_autoencoder(
                image_size=image_size,
                channels=3,
                block_channels=(4, 8),
                layers_per_block=1,
                latent_channels=latent_channels,
                groups=2,
            ),
            unet=new.new_unet(
                latent_size=image_size // 2,
                latent_channels=latent_channels,
                text_width=width,
                block_channels=(4, 8),
                attention_levels=(0,),
                layers_per_block=1,
                heads=2,
                groups=2,
                linear_projection=second,
            ),
            scheduler=new.new_scheduler(prediction_type="v_prediction" if second else "epsilon"),
        )
    for part in ("text_encoder", "vae", "unet"):
        getattr(found, part).eval()
    return found


def write(folder, **given):
    """Write such a pipeline, given as for ``parts``; returns the folder."""
    pipeline.save(folder, parts(**given))
    return folder


def change(file, **values):
    """Change entries of a JSON file; None deletes one."""
    changed = json.loads(file.read_text()) | values
    kept = {name: value for name, value in changed.items() if value is not None}
    file.write_text(json.dumps(kept))


def as_version_1_4(folder):
    """Change what was written into the layout of CompVis/stable-diffusion-v1-4; returns it.

    Its index names a feature extractor that transformers 5 has not, its safety checker has a
    folder, its tokenizer is in the files of transformers 4, its text encoder has the wrong id for
    the end, weights have older names, its scheduler names no prediction.
    """
    change(
        folder / "model_index.json",
        _diffusers_version="0.2.2",
        feature_extractor=["transformers", "CLIPFeatureExtractor"],
        safety_checker=["stable_diffusion", "StableDiffusionSafetyChecker"],
        scheduler=["diffusers", "PNDMScheduler"],
        requires_safety_checker=None,
        image_encoder=None,
    )
    (folder / "safety_checker").mkdir()
    (folder / "safety_checker" / "pytorch_model.bin").write_bytes(b"a pickle")
    (folder / "feature_extractor").mkdir()
    change(
        folder / "scheduler" / "scheduler_config.json",
        _class_name="PNDMScheduler",
        skip_prk_steps=True,
        prediction_type=None,
        timestep_spacing=None,
        rescale_betas_zero_snr=None,
    )
    (folder / "tokenizer" / "tokenizer.json").unlink()
    (folder / "tokenizer" / "tokenizer_config.json").write_text(
        json.dumps(
            {
                "add_prefix_space": False,
                "bos_token": {"__type": "AddedToken", "content": new.START, "normalized": True},
                "eos_token": {"__type": "AddedToken", "content": new.END, "normalized": True},
                "unk_token": {"__type": "AddedToken", "content": new.END, "normalized": True},
                "pad_token": new.END,
                "do_lower_case": True,
                "errors": "replace",
                "model_max_length": LENGTH,
                "tokenizer_class": "CLIPTokenizer",
            }
        )
    )
    rename(
        folder / "text_encoder" / "model.safetensors",
        lambda name: f"text_model.{name.removeprefix('text_model.')}",
        {"text_model.embeddings.position_ids": torch.arange(LENGTH)[None]},
    )
    rename(folder / "vae" / "diffusion_pytorch_model.safetensors", older_attention)
    change(folder / "text_encoder" / "config.json", bos_token_id=0, eos_token_id=2, pad_token_id=1)
    change(folder / "vae" / "config.json", scaling_factor=None)
    return folder


def rename(file, new_name, more=None):
    """Give the tensors of a file other names, and add some."""
    tensors = {new_name(name): tensor for name, tensor in load_file(file).items()}
    save_file(tensors | (more or {}), file, metadata={"format": "pt"})


def older_attention(name):
    """What diffusers called the attention of an autoencoder before version 0.12."""
    if ".attentions." in name:
        for now, before in OLDER.items():
            name = name.replace(f".{now}.", f".{before}.")
    return name
