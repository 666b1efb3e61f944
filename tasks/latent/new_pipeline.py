"""Make a small text-to-image pipeline of Stable Diffusion's form, with random weights.

Only its autoencoder is trained.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from tasks.checks import check, check_counts
from tasks.settings import TaskSettings


@dataclass(frozen=True, kw_only=True)
class Settings(TaskSettings):
    """Sizes of the networks; the autoencoder is in the inputs."""

    revision = 1
    expected_seconds = 8.0
    expected_bytes = 4_000_000

    latent_size: int = 8
    """Side of the latents."""
    latent_channels: int = 4
    """Channels of a latent."""
    block_channels: tuple[int, ...] = (32, 64)
    """Channels of each level of the U-Net; each level halves the side."""
    attention_levels: tuple[int, ...] = (0,)
    """Levels with self- and cross-attention, 0 being the full side; the middle always has it."""
    layers_per_block: int = 1
    """Residual blocks of each level."""
    heads: int = 4
    """Heads of attention, in the U-Net and in the text encoder."""
    groups: int = 8
    """Groups of the group normalization."""
    text_width: int = 32
    """Width of the text encoder."""
    text_layers: int = 2
    """Layers of the text encoder."""
    max_length: int = 16
    """Tokens of a prompt, with start and end."""
    vocabulary: int = 400
    """Most tokens; they are learned from the dataset's captions."""
    prediction_type: str = "epsilon"
    """What the U-Net predicts: ``epsilon`` or ``v_prediction``."""
    seed: int = 0
    """Seeds the initial weights."""

    def __post_init__(self) -> None:
        counts = ("latent_size", "latent_channels", "layers_per_block", "heads", "groups")
        check_counts(self, *counts, "text_width", "text_layers", "max_length", "vocabulary")
        known = ("epsilon", "v_prediction")
        wanted = f"of {', '.join(known)}"
        check("a prediction_type", self.prediction_type, wanted, self.prediction_type in known)

    @property
    def label(self) -> str:
        """Readable part of the result's path, e.g. ``32x64-seed0``."""
        return f"{'x'.join(map(str, self.block_channels))}-seed{self.seed}"


def run(settings: Settings, *, dataset: Path, autoencoder: Path, out: Path) -> None:
    """Write the folder, as ``save_pretrained`` of diffusers' ``StableDiffusionPipeline`` does.

    The tokenizer is made of the captions of ``dataset``; ``autoencoder`` is the folder of
    ``train_autoencoder``.
    """
    import torch

    from models.latent import new, pipeline
    from models.randomness import torch_seeded

    captions = pq.read_table(dataset / "train.parquet", columns=["caption"])["caption"].to_pylist()
    tokenizer = new.make_tokenizer(
        captions, size=settings.vocabulary, max_length=settings.max_length
    )
    names = ["latent_size", "latent_channels", "block_channels", "attention_levels"]
    names += ["layers_per_block", "heads", "groups", "text_width"]
    shape: dict[str, Any] = {name: getattr(settings, name) for name in names}
    with torch_seeded(settings.seed, "new pipeline"):
        text_encoder = new.new_text_encoder(
            tokenizer,
            width=settings.text_width,
            layers=settings.text_layers,
            heads=settings.heads,
            inner_width=2 * settings.text_width,
        )
        unet = new.new_unet(**shape)
    parts = pipeline.Parts(
        tokenizer=tokenizer,
        text_encoder=text_encoder,
        vae=pipeline.open_part(autoencoder, "vae", torch.device("cpu")),
        unet=unet,
        scheduler=new.new_scheduler(prediction_type=settings.prediction_type),
    )
    pipeline.save(out, parts)
