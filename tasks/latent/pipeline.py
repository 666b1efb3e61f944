"""A Stable Diffusion pipeline from somebody's folder, or from the Hugging Face hub."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

from tasks.settings import TaskSettings
from tasks.steps.weights import is_hub_id

TEXTS: Final = (".json", ".txt")
SUFFIXES: Final = (*TEXTS, ".safetensors")
"""Of the files that are taken of a pipeline; nothing that could run code."""


@dataclass(frozen=True, kw_only=True)
class Settings(TaskSettings):
    """Which pipeline, and what its networks cost; use ``open``."""

    revision = 1

    source: str = field(metadata={"identity": False})
    """A folder, absolute, or ``owner/name`` of a repository on the hub."""
    version: str
    """Digest of a folder's files, or the hub's commit."""
    size: int = field(metadata={"identity": False})
    """Bytes of its files."""
    factor: int
    """Pixels a latent is wide."""
    latent_size: int
    """Side of the latents that the U-Net was made for."""
    latent_channels: int
    """Channels of a latent."""
    block_channels: tuple[int, ...]
    """Channels of each level of the U-Net."""
    attention_levels: tuple[int, ...]
    """Levels with self- and cross-attention."""
    layers_per_block: int
    """Residual blocks of each level."""
    text_width: int
    """Width of the text encoder."""
    max_length: int
    """Tokens of a prompt."""

    @classmethod
    def open(cls, source: str | Path) -> Self:
        """Look at a folder, or at a repository's settings; no weights are loaded.

        Raises ValueError for a folder or a repository that is no such pipeline, or cannot be
        reached.
        """
        from models.latent import folder as layout

        named = str(source)
        if is_hub_id(named):
            folder = Path(_on_hub(named, None, *TEXTS))
            version = folder.name  # the commit
            size = _size(folder) or _size_on_hub(named, version)
        else:
            folder = Path(named).expanduser().resolve()
            named = str(folder)
            version, size = _digest(folder), _size(folder)
        found = layout.check(folder, weights=not is_hub_id(named))
        unet = json.loads((folder / "unet" / "config.json").read_text())
        blocks = unet["down_block_types"]
        return cls(
            source=named,
            version=version,
            size=size,
            factor=found.factor,
            latent_size=found.latent_size,
            latent_channels=found.latent_channels,
            block_channels=tuple(unet["block_out_channels"]),
            attention_levels=tuple(at for at, name in enumerate(blocks) if "Attn" in name),
            layers_per_block=unet["layers_per_block"],
            text_width=found.text_width,
            max_length=found.max_length,
        )

    @property
    def folder(self) -> str:
        """A local folder, which other machines may not have; empty for the hub."""
        return "" if is_hub_id(self.source) else self.source

    @property
    def label(self) -> str:
        """Readable part of the result's path, e.g. ``stable-diffusion-v1-4``."""
        return Path(self.source).name

    @property
    def expected_seconds(self) -> float:
        """Rough time on one core."""
        return 4.0 + 1e-8 * self.size

    @property
    def expected_bytes(self) -> int:
        """Size on disk."""
        return self.size


def run(settings: Settings, *, out: Path) -> None:
    """Copy the pipeline, without a safety checker and without anything that could run code.

    Raises ValueError if it has changed since it was planned or is no pipeline, ConnectionError if
    the hub cannot be reached.
    """
    from models.latent import folder as layout

    if is_hub_id(settings.source):
        folder = Path(_on_hub(settings.source, settings.version, *SUFFIXES))
    elif _digest(folder := Path(settings.source)) != settings.version:
        raise ValueError(
            f"expected the pipeline as it was planned, but {settings.source!r} has changed since; "
            "run the same command again"
        )
    layout.check(folder)
    for file in _files(folder):
        place = out / file.relative_to(folder)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, place)


def _files(folder: Path) -> Iterator[Path]:
    """The files of a pipeline's parts, and its index, sorted."""
    from models.latent.folder import INDEX, PARTS

    if (index := folder / INDEX).is_file():
        yield index
    for part in sorted(PARTS):
        inside = (folder / part).iterdir() if (folder / part).is_dir() else iter(())
        yield from sorted(file for file in inside if file.suffix in SUFFIXES and file.is_file())


def _digest(folder: Path) -> str:
    """Of names and contents."""
    whole = hashlib.sha256()
    for file in _files(folder):
        with file.open("rb") as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        whole.update(f"{file.relative_to(folder)}\0{digest}\n".encode())
    return whole.hexdigest()[:16]


def _size(folder: Path) -> int:
    """Bytes of the files; 0 if the weights are not there."""
    files = list(_files(folder))
    whole = any(file.suffix == ".safetensors" for file in files)
    return sum(file.stat().st_size for file in files) if whole else 0


def _size_on_hub(source: str, version: str) -> int:
    """Bytes of the files of a repository."""
    found = _on_hub(source, version, *SUFFIXES, dry_run=True)
    return sum(file.file_size or 0 for file in found)


def _on_hub(source: str, revision: str | None, *suffixes: str, **how: Any) -> Any:
    """What ``snapshot_download`` returns for files of the parts; ``how`` are its own options.

    Raises ValueError for what is no repository, ConnectionError if it cannot be fetched.
    """
    from huggingface_hub import errors, snapshot_download

    from models.latent.folder import INDEX, PARTS

    wanted = [INDEX, *(f"{part}/*{suffix}" for part in PARTS for suffix in suffixes)]
    try:
        return snapshot_download(source, revision=revision, allow_patterns=wanted, **how)
    except (errors.RemoteEntryNotFoundError, errors.RepositoryNotFoundError) as error:
        raise ValueError(f"expected a repository on the hub, got {source!r}") from error
    except (OSError, errors.HfHubHTTPError) as error:
        raise ConnectionError(
            f"cannot fetch {source!r} from the hub, and it is not in its cache; give a folder, or "
            "try again"
        ) from error
