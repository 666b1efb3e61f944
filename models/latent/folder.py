"""What a Stable-Diffusion-shaped folder holds, by its JSON and file names; nothing is loaded.

Such a folder is what diffusers' ``save_pretrained`` of a ``StableDiffusionPipeline`` of version 1
or 2 writes: ``model_index.json`` and a folder for each of PARTS.  A safety checker and a feature
extractor may lie there too; they are left alone.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

INDEX: Final = "model_index.json"
PARTS: Final = {
    "tokenizer": "CLIPTokenizer",
    "text_encoder": "CLIPTextModel",
    "vae": "AutoencoderKL",
    "unet": "UNet2DConditionModel",
    "scheduler": None,
}
"""The parts of a pipeline and their classes; several schedulers describe the same process."""
WEIGHTS: Final = {
    "text_encoder": "model",
    "vae": "diffusion_pytorch_model",
    "unet": "diffusion_pytorch_model",
}
"""What the files of the parts with weights are called, up to ``.safetensors``."""
PREDICTIONS: Final = ("epsilon", "v_prediction")
"""What a U-Net may predict: the noise, or v (Salimans and Ho 2022)."""
BETAS: Final = ("linear", "scaled_linear", "squaredcos_cap_v2")
"""Beta schedules that diffusers' ``DDPMScheduler`` knows."""
RAW: Final = "raw"
"""Where a trained folder has, beside the averaged weights, the last ones: ``raw/unet``, say."""

_CONVERT: Final = (
    "where the file can be trusted, save it anew with StableDiffusionPipeline."
    "{opened}.save_pretrained(NEW_FOLDER)"
)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """The sizes of a pipeline, as ``check`` found them."""

    factor: int
    """How many pixels a latent is wide: 2 ** (levels of the autoencoder - 1); 8 for SD."""
    latent_channels: int
    """4 for SD."""
    latent_size: int
    """Side of the latents that the U-Net was made for; 64 for SD at 512 pixels."""
    prediction_type: str
    """A name of PREDICTIONS."""
    max_length: int
    """Tokens of a prompt with its start and end; 77 for SD."""
    text_width: int
    """Width of the text encoder's hidden states; 768 for SD v1, 1024 for v2."""

    @property
    def image_size(self) -> int:
        """Side of the images that the U-Net was made for, in pixels."""
        return self.latent_size * self.factor


def is_pipeline(folder: Path) -> bool:
    """Whether the folder says that it is one; ``check`` looks at the rest."""
    return (folder / INDEX).is_file()


def check(folder: Path, *, weights: bool = True) -> Layout:
    """The pipeline's sizes; raises ValueError, in one line, for a folder that cannot be used.

    Without ``weights`` it is not looked for them.
    """
    _check_classes(folder)
    for part in WEIGHTS if weights else ():
        variant(folder / part, part)
    configs = {part: _read(folder / part / "config.json") for part in WEIGHTS}
    text, vae, unet = (configs[part] for part in WEIGHTS)
    max_length = _check_text(folder, text)
    _check_unet(folder, unet, text_width := text.get("hidden_size", 512))
    channels = vae.get("latent_channels", 4)
    for name in ("in_channels", "out_channels"):
        if (found := unet.get(name, 4)) != channels:
            raise ValueError(
                f"{folder}: expected a unet with {name} {channels}, as the vae has latent "
                f"channels, got {found}; take both from one pipeline for text to image"
            )
    size = unet.get("sample_size")
    if not isinstance(size, int):
        raise ValueError(
            f"{folder}/unet/config.json: expected a sample_size, the side of square latents, got "
            f"{size}; write it there"
        )
    return Layout(
        factor=2 ** (len(vae.get("block_out_channels", [64])) - 1),
        latent_channels=channels,
        latent_size=size,
        prediction_type=_check_scheduler(folder),
        max_length=max_length,
        text_width=text_width,
    )


def check_image_size(folder: Path, size: int) -> None:
    """Raise ValueError if the pipeline's autoencoder does not divide ``size``, in pixels."""
    factor = check(folder).factor
    if size < factor or size % factor:
        near = max(1, round(size / factor)) * factor
        raise ValueError(
            f"expected an image size that is a multiple of {factor}, as the vae of {folder} "
            f"divides it, got {size}; use {near}"
        )


def variant(folder: Path, part: str) -> str | None:
    """``fp16`` if a part, in this folder, has no other weights; raises ValueError without any."""
    stem = f"{WEIGHTS[part]}"
    for name, end in ((None, ""), ("fp16", ".fp16")):
        if (folder / f"{stem}{end}.safetensors").is_file():
            return name
        index = folder / f"{stem}.safetensors.index{end}.json"
        if index.is_file():
            shards = {*_read(index)["weight_map"].values()}
            if lost := sorted(shard for shard in shards if not (folder / shard).is_file()):
                raise ValueError(f"{index}: expected a file {lost[0]}, got none; copy it again")
            return name
    if pickled := _pickled(folder):
        how = _CONVERT.format(opened=f"from_pretrained({str(folder.parent)!r})")
        raise ValueError(
            f"{folder}: expected weights as {stem}.safetensors, got {pickled}, a pickle, which can "
            f"run any code; {how}"
        )
    raise ValueError(f"{folder}: expected weights, {stem}.safetensors, got none; copy it again")


