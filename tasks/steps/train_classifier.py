"""Train an image classifier on the streamed images, for a fixed number of steps.

On the clean dataset it becomes a content judge, on the manifest of ``mark`` a judge of a trigger.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tasks.checks import check, check_name
from tasks.steps import weights as imagenet
from tasks.steps.batches import Batch, Batches, ReportProgress
from tasks.steps.training import Loss, TrainingSettings, train

if TYPE_CHECKING:
    import torch

NETWORKS = ("small", "resnet18", "resnet50", "vgg16", "densenet121")
"""Networks of ``models.networks``."""

_TIMES_RESNET18 = {"resnet18": 1.0, "resnet50": 2.1, "densenet121": 1.6}
"""Time of a step, relative to ResNet-18; measured at 8 and 32 pixels, 16 images a batch."""

_PARAMETERS = {"small": 87_000, "resnet18": 11.2e6, "resnet50": 23.5e6, "densenet121": 7.0e6}
"""Parameters of each network with 10 classes; those of VGG-16 depend on the image size."""

OPTIMIZERS = ("adamw", "sgd")
"""Optimizers of ``models.training``."""

SCHEDULES = ("one_cycle", "cosine")
"""Schedules of ``models.training`` that this task allows."""


@dataclass(frozen=True, kw_only=True)
class Settings(TrainingSettings):
    """Network and optimization."""

    revision = 2

    name: str
    """What it is for, as part of its path: ``content`` or a trigger's name."""
    network: str = "small"
    """A name of NETWORKS."""
    erase: bool = False
    """Whether random parts of training images are painted over; not for a judge of triggers."""
    steps: int = 300
    batch_size: int = 128
    weight_decay: float = 1e-2
    optimizer: str = field(default="adamw", metadata={"since": 2})
    """A name of OPTIMIZERS; ``sgd`` has momentum 0.9."""
    flip: bool = field(default=False, metadata={"since": 2})
    """Whether training images are mirrored at random; stamps change sides with them."""
    shift: int = field(default=0, metadata={"since": 2})
    """Most pixels that training images are shifted at random, either way; less than a side."""

    def __post_init__(self) -> None:
        check_name("a network", self.network, NETWORKS)
        check_name("optimizer", self.optimizer, OPTIMIZERS)
        check("classes", self.classes, "of at least 2", self.classes >= 2)
        wanted = f"of 0..{self.image_size - 1} pixels, less than a side"
        check("a shift", self.shift, wanted, 0 <= self.shift < self.image_size)
        self.check_training(SCHEDULES)

    @property
    def label(self) -> str:
        """Readable part of the result's path, e.g. ``content-small-600steps-seed0``."""
        return f"{self.name}-{self.network}-{self.steps}steps-seed{self.seed}"

    @property
    def expected_seconds(self) -> float:
        """Rough time on one core, fitted to steps at 8 to 64 pixels of networks without weights."""
        if self.network == "small":
            step = 1.2e-4 * (self.image_size / 8) ** 2 * self.batch_size
        elif self.network == "vgg16":
            step = 3e-9 * self._parameters + 1.75e-2 * (self._inner / 32) ** 2 * self.batch_size
        else:
            step = 0.03 + (5e-3 + 3.2e-2 * (self._inner / 32) ** 2) * self.batch_size
            step *= _TIMES_RESNET18[self.network]
        return 2.0 + step * self.steps

    @property
    def expected_bytes(self) -> int:
        """Rough size on disk."""
        if self.network in ("small", "resnet18"):
            return 350_000 if self.network == "small" else 45_000_000
        return int(4 * self._parameters)

    @property
    def _inner(self) -> float:
        """Side of the images after the stem, or after enlarging."""
        if self.network == "vgg16":
            return max(32.0, self.image_size)
        if self.network == "small" or self.image_size < 64:
            return float(self.image_size)
        return self.image_size / 4

    @property
    def _parameters(self) -> float:
        """Parameters of the network."""
        if self.network == "vgg16":
            return 33.6e6 if self.image_size < 64 else 134.3e6
        return _PARAMETERS[self.network]


def fit(
    settings: Settings,
    *,
    out: Path,
    batches: Batches,
    report: ReportProgress,
    resume: Path | None,
    weights: Path | None = None,
) -> None:
    """Train, and write ``model.safetensors``, ``network.json`` and ``history.csv``.

    With ``weights``, a folder of task ``weights``, the network starts from them, but for the last
    layer if the number of classes differs; it is then torchvision's own with frozen batch
    statistics (``models.networks``).  Raises as ``train``, and ValueError for another network's.
    """
    from models import classifiers
    from models.device import one_thread

    given = None if weights is None else imagenet.read(weights, settings.network)
    names = ("network", "classes", "image_size", "channels")
    own: dict[str, Any] = {name: getattr(settings, name) for name in names}
    shape = classifiers.Shape(**own, weights=given)
    build = partial(classifiers.build, shape)
    if weights is not None:
        build = partial(classifiers.begun, shape, weights / "model.safetensors")
    with one_thread():
        training = train(
            settings,
            build,
            partial(_losses, settings),
            batches=batches,
            report=report,
            resume=resume,
            ema_decay=None,
            optimizer=settings.optimizer,
        )
        network = training.finish()
        if batches.rank == 0:
            classifiers.save(out, network, shape)
            training.write_history(out / "history.csv")


def augmented(
    image: NDArray[np.uint8], settings: Settings, step: int, own: slice
) -> NDArray[np.uint8]:
    """This worker's images of one step, augmented; uint8, (B, H, W, C)."""
    from models.augmentation import erase, flip, shift
    from models.randomness import generator

    draws = partial(generator, settings.seed)
    rows: dict[str, Any] = {"whole": settings.batch_size, "own": own}
    if settings.flip:
        image = flip(image, draws("flipping", step), **rows)
    if settings.shift:
        image = shift(image, draws("shifting", step), pixels=settings.shift, **rows)
    if settings.erase:
        image = erase(image, draws("erasing", step), **rows)
    return image


def _losses(settings: Settings, device: "torch.device") -> Callable[[int, Batch, slice], Loss]:
    """Cross entropy of a step, given its number, this worker's rows and their places."""
    import torch

    from models.precision import on_device, to_float

    def of_step(step: int, batch: Batch, own: slice) -> Loss:
        image = augmented(batch["image"], settings, step, own)
        x = to_float(on_device(image, device))
        label = on_device(batch["label"], device)
        return lambda network: torch.nn.functional.cross_entropy(network(x).float(), label)

    return of_step
