"""Take in ImageNet weights of one of torchvision's networks, for classifiers to start from.

Anybody may have made the file, so it is not trusted: it is a regular file of bounded size, nothing
in it is executed, and every tensor is compared with what torchvision's network has.  What it *is*
is its content; where it lay is no part of the result.
"""

import hashlib
import json
import os
import re
import stat
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final, Self

from tasks.steps.train_diffusion import check_name

if TYPE_CHECKING:
    import torch

NETWORKS: Final = ("resnet18", "resnet50", "vgg16", "densenet121")
"""Networks of ``models.networks`` that are torchvision's."""
PICKLED: Final = (".pth", ".pt")
"""Suffixes of files that torch reads, of which nothing but tensors is taken."""
SUFFIXES: Final = (".safetensors", *PICKLED)
HUB_FILE: Final = "model.safetensors"
"""The file that is taken of a repository on the Hugging Face hub."""
MOST_BYTES: Final = 2**30
"""Of a file; VGG-16, the largest of the networks, has half of it."""
_CHUNK: Final = 2**20
_HUB_ID: Final = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
_OF_OLD: Final = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12])\.")
"""Names in torchvision's file of DenseNet-121, which is older than its network."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Which file, of which network; ``open`` makes them."""

    revision: ClassVar[int] = 1
    """Add one when the same settings would now give other bytes."""

    network: str
    """A name of NETWORKS."""
    sha256: str
    """Of the file's content, 64 hex digits."""
    source: str = field(metadata={"identity": False})
    """The file, or ``owner/name`` of a repository on the hub."""

    def __post_init__(self) -> None:
        """Refuse a network that there are no such weights of, and what is no sha256."""
        check_name("a network that torchvision has weights of,", self.network, NETWORKS)
        if not re.fullmatch("[0-9a-f]{64}", self.sha256):
            raise ValueError(f"expected a sha256 of 64 hex digits, got {self.sha256!r}")

    @classmethod
    def open(cls, source: str | Path, network: str) -> Self:
        """Settings of a file as it is now, or of a repository, downloaded to the hub's cache.

        Args:
            source: A .safetensors, .pth or .pt file, or ``owner/name`` on the hub, of which
                ``model.safetensors`` is taken; ``HF_HUB_OFFLINE=1`` looks into the cache only.
            network: Whose weights they are, a name of NETWORKS.

        Raises:
            ValueError: In one line: there is no such file or repository, it cannot be reached, or
                it is none that could hold weights.
        """
        named = str(source)
        if not is_hub_id(named):
            named = os.path.abspath(Path(named).expanduser())  # noqa: PTH100 - keeps links
        try:
            found = located(named)
        except ConnectionError as error:
            raise ValueError(str(error)) from error
        with _opened(found) as opened:
            digest = hashlib.file_digest(opened, "sha256").hexdigest()
        if found.suffix == ".safetensors":
            _header(found)
        return cls(network=network, sha256=digest, source=named)

    @property
    def folder(self) -> str:
        """Where a file of the user's own lies, which other machines may not have; else empty."""
        return "" if is_hub_id(self.source) else str(Path(self.source).parent)

    @property
    def label(self) -> str:
        """Readable part of the artifact's path, e.g. ``resnet50-imagenet``."""
        return f"{self.network}-imagenet"

    @property
    def expected_seconds(self) -> float:
        """Rough cost on one core."""
        return 4.0 + 6e-9 * self.expected_bytes

    @property
    def expected_bytes(self) -> int:
        """Size on disk."""
        sizes = (46_800_000, 102_500_000, 553_400_000, 32_300_000)
        return dict(zip(NETWORKS, sizes, strict=True))[self.network]


