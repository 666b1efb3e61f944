"""Settings and the loop that all trainings share."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.checks import check, check_counts, check_name
from tasks.settings import TaskSettings
from tasks.steps import batches as stream
from tasks.steps.batches import Batch, Batches, ReportProgress

if TYPE_CHECKING:
    import torch

    from models.training import Training

PRECISIONS = ("fp32", "tf32", "bf16")
"""Names of ``models.precision.PRECISIONS``."""

Loss = Callable[["torch.nn.Module"], "torch.Tensor"]
"""What one step minimizes."""
Losses = Callable[["torch.device"], Callable[[int, Batch, slice], Loss]]
"""From a device, the loss of a step: of its number, this worker's rows, and their places."""


@dataclass(frozen=True, kw_only=True)
class Optimization(TaskSettings):
    """How a network is trained, whatever it is and on what."""

    steps: int
    """Updates: 10 or more with one cycle, else 2 or more."""
    batch_size: int
    """Images in a global batch."""
    learning_rate: float = 1e-3
    """Peak of the schedule, > 0."""
    weight_decay: float
    """Decoupled in AdamW, added to the gradient in SGD, >= 0."""
    seed: int = 0
    """Seeds initial weights, the order of images, and every draw of the training."""
    schedule: str = field(default="one_cycle", metadata={"since": 2})
    """Schedule of the learning rate; ``warmup_cosine`` is the authors', ``ramp`` their EDM's."""
    precision: str = field(default="fp32", metadata={"since": 3})
    """A name of PRECISIONS; weights, their average and the optimizer are float32 in any."""
    micro_batch: int = field(default=0, metadata={"since": 3})
    """Images that a worker computes gradients of at once, which it adds up; 0 for all of them."""
    window_bytes: int = field(default=2 * 2**30, metadata={"since": 2})
    """Most bytes of images, uint8, in memory; of more, an epoch is permuted window by window."""

    def check_training(self, schedules: tuple[str, ...]) -> None:
        """Raise ValueError if the training cannot start with these fields."""
        check_name("schedule", self.schedule, schedules)
        cycle = self.schedule == "one_cycle"
        least, which = (10, "one cycle") if cycle else (2, self.schedule)
        check("steps", self.steps, f"of at least {least}, which {which} needs", self.steps >= least)
        holds = 0 < self.learning_rate < math.inf
        check("learning_rate", self.learning_rate, "above 0", holds)
        check_counts(self, "batch_size", "window_bytes")
        check_name("a precision", self.precision, PRECISIONS)
        check("micro_batch", self.micro_batch, "of at least 0", self.micro_batch >= 0)


@dataclass(frozen=True, kw_only=True)
class TrainingSettings(Optimization):
    """Images and optimization."""

    image_size: int = 8
    """Pixels a side."""
    channels: int = 1
    """Color channels, 1 or 3."""
    classes: int
    """Classes of the labels."""


def train(
    settings: Optimization,
    build: "Callable[[], torch.nn.Module]",
    losses: Losses,
    *,
    batches: Batches,
    report: ReportProgress,
    resume: Path | None,
    resident: bool = False,
    **recipe: Any,
) -> "Training":
    """Train until the last step, perhaps from a checkpoint; the result is ready to ``finish``.

    ``build`` makes the network, drawn from torch's own generator; ``recipe`` has other fields of
    ``models.training.Recipe``.  With ``resident``, images that are held lie on the GPU if they fit,
    and ``losses`` are given them there.  Raises ValueError if ``resume`` is a checkpoint of another
    training, FloatingPointError if the loss is NaN or infinite.
    """
    from models.training import Recipe, Training

    names = ("steps", "learning_rate", "weight_decay", "seed", "schedule", "precision")
    shared: dict[str, Any] = {name: getattr(settings, name) for name in names}
    training = Training(
        build, Recipe(**shared, **recipe), rank=batches.rank, workers=batches.workers
    )
    if resume is not None:
        training.load(resume)
    if resident and isinstance(batches, stream.Held):
        batches = batches.on_gpu(training.device)
    loss_of_step = losses(training.device)
    own = stream.own_rows(settings.batch_size, rank=batches.rank, workers=batches.workers)
    for batch in batches(training.step, settings.steps):
        training.update(
            *(
                (loss_of_step(training.step, part, place), len(part["index"]) / len(batch["index"]))
                for part, place in in_parts(batch, own, settings.micro_batch)
            )
        )
        training.report_if_due(report)
    return training


def in_parts(batch: Batch, own: slice, most: int) -> Iterator[tuple[Batch, slice]]:
    """A worker's rows, at most so many at a time (0 for all), and their places in the batch."""
    rows = len(batch["index"])
    for first in range(0, rows, most or rows):
        last = min(first + (most or rows), rows)
        yield stream.part(batch, slice(first, last)), slice(own.start + first, own.start + last)
