"""How fast this machine trains and samples, from a short measured step, kept in the store.

Settings know a rough cost of their own (``expected_seconds``), which is good for the digits.  For
other images one training step of each network and one batch of samples are timed, once a store and
machine, in a process of their own: ``plan`` itself never loads torch.  ``gpu_hours`` counts instead
of timing.
"""

import hashlib
import json
import pickle
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from models.randomness import generator
from orchestrator.graph.costs import evaluations, for_gpus, operations
from orchestrator.process import cores
from orchestrator.step import Step, ancestors, canonical
from orchestrator.store import cached
from orchestrator.store.store import Store
from orchestrator.studies.scales import LAPTOP
from tasks.steps.batches import Batch

ENOUGH_SECONDS = 2.0
"""Of measured work; then the rate is known well enough."""
FEW = 8
"""Images of the first, small batch; a whole one is timed only if it is expected to be quick."""
START_SECONDS = 3.0
"""Of imports and loading, before a step's first unit."""
NETWORK_UNKNOWN = ("sample", "denoise_classify", "dissect", "judge_accuracy", "attack")
"""Tasks whose settings do not say which network computes."""
CORE_RATE = 7e10
"""Floating-point operations a second of one core: a step of the authors' model takes it 400 s."""
UNCOUNTED = ("steps", "seed", "name", "n", "conditions", "guidance_weight", "sampler")
"""Settings that change how many units there are, not what one costs."""


class Rates:
    """Seconds a unit, by what is computed; a unit is a training step, or an evaluated image."""

    def __init__(self, store: Store) -> None:
        self.path = place(store)
        self.known: dict[str, float] = cached.read(self.path, cached.is_number)

    def seconds(self, step: Step) -> float | None:
        """Expected seconds of a step on one core, or None if nothing like it was measured."""
        rate = self.known.get(key(step) or "")
        return None if rate is None else START_SECONDS + rate * units(step)

    def keep(self, measured: Mapping[str, float]) -> bool:
        """Add rates and write all of them, and say whether they could be written."""
        self.known |= measured
        return cached.write(self.path, self.known)


def place(store: Store, *words: str) -> Path:
    """The file of a store that says something of machines like this one."""
    name = "-".join([*words, platform.machine(), str(cores()), "cores"])
    return store.root / ".pace" / f"{name}.json"


def key(step: Step) -> str | None:
    """What a step computes, short of how much of it; None for steps that are never measured."""
    if step.task == "sample":
        parts = [step.settings, step.inputs["model"].settings]
    elif step.shape == "fit":
        parts = [step.settings]
    else:
        return None
    bare = [
        {name: value for name, value in canonical(part).items() if name not in UNCOUNTED}
        for part in parts
    ]
    text = json.dumps([step.task, *bare], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def units(step: Step) -> int:
    """Training steps, or network evaluations of one image."""
    settings = step.settings
    if step.shape == "fit":
        return int(settings.steps)
    return int(settings.n * evaluations(settings))


def estimate(step: Step, rates: Mapping[str, float] | None = None) -> float:
    """Rough seconds of a step on one core: what its settings say, who may not know the network.

    Those of a detector estimate it with the digits' classifier; with another one it takes as many
    times longer as an update of that one does.  Those of samples and verdicts know nothing of a
    network: where its operations are known, they decide.

    Args:
        step: Any.
        rates: Measured seconds a unit, by ``key``.
    """
    seconds = float(step.settings.expected_seconds)
    if step.task in NETWORK_UNKNOWN and (count := operations(step)) > 0:  # NaN is not
        return max(seconds, count / CORE_RATE)
    classifier = _classifier_of(step)
    if classifier is None:
        return seconds
    rate = (rates or {}).get(key(classifier) or "")
    settings = classifier.settings
    own = _an_image(settings) if rate is None else rate / settings.batch_size
    return seconds * own / _an_image(LAPTOP.classifier)


def _classifier_of(step: Step) -> Step | None:
    """The classifier that a detector scores with, or is prepared on."""
    holder = step.inputs.get("prepared", step) if step.task == "detect" else step
    return holder.inputs.get("classifier") if holder.task == "prepare" else None


def _an_image(settings: Any) -> float:
    """Seconds of a classifier's update for each image of its batch, by its settings."""
    longer = replace(settings, steps=2 * settings.steps)
    spent: float = longer.expected_seconds - settings.expected_seconds
    return spent / (settings.steps * settings.batch_size)


def measure(targets: Iterable[Step], store: Store, say: Callable[[str], Any]) -> None:
    """Time what the targets need and the store has no rate for.

    What is meant for GPUs is timed only where there is one: a CPU's rate would say nothing of it.

    Args:
        targets: Steps of a plan; what they need is found from them.
        store: Keeps the rates.
        say: Told what is being done, if anything is.
    """
    steps = list(ancestors(targets))
    if for_gpus(steps) and not shutil.which("nvidia-smi"):
        return
    rates = Rates(store)
    named = [(name, step) for step in steps if (name := key(step)) and name not in rates.known]
    unknown: dict[str, Step] = {}
    with store.look(step for _, step in named):
        for name, step in named:
            if name not in unknown and not store.has(step):
                unknown[name] = step
    if not unknown:
        return
    if not rates.keep({}):
        say("nothing is timed, as it could not be kept; a rough guess:")
        return
    say(f"timing a step of {len(unknown)} kinds on this machine, once ...")
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator.graph.pace"],
        input=pickle.dumps(unknown),
        capture_output=True,
        cwd=Path(__file__).parents[2],
        check=False,
    )
    if done.returncode:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        say(f"it could not be timed ({lines[-1] if lines else 'no reason given'}); a rough guess:")
        return
    rates.keep(json.loads(done.stdout))


