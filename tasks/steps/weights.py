"""Read ImageNet weights of one of torchvision's networks, for classifiers to start from.

The file is not trusted: nothing in it is executed, and every tensor is compared with those of
torchvision's network.  Its content identifies it, not its place.
"""

import hashlib
import io
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
from typing import TYPE_CHECKING, Final, Self

from tasks.checks import check_name
from tasks.settings import TaskSettings

if TYPE_CHECKING:
    import torch

SIZES: Final = {
    "resnet18": 46_800_000,
    "resnet50": 102_500_000,
    "vgg16": 553_400_000,
    "densenet121": 32_300_000,
}
"""Bytes of the weights of each network of ``models.networks`` that is torchvision's."""
NETWORKS: Final = tuple(SIZES)
SUFFIXES: Final = (".safetensors", ".pth", ".pt")
"""Suffixes of weight files; of the last two, which are pickled, only tensors are read."""
HUB_FILE: Final = "model.safetensors"
"""The file to take from a repository on the Hugging Face hub."""
MOST_BYTES: Final = 2**30
"""Largest file."""
_HUB_ID: Final = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")
_OLD_NAME: Final = re.compile(r"(denselayer\d+\.(?:norm|conv))\.([12])\.")
"""Names in torchvision's file of DenseNet-121, which is older than its network."""


@dataclass(frozen=True, kw_only=True)
class Settings(TaskSettings):
    """Which file, for which network; use ``open``."""

    revision = 1

    network: str
    """A name of NETWORKS."""
    sha256: str
    """Digest of the file's content, 64 hex digits."""
    source: str = field(metadata={"identity": False})
    """The file, or ``owner/name`` of a repository on the hub."""

    def __post_init__(self) -> None:
        check_name("a network that torchvision has weights of,", self.network, NETWORKS)
        if not re.fullmatch("[0-9a-f]{64}", self.sha256):
            raise ValueError(f"expected a sha256 of 64 hex digits, got {self.sha256!r}")

    @classmethod
    def open(cls, source: str | Path, network: str) -> Self:
        """Look at a .safetensors, .pth or .pt file, or at ``model.safetensors`` of ``owner/name``.

        Raises ValueError if there is no such file or repository, it cannot be reached, or it cannot
        hold weights of ``network``, a name of NETWORKS.
        """
        from safetensors import SafetensorError, safe_open

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
            try:
                with safe_open(found, framework="numpy"):
                    pass  # its header is checked, no tensor is read
            except (OSError, SafetensorError) as error:
                raise _broken(str(found), error) from error
        return cls(network=network, sha256=digest, source=named)

    @property
    def folder(self) -> str:
        """The folder of a local file, which other machines may not have; empty for the hub."""
        return "" if is_hub_id(self.source) else str(Path(self.source).parent)

    @property
    def label(self) -> str:
        """Readable part of the result's path, e.g. ``resnet50-imagenet``."""
        return f"{self.network}-imagenet"

    @property
    def expected_seconds(self) -> float:
        """Rough time on one core."""
        return 4.0 + 6e-9 * self.expected_bytes

    @property
    def expected_bytes(self) -> int:
        """Size on disk."""
        return SIZES[self.network]


def run(settings: Settings, *, out: Path) -> None:
    """Write ``model.safetensors``, float32, in torchvision's names, and ``weights.json``.

    ``weights.json`` has ``network``, ``sha256`` of the given file, and ``parameters``, how many
    weights there are.  Raises as ``located`` and ``checked``, and ValueError for a changed file.
    """
    from safetensors.torch import save_file

    found = located(settings.source)
    with _opened(found) as opened:
        content = opened.read(MOST_BYTES)  # once, so that nobody changes it between two looks
    digest = hashlib.sha256(content).hexdigest()
    if digest != settings.sha256:
        raise ValueError(
            f"expected a file of sha256 {settings.sha256[:12]}..., as it was planned with, got "
            f"{digest[:12]}...: {settings.source!r} has changed since; run the same command again"
        )
    tensors = checked(_tensors(content, found, settings.source), settings.network, settings.source)
    del content
    save_file(tensors, out / "model.safetensors")
    record = {
        "network": settings.network,
        "sha256": settings.sha256,
        "parameters": sum(tensor.numel() for tensor in tensors.values()),
    }
    (out / "weights.json").write_text(json.dumps(record, indent=1) + "\n")


def read(folder: Path, network: str) -> str:
    """12 digits of the sha256 of a network's first weights; raises ValueError for another's."""
    record = json.loads((folder / "weights.json").read_text())
    if record["network"] != network:
        raise ValueError(f"expected weights of {network}, got those of {record['network']}")
    return str(record["sha256"])[:12]