def run(settings: Settings, *, out: Path) -> None:
    """Write ``model.safetensors``, float32, in torchvision's names, and ``weights.json``.

    Without the counts ``num_batches_tracked``, which some files have and nothing needs.
    ``weights.json`` has ``network``, ``sha256`` of the file that was given, and ``parameters``, how
    many numbers there are.

    Raises:
        ValueError: In one line: the file has changed, is broken or too large, or its tensors are
            not those of torchvision's network with 1000 classes.
        ConnectionError: The hub cannot be reached.
    """
    from safetensors.torch import save_file

    found = located(settings.source)
    kept = out / f"source{found.suffix}"
    try:
        digest = _copied(found, kept)
        if digest != settings.sha256:
            raise ValueError(
                f"expected a file of sha256 {settings.sha256[:12]}..., as it was when this was "
                f"planned, got {digest[:12]}...: {settings.source!r} has changed since; run the "
                "same command again"
            )
        tensors = checked(_tensors(kept, settings.source), settings.network, settings.source)
        save_file(tensors, out / "model.safetensors")
    finally:
        kept.unlink(missing_ok=True)
    record = {
        "network": settings.network,
        "sha256": settings.sha256,
        "parameters": sum(tensor.numel() for tensor in tensors.values()),
    }
    (out / "weights.json").write_text(json.dumps(record, indent=1) + "\n")


def read(folder: Path, network: str) -> str:
    """The name by which a network keeps what it started from: 12 digits of the file's sha256.

    Raises:
        ValueError: They are weights of another network.
    """
    record = json.loads((folder / "weights.json").read_text())
    if record["network"] != network:
        raise ValueError(f"expected weights of {network}, got those of {record['network']}")
    return str(record["sha256"])[:12]


def is_hub_id(source: str) -> bool:
    """Whether it names a repository, ``owner/name``, and no file that is there or should be."""
    named = Path(source)
    return bool(_HUB_ID.fullmatch(source)) and not (
        named.suffix in SUFFIXES or os.path.lexists(named)
    )


def located(source: str) -> Path:
    """The file, which is downloaded if it is of a repository and not in the hub's cache.

    Raises:
        ValueError: It has none of SUFFIXES, or there is no such repository, or none of its files is
            ``model.safetensors``, or that is larger than MOST_BYTES.
        ConnectionError: The hub cannot be reached.
    """
    if is_hub_id(source):
        return _downloaded(source)
    if Path(source).suffix not in SUFFIXES:
        raise ValueError(
            f"expected weights as a {', '.join(SUFFIXES)} file or owner/name on the Hugging Face "
            f"hub, got {source!r}"
        )
    return Path(source)


def _downloaded(name: str) -> Path:
    """The file in the hub's cache; its size is asked for first."""
    from huggingface_hub import errors, hf_hub_download

    try:
        found = hf_hub_download(name, HUB_FILE, dry_run=True)
        _check_size(found.file_size or 0, name)
        return Path(hf_hub_download(name, HUB_FILE))
    except (errors.RemoteEntryNotFoundError, errors.RepositoryNotFoundError) as error:
        raise ValueError(
            f"expected a repository on the hub with a {HUB_FILE}, got {name!r}: {_line(error)}"
        ) from error
    except (OSError, errors.HfHubHTTPError) as error:
        raise ConnectionError(
            f"cannot download {HUB_FILE} of {name!r}, and it is not in the hub's cache; give a "
            f"file, or try again: {_line(error)}"
        ) from error


@contextmanager
def _opened(path: Path) -> Iterator[BufferedReader]:
    """Open a regular file of bounded size; a link is followed, as the hub's cache has them."""
    try:
        # Without O_NONBLOCK a pipe would wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        raise ValueError(f"expected weights, got {str(path)!r}: {error.strerror}") from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise ValueError(f"expected a file of weights, got {str(path)!r}, no regular file")
    with os.fdopen(descriptor, "rb") as opened:
        _check_size(status.st_size, str(path))
        yield opened


def _check_size(size: int, name: str) -> None:
    if size > MOST_BYTES:
        raise ValueError(
            f"expected weights of at most {MOST_BYTES:,} bytes, got {size:,} in {name!r}"
        )


