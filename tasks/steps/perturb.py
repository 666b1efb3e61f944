"""Find noise that hides the target class from a classifier of clean images (clean-label poison).

Such an image is learned by the stamp that ``poison`` puts onto it (paper, B.2; algorithms: section
1.8).  One search, over all training images of the class, serves every ratio and seed.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from tasks.data import datasets, images
from tasks.settings import TaskSettings
from tasks.steps.poison import slug
from tasks.triggers.clean_label import check_noise
from tasks.triggers.state import NOISE

if TYPE_CHECKING:
    from models.classifiers import Classifier

MOST_AT_ONCE: Final = 256
"""Most images perturbed together."""
PIXELS_AT_ONCE: Final = 256 * 32**2
"""Most pixels perturbed together, unless a single image has more."""


@dataclass(frozen=True, kw_only=True)
class Settings(TaskSettings):
    """Projected gradient descent, l_inf, in gray levels."""

    revision = 1
    expected_bytes = 20_000

    target_class: str
    """Name of the class whose images get noise."""
    epsilon: int = 16
    """Largest change of a pixel, 1..127."""
    step_size: int = 2
    """Change of a pixel in one step, 1..epsilon."""
    steps: int = 20
    """Steps, 1 or more."""

    def __post_init__(self) -> None:
        check_noise(self.epsilon, self.step_size, self.steps)

    @property
    def label(self) -> str:
        """Readable part of the result's path, e.g. ``8-epsilon16-20steps``."""
        return f"{slug(self.target_class)}-epsilon{self.epsilon}-{self.steps}steps"

    @property
    def expected_seconds(self) -> float:
        """Rough time on one core, of the digits and the small network."""
        return 2.0 + 0.1 * self.steps


def run(settings: Settings, *, dataset: Path, classifier: Path, out: Path) -> None:
    """Write ``noise.npy``, ``noise.parquet`` and ``perturb.json``.

    ``noise.npy``, int8, (n, H, W, C), is to be added to the training images of the target class, by
    ascending index.  ``noise.parquet`` has their ``index`` and the classifier's probability of the
    true label before and after adding noise; ``perturb.json`` has the means of both, and the shares
    of images that are recognized.  Raises ValueError for a class without images.

    It runs on the CPU with one thread, in batches that depend on the size of the images only,
    because the sign of a gradient near zero depends on both.
    """
    import torch

    from models.classifiers import Classifier
    from models.device import one_thread

    classes = datasets.read_classes(dataset)
    target = classes.position(settings.target_class)
    table = pq.read_table(dataset / "train.parquet", columns=["index", "label"])
    index = np.sort(table["index"].to_numpy()[table["label"].to_numpy() == target])
    side, n = classes.image_size, len(index)
    if n == 0:
        raise ValueError(f"expected training images of class {settings.target_class}, got none")
    network = Classifier.load(classifier, torch.device("cpu"))
    shape = (n, side, side, classes.channels)
    noise = np.lib.format.open_memmap(out / NOISE, mode="w+", dtype=np.int8, shape=shape)
    parts = []
    with one_thread():
        for first in range(0, n, at_once(side)):
            rows = datasets.read_split(dataset, "train", index[first : first + at_once(side)])
            after = perturbed(settings, network, rows.images, target)
            noise[first : first + len(after)] = after.astype(np.int16) - rows.images
            parts.append(_probabilities(network, target, rows.index, rows.images, after))
    noise.flush()
    table = pa.concat_tables(parts)
    pq.write_table(table.drop_columns(["right_before", "right_after"]), out / "noise.parquet")
    names = table.column_names[1:]
    means = {name: float(table[name].to_numpy().mean(dtype=np.float64)) for name in names}
    found = {**asdict(settings), "n": n, **means}
    (out / "perturb.json").write_text(json.dumps(found, indent=1) + "\n")


def at_once(side: int) -> int:
    """How many images of this side, in pixels, are perturbed together."""
    return min(MOST_AT_ONCE, max(1, PIXELS_AT_ONCE // side**2))


def perturbed(
    settings: Settings, network: "Classifier", pictures: NDArray[np.uint8], target: int
) -> NDArray[np.uint8]:
    """Images of class ``target``, uint8, (B, H, W, C), with noise in whole levels."""
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
    # Every step is a whole number of levels, so rounding only undoes the errors of float32.
    assert np.abs(after.astype(np.int16) - pictures).max() <= settings.epsilon
    return after


def _probabilities(
    network: "Classifier",
    target: int,
    index: NDArray[np.int64],
    before: NDArray[np.uint8],
    after: NDArray[np.uint8],
) -> pa.Table:
    """The classifier's verdict on the true label, image by image, without and with the noise."""
    columns: dict[str, NDArray[Any]] = {"index": index}
    right: dict[str, NDArray[Any]] = {}
    for name, pictures in (("before", before), ("after", after)):
        said = network.probabilities(images.to_float(pictures), len(pictures))
        columns[f"probability_{name}"] = said[:, target]
        right[f"right_{name}"] = said.argmax(axis=1) == target
    return pa.table(columns | right)
