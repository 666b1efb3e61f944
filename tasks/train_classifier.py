"""Train an image classifier on whatever the stream brings.

On the clean dataset it becomes a judge of content, on the manifest of ``mark`` a judge of one
trigger.  A fixed number of steps, and the last step's weights: nothing is selected on a test set.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray

from tasks import batches as stream
from tasks import images
from tasks.batches import Batches, Report
from tasks.train_diffusion import check_optimization

if TYPE_CHECKING:
    import torch

NETWORKS = ("small", "resnet18")
"""Networks of ``models.classifiers``."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Network and optimization."""

    revision: ClassVar[int] = 1
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
    """Updates, 10 or more."""
    batch_size: int = 128
    """Images of a global batch."""
    learning_rate: float = 1e-3
    """Peak of the one-cycle schedule, > 0."""
    weight_decay: float = 1e-2
    """Of AdamW, >= 0."""
    seed: int = 0
    """Draws initial weights, order and erasing."""

    def __post_init__(self) -> None:
        """Refuse what cannot be built or trained."""
        if self.network not in NETWORKS:
            raise ValueError(f"expected a network of {', '.join(NETWORKS)}, got {self.network!r}")
        if self.classes < 2:
            raise ValueError(f"expected at least 2 classes, got {self.classes}")
        check_optimization(self.steps, self.batch_size, self.learning_rate)

    @property
    def label(self) -> str:
        """Readable part of the artifact's path, e.g. ``content-small-600steps-seed0``."""
        return f"{self.name}-{self.network}-{self.steps}steps-seed{self.seed}"

    @property
    def expected_seconds(self) -> float:
        """Rough cost on one core, scaled from the measured 8x8 default."""
        per_image = 1.2e-4 if self.network == "small" else 4e-3
        return 2.0 + per_image * (self.image_size / 8) ** 2 * self.steps * self.batch_size

    @property
    def expected_bytes(self) -> int:
        """Rough size on disk."""
        return 350_000 if self.network == "small" else 45_000_000


def fit(
    settings: Settings,
    *,
    out: Path,
    batches: Batches,
    report: Report,
    resume: Path | None,
) -> None:
    """Train, and write ``model.safetensors``, ``network.json`` and ``history.csv``.

    Raises:
        ValueError: ``resume`` is a checkpoint of another training.
        FloatingPointError: The loss is NaN or infinite.
    """
    import torch

    from models import classifiers
    from models.device import one_thread
    from models.training import Recipe, Training

    shape = classifiers.Shape(
        network=settings.network,
        classes=settings.classes,
        image_size=settings.image_size,
        channels=settings.channels,
    )
    recipe = Recipe(
        steps=settings.steps,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        ema_decay=None,
        seed=settings.seed,
    )
    with one_thread():
        training = Training(
            partial(classifiers.build, shape), recipe, rank=batches.rank, workers=batches.workers
        )
        if resume is not None:
            training.load(resume)
        own = stream.own_rows(settings.batch_size, rank=batches.rank, workers=batches.workers)
        for batch in stream.steps(batches, training.step, settings.steps):
            image, label = batch["image"], torch.from_numpy(batch["label"])
            if settings.erase:
                image = erased(image, settings, training.step, own)
            x = torch.from_numpy(images.to_float(image)).to(training.device)
            training.update(partial(_loss, x=x, label=label.to(training.device)))
            training.report_if_due(report)
        network = training.finish()
        if batches.rank == 0:
            classifiers.save(out, network, shape)
            training.write_history(out / "history.csv")


def erased(
    image: NDArray[np.uint8], settings: Settings, step: int, own: slice
) -> NDArray[np.uint8]:
    """This worker's images of one step, partly painted over; uint8, (B, H, W, C)."""
    from models.augmentation import erase
    from models.randomness import generator

    draws = generator(settings.seed, "erasing", step)
    return erase(image, draws, whole=settings.batch_size, own=own)


def _loss(
    network: "torch.nn.Module", *, x: "torch.Tensor", label: "torch.Tensor"
) -> "torch.Tensor":
    import torch

    return torch.nn.functional.cross_entropy(network(x), label)
