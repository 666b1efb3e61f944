"""The parts of a Stable Diffusion pipeline: opened one by one from safetensors, and saved.

No pipeline class of diffusers is used for opening, no safety checker and no feature extractor:
version 1-4 names one that transformers 5 no longer has, and a checked image is a black one.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import diffusers
import torch
import transformers
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from models.latent import folder as layout

WEIGHTS: Final = ("averaged", "raw")
"""Which weights of a folder that was trained here: their moving average, or the last ones."""

_PROCESS: Final = (
    "num_train_timesteps",
    "beta_start",
    "beta_end",
    "beta_schedule",
    "trained_betas",
    "prediction_type",
    "steps_offset",
    "set_alpha_to_one",
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Parts:
    """A whole pipeline; its networks in float32."""

    tokenizer: CLIPTokenizer
    text_encoder: CLIPTextModel
    vae: AutoencoderKL
    unet: UNet2DConditionModel
    scheduler: Any
    """Diffusers' scheduler that the folder names; see ``noising_process``."""


def open_parts(folder: Path, device: torch.device, *, weights: str = "averaged") -> Parts:
    """Open a pipeline in evaluation mode; raises ValueError as ``folder.check`` and ``open_part``.

    ``weights`` is a name of WEIGHTS: ``raw`` takes each part that ``raw/`` has from there.
    """
    layout.check(folder)
    opened = {part: open_part(folder, part, device, weights=weights) for part in layout.PARTS}
    return Parts(**opened)


def open_part(folder: Path, part: str, device: torch.device, *, weights: str = "averaged") -> Any:
    """One of ``folder.PARTS``; raises ValueError for weights that are not all there."""
    place = _place(folder, part, weights)
    with _silent():
        if part == "tokenizer":
            return CLIPTokenizer.from_pretrained(place)
        if part == "scheduler":
            return _open_scheduler(place)
        return _open_network(place, part).to(device).eval()


def _open_network(place: Path, part: str) -> Any:
    kind = {"text_encoder": CLIPTextModel, "vae": AutoencoderKL, "unet": UNet2DConditionModel}[part]
    network, said = kind.from_pretrained(
        place,
        variant=layout.variant(place, part),
        use_safetensors=True,
        dtype=torch.float32,
        output_loading_info=True,
    )
    wrong = [*said["missing_keys"], *said["mismatched_keys"]]
    if wrong:
        raise ValueError(
            f"{place}: expected weights for all of {kind.__name__}, got none that fit for "
            f"{wrong[0]} and {len(wrong) - 1} more; copy the folder again"
        )
    return network


def _place(folder: Path, part: str, weights: str) -> Path:
    """Where a part's files are."""
    if weights not in WEIGHTS:
        raise ValueError(f"expected weights of {', '.join(WEIGHTS)}, got {weights!r}")
    if weights == "raw":
        if not (folder / layout.RAW / "unet").is_dir():
            raise ValueError(
                f"{folder}: expected raw weights in {layout.RAW}/unet, got none; use averaged, or "
                "a model that fine_tune wrote"
            )
        if (folder / layout.RAW / part).is_dir():
            return folder / layout.RAW / part
    return folder / part


def _open_scheduler(place: Path) -> Any:
    name = json.loads((place / "scheduler_config.json").read_text()).get("_class_name", "")
    kind = getattr(diffusers, name, None) if name.endswith("Scheduler") else None
    if kind is None:
        raise ValueError(f"{place}: expected a scheduler of diffusers, got {name!r}")
    return kind.from_pretrained(place)


def noising_process(scheduler: Any, **changes: Any) -> DDPMScheduler:
    """How a pipeline's latents are noised, whichever scheduler it is to be sampled with.

    Of the scheduler's settings it has the betas, the prediction type, ``steps_offset`` and
    ``set_alpha_to_one``, which the samplers read; nothing is clipped, as latents are not pixels.
    """
    own = {name: scheduler.config[name] for name in _PROCESS if name in scheduler.config}
    return DDPMScheduler.from_config({**own, "clip_sample": False, **changes})


def save(folder: Path, parts: Parts, *, raw: Mapping[str, Any] | None = None) -> None:
    """Write a folder that ``open_parts`` and diffusers' ``StableDiffusionPipeline`` open.

    ``raw`` are networks with their last weights by the name of their part, for ``raw/``.
    """
    with _silent():
        for part in layout.PARTS:
            getattr(parts, part).save_pretrained(folder / part)
        for part, network in (raw or {}).items():
            network.save_pretrained(folder / layout.RAW / part)
    # For readers with transformers 4.
    parts.tokenizer.backend_tokenizer.model.save(str(folder / "tokenizer"))
    nothing = [None, None]
    index = {
        "_class_name": "StableDiffusionPipeline",
        "_diffusers_version": diffusers.__version__,
        "feature_extractor": nothing,
        "image_encoder": nothing,
        "requires_safety_checker": False,
        "safety_checker": nothing,
        "scheduler": ["diffusers", type(parts.scheduler).__name__],
        "text_encoder": ["transformers", "CLIPTextModel"],
        "tokenizer": ["transformers", "CLIPTokenizer"],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    (folder / layout.INDEX).write_text(json.dumps(index, indent=2) + "\n", encoding="utf-8")


def token_ids(tokenizer: CLIPTokenizer, texts: list[str]) -> Tensor:
    """Texts as tokens, int64, (N, L): start, words, end, and padding; a long one is cut."""
    length = tokenizer.model_max_length
    given = {"padding": "max_length", "max_length": length, "truncation": True}
    ids: Tensor = tokenizer(texts, return_tensors="pt", **given).input_ids
    return ids


def hidden_states(text_encoder: CLIPTextModel, ids: Tensor) -> Tensor:
    """What the U-Net is told: the last layer, normalized, of all positions; float32, (N, L, D).

    Padding is attended to, as Stable Diffusion does.  Given tokens, int64, (N, L).
    """
    found: Tensor = text_encoder(ids).last_hidden_state
    return found.float()


@contextmanager
def _silent() -> Iterator[None]:
    """No bars and warnings of the libraries inside; what they warn of is raised."""
    logs = [library.utils.logging for library in (diffusers, transformers)]
    before = [(log, log.get_verbosity(), log.is_progress_bar_enabled()) for log in logs]
    for log in logs:
        log.set_verbosity_error()
        log.disable_progress_bar()
    try:
        yield
    finally:
        for log, verbosity, bars in before:
            log.set_verbosity(verbosity)
            if bars:
                log.enable_progress_bar()