def is_hub_id(source: str) -> bool:
    """Whether it names a repository, ``owner/name``, and not a file."""
    named = Path(source)
    return bool(_HUB_ID.fullmatch(source)) and not (
        named.suffix in SUFFIXES or os.path.lexists(named)
    )


def located(source: str) -> Path:
    """The file; one of a repository is downloaded if it is not in the hub's cache.

    Raises ValueError for another suffix than SUFFIXES, an unknown repository, or one with no or too
    large a ``model.safetensors``; ConnectionError if the hub cannot be reached.
    """
    if not is_hub_id(source):
        if Path(source).suffix in SUFFIXES:
            return Path(source)
        raise ValueError(
            f"expected weights as a {', '.join(SUFFIXES)} file or owner/name on the Hugging Face "
            f"hub, got {source!r}"
        )
    from huggingface_hub import errors, hf_hub_download

    try:  # the size is checked before it is downloaded
        found = hf_hub_download(source, HUB_FILE, dry_run=True)
        _check_size(found.file_size or 0, source)
        return Path(hf_hub_download(source, HUB_FILE))
    except (errors.RemoteEntryNotFoundError, errors.RepositoryNotFoundError) as error:
        raise ValueError(
            f"expected a repository on the hub with a {HUB_FILE}, got {source!r}: {_line(error)}"
        ) from error
    except (OSError, errors.HfHubHTTPError) as error:
        raise ConnectionError(
            f"cannot download {HUB_FILE} of {source!r}, and it is not in the hub's cache; give a "
            f"file, or try again: {_line(error)}"
        ) from error


@contextmanager
def _opened(path: Path) -> Iterator[BufferedReader]:
    """Open a regular file of bounded size; links are followed, as in the hub's cache."""
    try:
        # Without O_NONBLOCK a pipe would wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        raise ValueError(f"expected weights, got {str(path)!r}: {error.strerror}") from error
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise ValueError(f"expected a file of weights, got {str(path)!r}, not a regular file")
    with os.fdopen(descriptor, "rb") as opened:
        _check_size(status.st_size, str(path))
        yield opened


def _check_size(size: int, name: str) -> None:
    if size > MOST_BYTES:
        raise ValueError(
            f"expected weights of at most {MOST_BYTES:,} bytes, got {size:,} in {name!r}"
        )


def _tensors(content: bytes, path: Path, source: str) -> Mapping[str, object]:
    """What a file holds by name; nothing in it is executed."""
    import torch
    from safetensors.torch import load

    try:
        if path.suffix == ".safetensors":
            return load(content)
        file = io.BytesIO(content)
        if zipfile.is_zipfile(file):  # its parts may be larger than the archive
            with zipfile.ZipFile(file) as parts:
                unpacked = sum(part.file_size for part in parts.infolist())
            _check_size(unpacked, source)
        file.seek(0)
        held = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # a broken pickle makes its reader raise nearly anything
        raise _broken(source, error) from error
    if not isinstance(held, Mapping) or not all(isinstance(name, str) for name in held):
        raise ValueError(
            f"expected names and tensors in {source!r}, as state_dict() gives them, got a "
            f"{type(held).__name__}"
        )
    return held


def checked(held: Mapping[str, object], network: str, source: str) -> "dict[str, torch.Tensor]":
    """The tensors of torchvision's network with 1000 classes, float32, in its names and order.

    Raises ValueError if tensors are missing, unknown or of another shape, or hold NaN or infinity.
    """
    import torch

    from models.networks import imagenet_tensors

    wanted = imagenet_tensors(network)
    given = {_OLD_NAME.sub(r"\1\2.", name): tensor for name, tensor in held.items()}
    others = [name for name in given if not name.endswith(".num_batches_tracked")]
    both = [name for name in wanted if name in given]
    wrong = {
        "missing": [name for name in wanted if name not in given],
        "unknown": [name for name in others if name not in wanted],
        "of another shape or type": [n for n in both if not _fits(given[n], wanted[n])],
    }
    if any(wrong.values()):
        # Names are cut, since the file may hold any.
        shown = ", ".join(
            f"{len(names)} {what}" + (f" (as {names[0][:60]!r})" if names else "")
            for what, names in wrong.items()
        )
        raise ValueError(
            f"expected the {len(wanted)} tensors of torchvision's {network} with 1000 classes in "
            f"{source!r}, got {shown}"
        )
    plain = {}
    for name in wanted:
        tensor = given[name]
        assert isinstance(tensor, torch.Tensor)
        plain[name] = tensor.detach().to(torch.float32).contiguous()
        if not bool(torch.isfinite(plain[name]).all()):
            raise ValueError(f"expected finite weights in {source!r}, got NaN or more in {name!r}")
    return plain


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


def _broken(source: str, error: Exception) -> ValueError:
    return ValueError(
        f"expected a file of tensors, got {source!r}, which cannot be read as one: {_line(error)}"
    )


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
