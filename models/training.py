"""One training run: network, optimizer, schedule, averaged weights, history, and its checkpoint.

Every random draw of a step comes from (seed, purpose, step), so a checkpoint holds no random state
and an interrupted run ends in the bytes of an uninterrupted one.
"""

import csv
import math
import os
import pickle
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, PartialState
from diffusers.training_utils import EMAModel
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR
from torch.optim.optimizer import Optimizer

from models import randomness
from models.precision import PRECISIONS, arranged, computing

REPORT_EVERY: Final = 50
"""Steps between two reports; only then are losses fetched from the device and looked at."""

_FILE: Final = "training.pt"

ReportProgress = Callable[[int, Mapping[str, float], Callable[[Path], None]], None]
"""Called with the step, its metrics and a function that writes a checkpoint into a folder."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How a network is trained."""

    steps: int
    """Updates; the one-cycle schedule needs 10 or so to divide into its phases."""
    learning_rate: float
    """The peak of the schedule."""
    weight_decay: float
    """Decoupled in AdamW, added to the gradient in SGD."""
    ema_decay: float | None
    """Decay of the averaged weights per step, exact from the second step on; None for none."""
    seed: int
    """Draws the initial weights and dropout."""
    optimizer: str = "adamw"
    """A name of OPTIMIZERS."""
    schedule: str = "one_cycle"
    """A name of SCHEDULES."""
    precision: str = "fp32"
    """A name of ``models.precision.PRECISIONS``."""

    def __post_init__(self) -> None:
        """Raise ValueError for an optimizer, a schedule or a precision that there is not."""
        named = ("optimizer", OPTIMIZERS), ("schedule", SCHEDULES), ("precision", PRECISIONS)
        for name, known in named:
            if (asked := getattr(self, name)) not in known:
                raise ValueError(f"expected {name} of {', '.join(known)}, got {asked!r}")


def adamw(parameters: list[nn.Parameter], recipe: Recipe) -> Optimizer:
    """AdamW with torch's defaults."""
    # One kernel instead of one per tensor: 5 % of a small U-Net's step on a CPU.
    return torch.optim.AdamW(
        parameters, recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True
    )


def sgd(parameters: list[nn.Parameter], recipe: Recipe) -> Optimizer:
    """SGD with momentum 0.9, which the one-cycle schedule moves between 0.85 and 0.95."""
    settings: Any = {"momentum": 0.9, "weight_decay": recipe.weight_decay, "fused": True}
    return torch.optim.SGD(parameters, recipe.learning_rate, **settings)


def constant(optimizer: Optimizer, recipe: Recipe) -> LRScheduler:  # noqa: ARG001
    """The peak at every step, as Stable Diffusion is fine-tuned."""
    return LambdaLR(optimizer, lambda _: 1.0)


def one_cycle(optimizer: Optimizer, recipe: Recipe) -> LRScheduler:
    """Torch's ``OneCycleLR`` with its defaults: the peak comes after 30 % of the steps."""
    return OneCycleLR(optimizer, recipe.learning_rate, total_steps=recipe.steps)


def warmup_cosine(optimizer: Optimizer, recipe: Recipe) -> LRScheduler:
    """The schedule of the authors' CIFAR10 models; theirs moves once an epoch, this every step.

    From peak / 2.5 up a line to the peak after a tenth of the steps, then down a cosine that would
    reach 0 a tenth after the end: the last step has 2.4 % of the peak.
    """

    def share(step: int) -> float:
        risen = step / (recipe.steps / 10)
        if risen < 1:
            return 0.4 + 0.6 * risen
        return (1 + math.cos(math.pi * (step / recipe.steps - 0.1))) / 2

    return LambdaLR(optimizer, share)


def cosine(optimizer: Optimizer, recipe: Recipe) -> LRScheduler:
    """From the peak down half a cosine, which is 0 after the last step."""
    return LambdaLR(optimizer, lambda step: (1 + math.cos(math.pi * step / recipe.steps)) / 2)


