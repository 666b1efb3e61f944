"""Training and sampling under Ray against the bare loop, in turns."""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from orchestrator.run.placement import Placement
from orchestrator.step import Step, ancestors
from orchestrator.store.store import Store
from orchestrator.studies.amplification import AMPLIFICATION
from orchestrator.studies.scales import LAPTOP

BARE = Path(__file__).with_name("bare.py")
NICENESS = int(os.environ.get("RAY_worker_niceness", "15"))
"""What Ray gives its workers; the bare loop gets the same, or it would win every contest."""
MOST_SECONDS = 120.0
"""Of one measured run."""


@dataclass(frozen=True)
class Duel:
    """One quantity measured both ways, run by run."""

    unit: str
    ours: list[float]
    bare: list[float]
    ray_start: list[float]
    """Seconds until Ray answers."""
    step_start: list[float]
    """Seconds from a step's start to its first batch: its process, imports, model, data."""

    @property
    def ratio(self) -> float:
        """Median of ours over median of theirs."""
        return statistics.median(self.ours) / statistics.median(self.bare)

    @property
    def ratios(self) -> list[float]:
        """Ours over the bare run right after it."""
        return [ours / bare for ours, bare in zip(self.ours, self.bare, strict=True)]


def training(folder: Path, runs: int, batches: int, enough: Callable[[], bool]) -> Duel:
    """Training steps a second; a step is a batch, and the first 50 are not timed."""
    scale = replace(LAPTOP, diffusion=replace(LAPTOP.diffusion, steps=batches))
    steps = _steps(scale, "train_diffusion", runs)
    return _duel("train", "steps/s", steps, folder, batches, 50, enough)


def sampling(folder: Path, runs: int, batches: int, enough: Callable[[], bool]) -> Duel:
    """Sampled images a second, from a network hardly trained; the first batch is not timed."""
    images = batches * LAPTOP.generations.batch_size
    scale = replace(
        LAPTOP,
        diffusion=replace(LAPTOP.diffusion, steps=10),
        generations=replace(LAPTOP.generations, n=images),
    )
    steps = _steps(scale, "sample", runs)
    return _duel("sample", "images/s", steps, folder, batches, 1, enough)


def _steps(scale: Any, task: str, runs: int) -> list[Step]:
    """The study's own steps of this task, one a seed, at the bare loop's guidance weight."""
    axes = replace(
        scale.axes,
        trigger=("badnets1",),
        poison_ratio=(0.1,),
        guidance_weight=(2.0,),
        seed=tuple(range(runs)),
    )
    points = AMPLIFICATION.points(scale, axes)
    found = [step for step in ancestors([point.measure for point in points]) if step.task == task]
    return [step for step in found if len(getattr(step.settings, "conditions", (8,))) == 1]


def _duel(
    what: str,
    unit: str,
    steps: list[Step],
    folder: Path,
    batches: int,
    untimed: int,
    enough: Callable[[], bool],
) -> Duel:
    duel = Duel(unit, [], [], [], [])
    store = Store(folder / what)
    size = steps[0].settings.batch_size
    images = size if what == "sample" else 1
    for step in steps:
        rate, ray_start, step_start = _under_ray(step, store)
        duel.ours.append(rate)
        duel.ray_start.append(ray_start)
        duel.step_start.append(step_start)
        found = _bare(what, batches, size, untimed)
        duel.bare.append(found["batches_per_second"] * images)
        trained = step if what == "train" else step.inputs["model"]
        if found["parameters"] != _parameters(store.folder(trained)):
            raise ValueError(f"{BARE.name} and the laptop scale do not have the same network")
        if enough():
            break
    return duel


def _under_ray(step: Step, store: Store) -> tuple[float, float, float]:
    """The step's rate as its progress says it, and how long Ray and then the step took to start."""
    from orchestrator.run import cluster, conductor_actor

    began = time.time()
    with cluster.connected(None, dashboard=False, verbose=False):
        import ray

        ray_start = time.time() - began
        conductor = conductor_actor.ConductorHandle([step], store, Placement())
        actor = conductor.actor
        finished = actor.finish.remote(step.digest)
        news = []
        while not ray.wait([finished], timeout=0.2)[0]:
            news += conductor.poll()
            if time.time() - began > MOST_SECONDS:
                raise TimeoutError(f"{step.path} took more than {MOST_SECONDS:.0f} s")
        ray.get(finished)
        events = [event for event in [*news, *conductor.poll()] if event["path"] == step.path]
    started = next(event["time"] for event in events if event["kind"] == "started")
    progress = [event for event in events if event["kind"] == "progress"]
    first, last = progress[0], progress[-1]
    rate = (last["position"] - first["position"]) / (last["time"] - first["time"])
    return rate, ray_start, first["time"] - started - first["position"] / rate


def _bare(what: str, batches: int, size: int, untimed: int) -> dict[str, float]:
    sizes = {"--batches": batches, "--batch-size": size, "--untimed": untimed}
    words = [word for name, value in sizes.items() for word in (name, str(value))]
    done = subprocess.run(
        ["nice", "-n", str(NICENESS), sys.executable, str(BARE), what, *words],
        capture_output=True,
        text=True,
        check=True,
        timeout=MOST_SECONDS,
    )
    return dict(json.loads(done.stdout))


def _parameters(model: Path) -> int:
    """How many the saved network has."""
    from safetensors.numpy import load_file

    [weights] = (model / "unet").glob("*.safetensors")
    return sum(weight.size for weight in load_file(weights).values())
