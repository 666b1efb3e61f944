"""A Stable Diffusion pipeline from somebody's folder or from the Hugging Face hub."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tasks.settings import TaskSettings


@dataclass(frozen=True, kw_only=True)
class Settings(TaskSettings):
    """Which pipeline; its sizes as its own settings say.  Use ``open``."""

    revision = 1
    expected_seconds = 30.0

    source: str = field(metadata={"identity": False})
    """A folder, absolute, or the id of a model on the hub."""
    version: str
    """Digest of a folder's files, or the hub's commit."""
    latent_size: int
    """Side of the latents."""
    latent_channels: int
    """Channels of a latent."""
    block_channels: tuple[int, ...]
    """Channels of each level of the U-Net."""