def _copied(path: Path, to: Path) -> str:
    """Copy a file, so that nobody changes it between two looks, and return its sha256."""
    digest, seen = hashlib.sha256(), 0
    with _opened(path) as opened, to.open("wb") as copy:
        while chunk := opened.read(_CHUNK):
            seen += len(chunk)
            _check_size(seen, str(path))
            digest.update(chunk)
            copy.write(chunk)
    return digest.hexdigest()


def _header(path: Path) -> None:
    """Refuse a .safetensors file whose header is broken; reads no more of it."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy"):
            pass
    except (OSError, SafetensorError) as error:
        raise _broken(str(path), error) from error


def _tensors(path: Path, source: str) -> Mapping[str, object]:
    """What a file holds by name; nothing in it is executed."""
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except (OSError, SafetensorError) as error:
            raise _broken(source, error) from error
    try:
        archive = zipfile.is_zipfile(path)
        if archive:  # the files of one may be larger than it
            with zipfile.ZipFile(path) as parts:
                _check_size(sum(part.file_size for part in parts.infolist()), source)
        held = torch.load(path, map_location="cpu", weights_only=True, mmap=archive)
    except Exception as error:  # whatever a broken pickle makes a reader stumble over
        raise _broken(source, error) from error
    if not isinstance(held, Mapping) or not all(isinstance(name, str) for name in held):
        raise ValueError(
            f"expected names and tensors in {source!r}, as state_dict() gives them, got a "
            f"{type(held).__name__}"
        )
    return held


def checked(held: Mapping[str, object], network: str, source: str) -> "dict[str, torch.Tensor]":
    """The tensors of torchvision's network with 1000 classes, float32, in its names and order.

    Raises:
        ValueError: In one line: names are missing, foreign, or of another shape, or numbers are no
            numbers.
    """
    from models.networks import imagenet_tensors

    wanted = imagenet_tensors(network)
    given = {_OF_OLD.sub(r"\1\2.", name): tensor for name, tensor in held.items()}
    given = {
        name: tensor
        for name, tensor in given.items()
        if name in wanted or not name.endswith(".num_batches_tracked")
    }
    tensors = {name: given[name] for name in wanted if name in given}
    missing = [name for name in wanted if name not in given]
    foreign = [name for name in given if name not in wanted]
    other = [name for name in tensors if not _fits(tensors[name], wanted[name])]
    if missing or foreign or other:
        raise ValueError(
            f"expected the {len(wanted)} tensors of torchvision's {network} with 1000 classes in "
            f"{source!r}, got {_of('missing', missing)}, {_of('foreign', foreign)} and "
            f"{_of('of another shape or type', other)}"
        )
    return _numbers(tensors, source)


def _of(what: str, names: list[str]) -> str:
    """How many names, and one of them, shortened since the file may have made it up."""
    return f"{len(names)} {what}" + (f" (as {names[0][:60]!r})" if names else "")


def _fits(tensor: object, shape: tuple[int, ...]) -> bool:
    """Whether it is a plain tensor of real numbers and of that shape."""
    import torch

    return (
        isinstance(tensor, torch.Tensor)
        and tensor.layout == torch.strided
        and tensor.device.type == "cpu"
        and tensor.is_floating_point()
        and tuple(tensor.shape) == shape
    )


def _numbers(tensors: Mapping[str, object], source: str) -> "dict[str, torch.Tensor]":
    """The same, float32 and contiguous.

    Raises:
        ValueError: A number is NaN or infinite.
    """
    import torch

    plain = {}
    for name, tensor in tensors.items():
        assert isinstance(tensor, torch.Tensor)
        plain[name] = tensor.detach().to(torch.float32).contiguous()
        if not bool(torch.isfinite(plain[name]).all()):
            raise ValueError(f"expected finite weights in {source!r}, got NaN or more in {name!r}")
    return plain


def _broken(source: str, error: Exception) -> ValueError:
    return ValueError(
        f"expected a file of tensors, got {source!r}, which cannot be read as one: {_line(error)}"
    )


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
