"""How fast this machine's GPU, or else a CPU core, computes networks: training steps are timed."""

import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from models.randomness import generator
from orchestrator.graph.costs import BACKWARD, for_gpus, network_of, networks
from orchestrator.graph.operations import forward
from orchestrator.step import Step
from tasks.steps.batches import Batch, Held

WARM = 3  # steps before timing begins: the first one compiles
SECONDS = 5.0  # how long steps of a network are timed


class _TimedEnough(Exception):
    """Ends a training."""


@dataclass(frozen=True, kw_only=True)
class _Timed(Held):
    """Made-up batches; the time from one to the next is a step's."""

    seconds: float
    found: list[float] = field(default_factory=list)
    """Seconds of a step, once they are known."""

    def __call__(self, first: int, last: int) -> Iterator[Batch]:
        """Batches until there were enough of them."""
        began, done = 0.0, 0
        for done, batch in enumerate(super().__call__(first, last)):
            if done == WARM:
                _wait()
                began = time.perf_counter()
            elif done > WARM and time.perf_counter() - began > self.seconds:
                done -= 1
                break
            yield batch
        _wait()
        self.found.append((time.perf_counter() - began) / (done + 1 - WARM))
        raise _TimedEnough


def _wait() -> None:
    """Wait until the GPU has done what it was given."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.synchronize()


def step_seconds(settings: Any, seconds: float = SECONDS) -> float:
    """Seconds of a training step with these settings, on random images.

    Raises as the training does, such as ValueError for a precision that a GPU does not have.
    """
    n, draws = settings.batch_size, generator(0, "images to time")
    shape = (n, settings.image_size, settings.image_size, settings.channels)
    timed = _Timed(
        index=np.arange(n),
        image=draws.integers(0, 256, shape, dtype=np.uint8),
        label=draws.integers(0, settings.classes, n),
        batch_size=n,
        seed=0,
        seconds=seconds,
    )
    settings = replace(settings, steps=max(settings.steps, 2 * WARM))
    fit = import_module(type(settings).__module__).fit
    with tempfile.TemporaryDirectory() as out, suppress(_TimedEnough):
        fit(settings, out=Path(out), batches=timed, report=lambda *_: None, resume=None)
    return timed.found[0]


def _trained_alone(settings: Any) -> bool:
    return hasattr(import_module(type(settings).__module__), "fit")


def rates(steps: Iterable[Step]) -> dict[str, float]:
    """Operations a second in training, by ``network_of`` each network that the steps compute with.

    Raises ValueError if there is no GPU for what a CPU would take hours to take a step of.
    """
    import torch

    steps = list(steps)
    if for_gpus(steps) and not torch.cuda.is_available():
        raise ValueError(
            "--pace takes some steps of each network: expected a GPU that torch sees for networks "
            "of this size, found none. Run it on the machine with the GPU, or leave --pace out."
        )
    kinds = {network_of(settings): settings for step in steps for settings in networks(step)}
    if any(not _trained_alone(settings) for settings in kinds.values()):
        raise ValueError(
            "--pace times networks that are trained from random weights; leave it out for "
            "text-to-image models, whose pipeline has to be there first."
        )
    return {
        name: (1 + BACKWARD) * forward(settings) * settings.batch_size / step_seconds(settings)
        for name, settings in kinds.items()
    }


def device() -> str:
    """What is timed, in words."""
    import torch

    return torch.cuda.get_device_name() if torch.cuda.is_available() else "one CPU core"
