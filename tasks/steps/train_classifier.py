"""Train an image classifier on whatever the stream brings.

On the clean dataset it becomes a judge of content, on the manifest of ``mark`` a judge of one
trigger.  A fixed number of steps, and the last step's weights: nothing is selected on a test set.
"""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from tasks.data import images
from tasks.steps import batches as stream
from tasks.steps import weights as imagenet
from tasks.steps.batches import Batches, Report
from tasks.steps.train_diffusion import check_name, check_optimization

if TYPE_CHECKING:
    import torch

NETWORKS = ("small", "resnet18", "resnet50", "vgg16", "densenet121")
"""Networks of ``models.networks``."""

_TIMES_RESNET18 = {"resnet18": 1.0, "resnet50": 2.1, "densenet121": 1.6}
"""How long a step takes, in those of ResNet-18; measured at 8 and 32 pixels, 16 images a batch."""

_PARAMETERS = {"small": 87_000, "resnet18": 11.2e6, "resnet50": 23.5e6, "densenet121": 7.0e6}
"""Weights of each network, of 10 classes; those of VGG-16 depend on the images."""

OPTIMIZERS = ("adamw", "sgd")
"""Optimizers of ``models.training``."""

SCHEDULES = ("one_cycle", "cosine")
"""Schedules of ``models.training`` that this task allows."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Network and optimization."""

    revision: ClassVar[int] = 2
    """Add one when the same settings would now give other bytes."""

    name: str
    """What it is for, in its path: ``content`` or a trigger's name."""
    classes: int
    """Labels of the stream; 2 for a judge of triggers."""
    image_size: int = 8
    """Side of the images, pixels."""
    channels: int = 1
    """Color channels of the images, 1 or 3."""
    network: str = "small"
    """A name of NETWORKS."""
    erase: bool = False
    """Whether training images are partly painted over at random; not for a judge of triggers."""
    steps: int = 300
    """Updates: 10 or more with one cycle, else 2."""
    batch_size: int = 128
    """Images of a global batch."""
    learning_rate: float = 1e-3
    """Peak of the schedule, > 0."""
    weight_decay: float = 1e-2
    """Decoupled in AdamW, added to the gradient in SGD, >= 0."""
    seed: int = 0
    """Draws initial weights, order and augmentation."""
    optimizer: str = field(default="adamw", metadata={"since": 2})
    """A name of OPTIMIZERS; ``sgd`` has momentum 0.9."""
    schedule: str = field(default="one_cycle", metadata={"since": 2})
    """A name of SCHEDULES."""
    flip: bool = field(default=False, metadata={"since": 2})
    """Whether training images are mirrored left to right at random; stamps change sides with it."""
    shift: int = field(default=0, metadata={"since": 2})
    """Most pixels that training images are moved at random, either way; less than a side."""
    window_bytes: int = field(default=2 * 2**30, metadata={"since": 2})
    """Most bytes of images, uint8, held at once; of more, an epoch's order is window by window."""

    def __post_init__(self) -> None:
        """Refuse what cannot be built or trained."""
        check_name("a network", self.network, NETWORKS)
        check_name("optimizer", self.optimizer, OPTIMIZERS)
        check_name("schedule", self.schedule, SCHEDULES)
        if self.classes < 2:
            raise ValueError(f"expected at least 2 classes, got {self.classes}")
        if not 0 <= self.shift < self.image_size:
            raise ValueError(
                f"expected a shift of 0..{self.image_size - 1} pixels, less than a side, "
                f"got {self.shift}"
            )
        check_optimization(
            self.steps, self.batch_size, self.learning_rate, self.schedule, self.window_bytes
        )

    @property
    def label(self) -> str:
        """Readable part of the artifact's path, e.g. ``content-small-600steps-seed0``."""
        return f"{self.name}-{self.network}-{self.steps}steps-seed{self.seed}"

    @property
    def expected_seconds(self) -> float:
        """Rough cost on one core, fitted to measured steps at 8 to 64 pixels.

        A network from given weights computes on 64 pixels or more, which nothing here tells.
        """
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
        """Side of what the network computes on: behind the stem, or enlarged in front."""
        if self.network == "vgg16":
            return max(32.0, self.image_size)
        if self.network == "small" or self.image_size < 64:
            return float(self.image_size)
        return self.image_size / 4

    @property
    def _parameters(self) -> float:
        """How many weights the network has."""
        if self.network == "vgg16":
            return 33.6e6 if self.image_size < 64 else 134.3e6
        return _PARAMETERS[self.network]


def fit(
    settings: Settings,
    *,
    out: Path,
    batches: Batches,
    report: Report,
    resume: Path | None,
    weights: Path | None = None,
) -> None:
    """Train, and write ``model.safetensors``, ``network.json`` and ``history.csv``.

    With ``weights``, a folder of task ``weights``, the network starts from them, all but the last
    layer if they have another number of classes; it is then torchvision's own with its batch
    statistics frozen (``models.networks``).  ``network.json`` has a field ``weights`` if so.

    Raises:
        ValueError: ``resume`` is a checkpoint of another training, or ``weights`` are of another
            network.
        FloatingPointError: The loss is NaN or infinite.
    """
    import torch

    from models import classifiers
    from models.device import one_thread
    from models.training import Recipe, Training

    given = None if weights is None else imagenet.read(weights, settings.network)
    shape = classifiers.Shape(
        network=settings.network,
        classes=settings.classes,
        image_size=settings.image_size,
        channels=settings.channels,
        weights=given,
    )
    build = partial(classifiers.build, shape)
    if weights is not None:
        build = partial(classifiers.begun, shape, weights / "model.safetensors")
    recipe = Recipe(
        steps=settings.steps,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        ema_decay=None,
        seed=settings.seed,
        optimizer=settings.optimizer,
        schedule=settings.schedule,
    )
    with one_thread():
        training = Training(build, recipe, rank=batches.rank, workers=batches.workers)
        if resume is not None:
            training.load(resume)
        own = stream.own_rows(settings.batch_size, rank=batches.rank, workers=batches.workers)
        for batch in stream.steps(batches, training.step, settings.steps):
            image = augmented(batch["image"], settings, training.step, own)
            label = torch.from_numpy(batch["label"])
            x = torch.from_numpy(images.to_float(image)).to(training.device)
            training.update(partial(_loss, x=x, label=label.to(training.device)))
            training.report_if_due(report)
        network = training.finish()
        if batches.rank == 0:
            classifiers.save(out, network, shape)
            training.write_history(out / "history.csv")


def augmented(
    image: NDArray[np.uint8], settings: Settings, step: int, own: slice
) -> NDArray[np.uint8]:
    """This worker's images of one step as the settings change them; uint8, (B, H, W, C)."""
    from models.augmentation import erase, flip, shift
    from models.randomness import generator

    whole = settings.batch_size
    if settings.flip:
        draws = generator(settings.seed, "flipping", step)
        image = flip(image, draws, whole=whole, own=own)
    if settings.shift:
        draws = generator(settings.seed, "shifting", step)
        image = shift(image, draws, pixels=settings.shift, whole=whole, own=own)
    if settings.erase:
        draws = generator(settings.seed, "erasing", step)
        image = erase(image, draws, whole=whole, own=own)
    return image


def _loss(
    network: "torch.nn.Module", *, x: "torch.Tensor", label: "torch.Tensor"
) -> "torch.Tensor":
    import torch

    return torch.nn.functional.cross_entropy(network(x), label)