def _check_classes(folder: Path) -> None:
    if not is_pipeline(folder):
        if folder.is_dir() and (pickled := _pickled(folder)):
            how = _CONVERT.format(opened=f"from_single_file({str(folder / pickled)!r})")
            raise ValueError(
                f"{folder}: expected a folder of safetensors with {INDEX}, got {pickled}, a "
                f"pickle, which can run any code; {how}"
            )
        what = "a folder without" if folder.is_dir() else "no folder, so no"
        raise ValueError(
            f"{folder}: expected the folder of a Stable Diffusion pipeline, got {what} {INDEX}; "
            "give one that save_pretrained of a StableDiffusionPipeline wrote"
        )
    index = _read(folder / INDEX)
    kind = index.get("_class_name")
    if "text_encoder_2" in index or "XL" in str(kind):
        raise ValueError(
            f"{folder}: expected a StableDiffusionPipeline, got {kind}, SDXL with two text "
            "encoders, which is not supported; give a Stable Diffusion of version 1 or 2"
        )
    if kind != "StableDiffusionPipeline":
        raise ValueError(
            f"{folder}: expected a StableDiffusionPipeline, got {kind}; give a Stable Diffusion "
            "of version 1 or 2"
        )
    for part, wanted in PARTS.items():
        found = (index.get(part) or [None, None])[1]
        if part == "tokenizer" and found == "CLIPTokenizerFast":  # its files are the same
            continue
        if found is None or wanted not in (None, found):
            raise ValueError(
                f"{folder}/{INDEX}: expected {part} of class {wanted or 'a scheduler'}, got "
                f"{found}; give a Stable Diffusion of version 1 or 2"
            )
        if not (folder / part).is_dir():
            raise ValueError(f"{folder}: expected a folder {part}, got none; copy it again")


def _check_text(folder: Path, text: dict[str, Any]) -> int:
    """The length of a prompt, which tokenizer and text encoder agree on.

    An ``eos_token_id`` of 2 in the text encoder's settings, whatever the tokenizer's is, is usual
    (also in v1-4) and changes only the pooled output, which Stable Diffusion does not use.
    """
    positions = text.get("max_position_embeddings", 77)
    length = _read(folder / "tokenizer" / "tokenizer_config.json").get("model_max_length")
    if length != positions:
        raise ValueError(
            f"{folder}: expected a tokenizer with model_max_length {positions}, as the text "
            f"encoder has positions, got {length}; write {positions} into "
            "tokenizer/tokenizer_config.json if the two belong together"
        )
    tokens, size = _tokens(folder / "tokenizer"), text.get("vocab_size", 49408)
    if tokens > size:
        raise ValueError(
            f"{folder}: expected a tokenizer of at most {size} tokens, as the text encoder embeds, "
            f"got {tokens}; take both from one pipeline"
        )
    return int(positions)


def _tokens(folder: Path) -> int:
    """How many tokens a tokenizer knows; raises ValueError for a folder that is none."""
    if (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file():
        return len(_read(folder / "vocab.json"))
    if (folder / "tokenizer.json").is_file():
        return len(_read(folder / "tokenizer.json")["model"]["vocab"])
    raise ValueError(
        f"{folder}: expected tokenizer.json, or vocab.json and merges.txt, got neither; "
        "copy it again"
    )


def _check_unet(folder: Path, unet: dict[str, Any], text_width: int) -> None:
    widths = unet.get("cross_attention_dim", 1280)
    if {*(widths if isinstance(widths, list) else [widths])} != {text_width}:
        raise ValueError(
            f"{folder}: expected a unet with cross_attention_dim {text_width}, as wide as the text "
            f"encoder, got {widths}; take both from one pipeline"
        )
    for name in ("class_embed_type", "num_class_embeds", "addition_embed_type", "encoder_hid_dim"):
        if (value := unet.get(name)) is not None:
            raise ValueError(
                f"{folder}: expected a unet that is told a text only, got {name} {value}; give a "
                "Stable Diffusion of version 1 or 2"
            )


def _check_scheduler(folder: Path) -> str:
    """What the U-Net predicts."""
    file = folder / "scheduler" / "scheduler_config.json"
    config = _read(file)
    prediction = config.get("prediction_type", "epsilon")
    if prediction not in PREDICTIONS:
        raise ValueError(
            f"{file}: expected a prediction_type of {', '.join(PREDICTIONS)}, got {prediction!r}"
        )
    betas = config.get("beta_schedule", "linear")
    if betas not in BETAS and config.get("trained_betas") is None:
        raise ValueError(f"{file}: expected a beta_schedule of {', '.join(BETAS)}, got {betas!r}")
    if config.get("rescale_betas_zero_snr"):
        raise ValueError(
            f"{file}: expected noise that leaves some signal at the last step, got "
            "rescale_betas_zero_snr; give a pipeline without it"
        )
    return str(prediction)


def _pickled(folder: Path) -> str | None:
    """The name of a file of pickled weights, if there is one."""
    found = (path.name for path in folder.iterdir() if path.suffix in (".bin", ".ckpt", ".pt"))
    return min(found, default=None)


def _read(file: Path) -> dict[str, Any]:
    """A JSON object; raises ValueError if the file is missing or none."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError(f"{file}: expected a file, got none; copy the folder again") from None
    except ValueError as error:
        raise ValueError(f"{file}: expected JSON, got {error}; copy the folder again") from None
    if not isinstance(found, dict):
        raise ValueError(f"{file}: expected a JSON object, got {type(found).__name__}")
    return found