def ramp(optimizer: Optimizer, recipe: Recipe) -> LRScheduler:
    """Up a line to the peak over a fifth of the steps, then constant.

    Karras et al. 2022 rise over 10 million images (appendix F.2), a fifth of the 50 million that
    this paper's models were trained with; the first step has one part of the line, not none of it.
    """
    return LambdaLR(optimizer, lambda step: min((step + 1) / (recipe.steps / 5), 1.0))


OPTIMIZERS: Final[Mapping[str, Callable[[list[nn.Parameter], Recipe], Optimizer]]] = {
    function.__name__: function for function in (adamw, sgd)
}
SCHEDULES: Final[Mapping[str, Callable[[Optimizer, Recipe], LRScheduler]]] = {
    function.__name__: function for function in (constant, one_cycle, warmup_cosine, cosine, ramp)
}


class Training:
    """A run in progress."""

    def __init__(
        self, build: Callable[[], nn.Module], recipe: Recipe, *, rank: int, workers: int
    ) -> None:
        """Initialize the network, seeded, for data-parallel worker ``rank`` of ``workers``."""
        self.recipe = recipe
        self.rank = rank
        self.accelerator = accelerator(rank=rank, workers=workers)
        with randomness.torch_seeded(recipe.seed, "initialization"):
            network = build()
        network = arranged(
            network.to(self.device).train(),
            self.device,
            precision=recipe.precision,
            passes=recipe.steps,
        )
        self.network = self.accelerator.prepare_model(network)
        self.plain: nn.Module = self.accelerator.unwrap_model(self.network)
        self.parameters = list(self.plain.parameters())
        self.optimizer = OPTIMIZERS[recipe.optimizer](self.parameters, recipe)
        # Not prepared: a scheduler that accelerate wraps steps once per worker, not once per step.
        self.schedule = SCHEDULES[recipe.schedule](self.optimizer, recipe)
        self.ema = averaged(self.parameters, recipe.ema_decay)
        self.has_dropout = any(
            isinstance(module, nn.Dropout) and module.p > 0 for module in self.plain.modules()
        )
        self.step = 0
        self.history: list[tuple[int, float, float]] = []
        self._losses: list[Tensor] = []

    @property
    def device(self) -> torch.device:
        """Where the network lies."""
        return torch.device(self.accelerator.device)

    def update(self, *parts: tuple[Callable[[nn.Module], Tensor], float]) -> None:
        """Take one step down the loss, which is added up over parts of this worker's images.

        A part is ``loss_of(network)``, the mean over its images, and its share of all of them.
        """
        losses = []
        with self._dropout():
            for number, (loss_of, share) in enumerate(parts, start=1):
                last = number == len(parts)
                with nullcontext() if last else self.accelerator.no_sync(self.network):
                    with computing(self.recipe.precision, self.device):
                        loss = share * loss_of(self.network)
                    self.accelerator.backward(loss)
                losses.append(loss.detach())
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.schedule.step()
        if self.ema is not None:
            self.ema.step(self.parameters)
        self._losses.append(torch.stack(losses).sum())
        self.step += 1

    def report_if_due(self, report: ReportProgress) -> None:
        """Report every REPORT_EVERY steps and at the last; raises FloatingPointError for NaN."""
        if self.step % REPORT_EVERY and self.step != self.recipe.steps:
            return
        # The mean over workers: a NaN on one of them stops all of them at the same step.
        losses = self.accelerator.reduce(torch.stack(self._losses), "mean")
        self._losses.clear()
        broken = torch.nonzero(~torch.isfinite(losses)).flatten()
        if len(broken):
            first = int(broken[0])
            raise FloatingPointError(
                f"the loss is {losses[first].item()} at step "
                f"{self.step - len(losses) + first + 1} of {self.recipe.steps}; nothing was "
                f"published. Lower learning_rate, which is {self.recipe.learning_rate:g}"
            )
        metrics = {"loss": losses.mean().item(), "learning_rate": self.schedule.get_last_lr()[0]}
        self.history.append((self.step, metrics["loss"], metrics["learning_rate"]))
        report(self.step, metrics, self.save)

    def finish(self) -> nn.Module:
        """The trained, averaged network, to evaluate; raises FloatingPointError for NaN."""
        if self.ema is not None:
            self.ema.copy_to(self.parameters)
        if not all(bool(torch.isfinite(weights).all()) for weights in self.parameters):
            raise FloatingPointError(
                f"weights are NaN or infinite after step {self.step}; nothing was published. "
                f"Lower learning_rate, which is {self.recipe.learning_rate:g}"
            )
        return self.plain.to(memory_format=torch.contiguous_format).eval()

    def save(self, folder: Path) -> None:
        """Write a checkpoint into ``folder``."""
        folder.mkdir(parents=True, exist_ok=True)
        torch.save(
            {
                "step": self.step,
                "precision": self.recipe.precision,
                "history": self.history,
                "network": self.plain.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "schedule": self.schedule.state_dict(),
                "ema": None if self.ema is None else self.ema.state_dict(),
            },
            folder / _FILE,
        )

    def load(self, folder: Path) -> None:
        """Resume at a checkpoint; raises ValueError if it is damaged or of another training."""
        try:
            saved = torch.load(folder / _FILE, map_location=self.device, weights_only=True)
            self._restore(saved)
        except (OSError, RuntimeError, ValueError, KeyError, EOFError, pickle.PickleError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ValueError(
                f"the checkpoint {folder} does not fit this training ({reason}); "
                "deleting it restarts the training"
            ) from error

    def write_history(self, file: Path) -> None:
        """Write what was reported as CSV: step, mean loss since the report before, rate."""
        with file.open("w", newline="") as lines:
            writer = csv.writer(lines)
            writer.writerow(("step", "loss", "learning_rate"))
            writer.writerows(self.history)

    def _restore(self, saved: Mapping[str, Any]) -> None:
        if not 0 < saved["step"] <= self.recipe.steps:
            raise ValueError(f"step {saved['step']} of {self.recipe.steps}")
        if (saved["ema"] is None) != (self.ema is None):
            raise ValueError("only one of the two averages its weights")
        if (was := saved.get("precision", "fp32")) != self.recipe.precision:
            raise ValueError(f"it was trained in {was}, this is in {self.recipe.precision}")
        self.plain.load_state_dict(saved["network"])
        self.optimizer.load_state_dict(saved["optimizer"])
        self.schedule.load_state_dict(saved["schedule"])
        if self.ema is not None:
            self.ema.load_state_dict(saved["ema"])
        self.step = saved["step"]
        self.history = [tuple(row) for row in saved["history"]]

    def _dropout(self) -> AbstractContextManager[None]:
        if not self.has_dropout:
            return nullcontext()
        return randomness.torch_seeded(self.recipe.seed, "dropout", self.step, self.rank)


def averaged(parameters: list[nn.Parameter], decay: float | None) -> EMAModel | None:
    """Averaged weights with exactly ``decay`` a step.

    Without ``min_decay``, diffusers caps the decay at (1 + n) / (10 + n), which stays below 0.995
    for the first 1,790 steps.  Its first step copies the weights (``get_decay`` returns 0).
    """
    if decay is None:
        return None
    return EMAModel(parameters, decay=decay, min_decay=decay, foreach=True)


def accelerator(*, rank: int, workers: int) -> Accelerator:
    """An accelerator for this worker of ``workers``; RuntimeError if the group has other ranks."""
    # Accelerate keeps how many processes there are for the life of a process.
    if PartialState._shared_state and PartialState().num_processes != workers:
        AcceleratorState._reset_state(reset_partial_state=True)
    if not torch.cuda.is_available():  # Ray names the GPU of its books, which torch may not see
        os.environ.pop("ACCELERATE_TORCH_DEVICE", None)
    threads = torch.get_num_threads()
    made = Accelerator(cpu=not torch.cuda.is_available())
    torch.set_num_threads(threads)  # which accelerate changes when it joins a group of CPUs
    if (made.process_index, made.num_processes) != (rank, workers):
        raise RuntimeError(
            f"expected worker {rank} of {workers}, but the process group says "
            f"{made.process_index} of {made.num_processes}"
        )
    return made
