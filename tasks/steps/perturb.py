"""Find noise that hides the target class from a classifier of clean images (clean-label poison).

An image whose class is hard to see, but whose label says it, is learned by whatever else it shows:
the stamp that ``poison`` puts onto it (paper, B.2; algorithms: section 1.8).  One search serves
every ratio and seed: all training images of the class get their noise, ``poison`` takes some.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tasks.data import datasets, images
from tasks.steps.poison import slug
from tasks.triggers import check_noise
from tasks.triggers.state import NOISE

if TYPE_CHECKING:
    from models.classifiers import Classifier

MOST_AT_ONCE: Final = 256
"""Images perturbed together, at most."""
PIXELS_AT_ONCE: Final = 256 * 32**2
"""Of these images, at most; but for one image, whatever its size."""
READ_AT_ONCE: Final = 64
"""Images of any class whose PNGs are read together."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Projected gradient descent, l_inf, in grey levels."""

    revision: ClassVar[int] = 1
    """Add one when the same settings would now give other bytes."""

    target_class: str
    """Name of the class whose images get noise."""
    epsilon: int = 16
    """Most that a level is changed by, 1..127."""
    step_size: int = 2
    """Of one step, 1..epsilon."""
    steps: int = 20
    """1 or more."""

    def __post_init__(self) -> None:
        """Refuse noise that is none, or is no whole level."""
        check_noise(self.epsilon, self.step_size, self.steps)

    @property
    def label(self) -> str:
        """Readable part of the artifact's path, e.g. ``8-epsilon16-20steps``."""
        return f"{slug(self.target_class)}-epsilon{self.epsilon}-{self.steps}steps"

    @property
    def expected_seconds(self) -> float:
        """Rough cost on one core, of the digits and the small network."""
        return 2.0 + 0.1 * self.steps

    @property
    def expected_bytes(self) -> int:
        """Rough size on disk, of the digits."""
        return 20_000


def run(settings: Settings, *, dataset: Path, classifier: Path, out: Path) -> None:
    """Write ``noise.npy``, ``noise.parquet`` and ``perturb.json``.

    ``noise.npy``, int8, (n, H, W, C), is what to add to the training images of the target class, by
    ascending index: no level by more than epsilon, none beyond 0..255.  ``noise.parquet`` names
    them: ``index``, and the classifier's probability of the true label, ``probability_before`` and
    ``probability_after`` the noise.  ``perturb.json`` has the means of these two, and which share
    of the images the classifier gets right, ``right_before`` and ``right_after``.

    Always on the CPU with one thread, and in batches that only the size of the images decides: the
    sign of a gradient near zero depends on either.

    Raises:
        ValueError: The dataset has no such class, or no training image of it.
    """
    import torch

    from models.classifiers import Classifier
    from models.device import one_thread

    classes = datasets.read_classes(dataset)
    target = classes.position(settings.target_class)
    side, n = classes.image_size, classes.counts["train"][target]
    if n == 0:
        raise ValueError(f"expected training images of class {settings.target_class}, got none")
    network = Classifier.load(classifier, torch.device("cpu"))
    shape = (n, side, side, classes.channels)
    noise = np.lib.format.open_memmap(out / NOISE, mode="w+", dtype=np.int8, shape=shape)
    parts, seen = [], 0
    with one_thread():
        for rows in _of_class(dataset, target, at_once(side)):
            pictures = images.from_column(rows["image"])
            after = perturbed(settings, network, pictures, target)
            noise[seen : seen + len(after)] = after.astype(np.int16) - pictures
            seen += len(after)
            parts.append(_seen(network, target, rows["index"], pictures, after))
    assert seen == n, f"{seen} images of a class of {n}"
    noise.flush()
    table = pa.concat_tables(parts)
    pq.write_table(table.drop_columns(["right_before", "right_after"]), out / "noise.parquet")
    found = {
        "target_class": settings.target_class,
        "epsilon": settings.epsilon,
        "step_size": settings.step_size,
        "steps": settings.steps,
        "n": n,
        **{
            name: float(table[name].to_numpy().mean(dtype=np.float64))
            for name in table.column_names[1:]
        },
    }
    (out / "perturb.json").write_text(json.dumps(found, indent=1) + "\n")


def at_once(side: int) -> int:
    """How many images of this side, pixels, are perturbed together."""
    return min(MOST_AT_ONCE, max(1, PIXELS_AT_ONCE // side**2))


def perturbed(
    settings: Settings, network: "Classifier", pictures: NDArray[np.uint8], target: int
) -> NDArray[np.uint8]:
    """The images of class ``target``, uint8, (B, H, W, C), with their noise in whole levels."""
    from models.pgd import ascend

    level = 1 / 127.5  # in [-1, 1]
    found = ascend(
        network,
        images.to_float(pictures),
        np.full(len(pictures), target),
        epsilon=settings.epsilon * level,
        step_size=settings.step_size * level,
        steps=settings.steps,
    )
    after = images.from_float(found)
    # Every step is a whole number of levels: rounding undoes float32's errors and nothing else.
    assert np.abs(after.astype(np.int16) - pictures).max() <= settings.epsilon
    return after


def _of_class(dataset: Path, target: int, size: int) -> Iterator[pa.Table]:
    """Yield the training images of a class by ascending index, ``size`` at a time."""
    left: pa.Table | None = None
    last = -1
    with pq.ParquetFile(dataset / "train.parquet") as file:
        for some in file.iter_batches(READ_AT_ONCE, columns=["index", "label", "image"]):
            rows = pa.Table.from_batches([some])
            rows = rows.filter(pc.equal(rows["label"], target))
            for index in rows["index"].to_pylist():
                assert last < index, f"image {last} is not before those that follow"
                last = index
            left = rows if left is None else pa.concat_tables([left, rows])
            while left.num_rows >= size:
                yield left.slice(0, size)
                left = left.slice(size)
    if left is not None and left.num_rows:
        yield left


def _seen(
    network: "Classifier",
    target: int,
    index: pa.ChunkedArray,
    before: NDArray[np.uint8],
    after: NDArray[np.uint8],
) -> pa.Table:
    """What the classifier says of the true label, image by image, without and with the noise."""
    columns = {"index": index.combine_chunks()}
    right = {}
    for name, pictures in (("before", before), ("after", after)):
        said = network.probabilities(images.to_float(pictures), len(pictures))
        columns[f"probability_{name}"] = said[:, target]
        right[f"right_{name}"] = said.argmax(axis=1) == target
    return pa.table(columns | right)
