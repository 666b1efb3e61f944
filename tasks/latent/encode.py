"""Encode images once: the moments of each one's latent, from a pipeline's autoencoder.

Training draws a latent from them at every step.  With the clean images' moments and those of all
images with a trigger, a poisoned set is a manifest only: no ratio, seed or relabelling costs any
encoding.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tasks.checks import check_counts, check_name
from tasks.data import images
from tasks.settings import TaskSettings
from tasks.steps import poison
from tasks.steps.batches import Batch
from tasks.steps.training import PRECISIONS
from tasks.triggers import CleanLabel, Trigger
from tasks.triggers import state as trigger_state

COLUMNS: Final = ("index", "label", "caption", "moments")
"""Columns of ``rows.parquet``; the last holds float16, row by row."""
SHAPE: Final = b"shape"
"""Key of the schema's metadata: (2 C, h, w) of the moments, in JSON."""
LARGEST: Final = 65504.0
"""The largest float16."""


@dataclass(frozen=True, kw_only=True)
class Settings(TaskSettings):
    """Which images are encoded, and how."""

    revision = 1

    trigger: Trigger
    """Stamped onto every image first; ``none`` for clean images."""
    n: int
    """Images."""
    image_size: int
    """Pixels a side."""
    batch_size: int = 64
    """Images at once; part of the identity, as sums depend on it in the last bit."""
    precision: str = "fp32"
    """A name of PRECISIONS."""

    def __post_init__(self) -> None:
        check_counts(self, "n", "image_size", "batch_size")
        check_name("a precision", self.precision, PRECISIONS)

    @property
    def label(self) -> str:
        """Readable part of the result's path, e.g. ``moments-of-badnets1``."""
        return f"moments-of-{self.trigger.name if self.trigger.stamps else 'clean'}"

    @property
    def expected_seconds(self) -> float:
        """Rough time on one core."""
        return 2.0 + 1.2e-5 * self.n * self.image_size**2

    @property
    def expected_bytes(self) -> int:
        """Rough size on disk: 8 channels of float16 at an eighth to a half of the side."""
        return 4 * self.n * self.image_size**2


def count(_: Settings, *, dataset: Path, **__: Path | None) -> int:
    """Number of images to encode."""
    rows: int = pq.read_metadata(dataset / "train.parquet").num_rows
    return rows


class Worker:
    """Loads the autoencoder once; encodes a range of rows at a time."""

    def __init__(
        self, settings: Settings, *, dataset: Path, pipeline: Path, noise: Path | None = None
    ) -> None:
        """Load the autoencoder; raises ValueError if it does not take images of this size.

        A trigger that perturbs, and no other, needs ``noise``, the folder of ``perturb``; images
        that it has none for are never poisoned, and only stamped.
        """
        from models.device import choose
        from models.latent import folder
        from models.latent.pipeline import open_part

        self.settings = settings
        self.file = dataset / "train.parquet"
        self.device = choose()
        folder.check_image_size(pipeline, settings.image_size)
        self.vae = open_part(pipeline, "vae", self.device)
        if isinstance(settings.trigger, CleanLabel) != (noise is not None):
            raise ValueError(f"expected noise for clean_label and no other, got {noise}")
        self.noise = trigger_state.Noise.open(noise) if noise else None

    def __call__(self, first: int, last: int) -> pa.Table:
        """Rows ``first`` .. ``last - 1``; raises FloatingPointError for more than float16 holds."""
        import torch

        from models.device import one_thread
        from models.latent.autoencoder import moments
        from models.precision import computing, on_device, to_float

        rows = images.rows(self.file, first, last, ("index", "label", "caption", "image"))
        pixels = images.from_column(rows["image"])
        if self.noise is not None:
            pixels = self.noise.added(rows["index"].to_numpy(), pixels)
        if self.settings.trigger.stamps:
            pixels = self.settings.trigger.stamp(pixels)
        x = to_float(on_device(pixels, self.device))
        with torch.no_grad(), one_thread(), computing(self.settings.precision, self.device):
            found = moments(self.vae, x).cpu().numpy()
        if not (np.isfinite(found).all() and np.abs(found).max(initial=0) <= LARGEST):
            raise FloatingPointError(
                "expected moments that float16 holds, got NaN or more than 65,504 from the "
                "autoencoder; use --precision fp32"
            )
        halves = np.ascontiguousarray(found, dtype=np.float16)
        width = halves[0].nbytes
        column = pa.FixedSizeBinaryArray.from_buffers(
            pa.binary(width), len(halves), [None, pa.py_buffer(halves)]
        )
        table = rows.select(["index", "label", "caption"]).append_column("moments", column)
        return table.replace_schema_metadata({SHAPE: json.dumps(halves.shape[1:])})


@dataclass(frozen=True)
class Moments:
    """Reads what ``Worker`` made, and takes the stamped moments of what a manifest poisons."""

    shape: tuple[int, int, int]
    """(2 C, h, w): means, then log variances."""
    listed: poison.Manifest | None
    """What is poisoned; None for clean images."""
    captions: dict[int, str]
    """By index, of the images that are poisoned."""
    stamped: NDArray[np.float16]
    """(count, 2 C, h, w). Of the poisoned images, by ascending index; empty if none is stamped."""

    @classmethod
    def open(
        cls, shape: tuple[int, int, int], manifest: Path | None, stamped: Path | None
    ) -> "Moments":
        """Of clean moments of this shape, and the folders of ``poison`` and stamped ``encode``."""
        nothing = np.empty((0, *shape), np.float16)
        if manifest is None:
            return cls(shape, None, {}, nothing)
        listed = poison.Manifest.read(manifest)
        table = pq.read_table(
            manifest / "manifest.parquet",
            columns=["index", "caption"],
            filters=[("poisoned", "=", True)],
        )
        chosen, texts = (column.to_pylist() for column in table.columns)
        captions = dict(zip(chosen, texts, strict=True))
        if stamped is not None:
            found = pq.read_table(stamped / "rows.parquet", filters=[("index", "in", chosen)])
            nothing = _arrays(found.sort_by("index"), shape)
        return cls(shape, listed, captions, nothing)

    def read(self, table: pa.Table) -> Iterator[Batch]:
        """The rows of a table of COLUMNS, as a training is given them."""
        index, label = table["index"].to_numpy(), table["label"].to_numpy()
        found, caption = _arrays(table, self.shape), np.array(table["caption"].to_pylist(), object)
        if self.listed is not None:
            label, poisoned = poison.relabelled(index, label, self.listed)
            caption[poisoned] = [self.captions[one] for one in index[poisoned].tolist()]
            if len(self.stamped):
                ordered = self.listed.index[self.listed.poisoned]
                found[poisoned] = self.stamped[np.searchsorted(ordered, index[poisoned])]
        yield Batch(index=index, image=found, label=label, caption=caption)


def shape_of(moments: Path) -> tuple[int, int, int]:
    """(2 C, h, w) of the moments in a folder of ``encode``."""
    metadata: Any = pq.read_schema(moments / "rows.parquet").metadata
    channels, height, width = json.loads(metadata[SHAPE])
    return channels, height, width


def _arrays(table: pa.Table, shape: tuple[int, int, int]) -> NDArray[np.float16]:
    """The moments of a table, float16, (N, 2 C, h, w), a copy."""
    joined = b"".join(table["moments"].to_pylist())
    return np.frombuffer(joined, np.float16).reshape(-1, *shape).copy()