def time_fit(step: Step) -> float:
    """Seconds of one training step on one core."""
    settings = step.settings
    few = min(FEW, settings.batch_size)
    rate = _timed_fit(step, few, ENOUGH_SECONDS / 4) * settings.batch_size / few
    return rate if rate > ENOUGH_SECONDS else _timed_fit(step, settings.batch_size, ENOUGH_SECONDS)


def time_sampling(step: Step) -> float:
    """Seconds of one network evaluation of one image, within a batch."""
    from tasks.steps import train_diffusion

    model = step.inputs["model"].settings
    size = min(step.settings.batch_size, 2 * FEW)
    sampler = "heun" if model.noise_model == "edm" else "ddim"
    settings = replace(
        step.settings, conditions=(0,), sampler=sampler, steps=4, n=size, batch_size=size
    )
    with tempfile.TemporaryDirectory(prefix="castlewalls-") as folder:
        network: Any = train_diffusion.build(model)
        train_diffusion.model_of(model, network.eval()).save(Path(folder))
        worker = step.function(settings, model=Path(folder))
        began = time.perf_counter()
        worker(0, size)
        taken = time.perf_counter() - began
    return taken / units(Step(settings, {"model": step.inputs["model"]}))


class _Enough(Exception):
    """Enough was timed; it ends the training loop from within its batches."""


class _TimedBatches:
    """Batches of noise that stop the training once enough of it was timed."""

    rank, workers, per_epoch = 0, 1, sys.maxsize

    def __init__(self, settings: Any, size: int, enough: float) -> None:
        rng = generator(0, "timing")
        shape = (size, settings.image_size, settings.image_size, settings.channels)
        self.batch = Batch(
            index=np.arange(size),
            image=rng.integers(0, 256, shape, dtype=np.uint8),
            label=rng.integers(0, settings.classes, size),
        )
        self.enough = enough
        self.asked: list[float] = []

    def __call__(self, epoch: int, first: int = 0) -> Iterator[Batch]:  # noqa: ARG002
        while True:
            self.asked.append(time.perf_counter())
            if len(self.asked) > 2 and self.asked[-1] - self.asked[1] > self.enough:
                raise _Enough
            yield self.batch

    @property
    def seconds(self) -> float:
        """Of one step, the first left out."""
        return (self.asked[-1] - self.asked[1]) / (len(self.asked) - 2)


def _timed_fit(step: Step, size: int, enough: float) -> float:
    settings = replace(step.settings, batch_size=size, steps=max(step.settings.steps, 10_000))
    batches = _TimedBatches(settings, size, enough)
    with tempfile.TemporaryDirectory(prefix="castlewalls-") as folder:
        try:
            step.function(
                settings,
                out=Path(folder),
                batches=batches,
                report=lambda *_: None,
                resume=None,
            )
        except _Enough:
            pass
    return batches.seconds


def _main() -> None:
    """Time the steps that come pickled on standard input; rates go to standard output."""
    steps: dict[str, Step] = pickle.load(sys.stdin.buffer)  # from the process that started this
    answer, sys.stdout = sys.stdout, sys.stderr  # libraries print
    rates = {
        name: time_fit(step) if step.shape == "fit" else time_sampling(step)
        for name, step in steps.items()
    }
    answer.write(json.dumps(rates))


if __name__ == "__main__":
    _main()
