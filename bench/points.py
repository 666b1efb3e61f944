"""What many points cost: planning them, those that are cached, and the memory of who drives them.

``python bench/points.py`` measures all three; ``--points 100`` is quicker.
"""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import psutil
from overhead import CASTLEWALLS, MOST_SECONDS, _environment, command_seconds

from orchestrator.step import Step, ancestors
from orchestrator.store.store import Store
from orchestrator.studies.amplification import AMPLIFICATION
from orchestrator.studies.scales import LAPTOP, TINY
from orchestrator.studies.study import Point, Study

POINTS = 1000
A_SEED = len(AMPLIFICATION.points(LAPTOP, AMPLIFICATION.chosen(LAPTOP)))
"""Points of the study for each seed at scale laptop."""
CACHED, NEW = 40, 10
"""Points of the run that finds most of them finished."""
ONE_MODEL = ["--scale", "tiny", "--trigger", "badnets1", "--poison-ratio", "0.1"]
"""Axes that share judges and a model, so that a point is samples, verdicts and a row."""
WEIGHT = "0.5"
"""Guidance weight of the point that is made beforehand."""
LOOK_SECONDS = 0.2
"""Between two looks at the processes' memory."""
DRIVING = "driving"
"""The argument with which this file drives a run for another process to look at."""


@dataclass(frozen=True)
class Planning:
    """Seconds of ``castlewalls plan``, run by run, by what the store holds of the points."""

    points: int
    steps: int
    seconds: dict[str, list[float]]


@dataclass(frozen=True)
class Finding:
    """Seconds of runs that make NEW points: with CACHED finished ones among theirs, and without."""

    together: list[float]
    alone: list[float]

    @property
    def differences(self) -> list[float]:
        """What the finished ones took, pair by pair."""
        return [both - new for both, new in zip(self.together, self.alone, strict=True)]


@dataclass
class Memory:
    """Most resident memory during a run, bytes."""

    points: int
    seconds: float = 0.0
    driver: int = 0
    conductor: int = 0
    rows: int = 0
    """Of ``results.csv``: points that came to their end."""


@dataclass(frozen=True)
class Points:
    """All of it."""

    planning: Planning
    finding: Finding
    memory: list[Memory] = field(default_factory=list)
    """Of a few points, and of many."""


def planning(folder: Path, points: int, times: int) -> Planning:
    """Plan the study at scale laptop with many seeds, in stores with nothing, half and all of it.

    Half is the hard one: every missing step is compared to every finished one of its task.
    """
    seeds = -(-points // A_SEED)
    wanted = _laptop(seeds)
    stores = {"nothing": 0, "half": seeds // 2, "all": seeds}
    words = ["plan", "amplification", "--seed", ",".join(map(str, range(seeds))), "--store"]
    seconds = {}
    for name, done in stores.items():
        pretend(_laptop(done), store := Store(folder / name))
        seconds[name] = command_seconds([*words, str(store.root)], times)
    steps = sum(1 for _ in ancestors(point.measure for point in wanted))
    return Planning(len(wanted), steps, seconds)


def _laptop(seeds: int) -> Sequence[Point]:
    if not seeds:
        return []
    return AMPLIFICATION.points(
        LAPTOP, AMPLIFICATION.chosen(LAPTOP).with_values(seed=tuple(range(seeds)))
    )


def pretend(points: Sequence[Point], store: Store) -> None:
    """Publish a result of the right name and nothing in it for every step of the points."""
    for step in ancestors(point.measure for point in points):
        with store.publish(step) as attempt:
            for name in ("metrics.json", "model.json", "rows.parquet"):
                (attempt.folder / name).write_bytes(bytes(100))
            attempt.facts["seconds"] = 1.0


def finding(folder: Path, pairs: int) -> Finding:
    """Run fifty points of which forty are finished, and the other ten without those."""
    weights = [f"{1.5 + place / 100:g}" for place in range(CACHED + NEW)]
    model, most = folder / "model", folder / "most"
    _run(model, [WEIGHT])  # judges, the model, and the other classes' samples
    shutil.copytree(model, most)
    _run(most, weights[:CACHED])
    taken: dict[str, list[float]] = {"together": [], "alone": []}
    for pair in range(pairs):
        ways = [("together", most, weights), ("alone", model, weights[CACHED:])]
        for name, start, asked in ways if pair % 2 else reversed(ways):
            shutil.copytree(start, copy := folder / f"{name}-{pair}")
            taken[name].append(_run(copy, asked))
            shutil.rmtree(copy)
    return Finding(**taken)


def _run(store: Path, weights: Sequence[str]) -> float:
    words = ["run", "amplification", *ONE_MODEL, "--guidance-weight", ",".join(weights)]
    began = time.perf_counter()
    subprocess.run(
        [CASTLEWALLS, *words, "--store", str(store)],
        capture_output=True,
        text=True,
        check=True,
        timeout=MOST_SECONDS,
        env=_environment(),
    )
    return time.perf_counter() - began


def memory(folder: Path, points: int) -> Memory:
    """Run a study of so many points and look at its driver and its conductor meanwhile.

    Every point is real (a trial, a step, a row, a run in MLflow) but cheap: all are measured
    on the images of one model.
    """
    _run(folder / "store", [WEIGHT])  # the images; in another process, as it loads torch
    found, began = Memory(points), time.perf_counter()
    words = [sys.executable, __file__, DRIVING, str(folder), str(points)]
    with (folder / "log").open("w") as log:
        driver = subprocess.Popen(words, stdout=log, stderr=subprocess.STDOUT, env=_environment())
        ended = threading.Event()
        looking = threading.Thread(target=_look, args=(driver.pid, found, ended), daemon=True)
        looking.start()
        try:
            code = driver.wait(timeout=20 * MOST_SECONDS)
        finally:
            driver.terminate()  # nothing, if it has ended
            ended.set()
            looking.join()
    if code:
        raise RuntimeError((folder / "log").read_text()[-2000:])
    found.seconds = time.perf_counter() - began
    [table] = folder.glob("store/reports/points-*/results.csv")
    found.rows = len(table.read_text().splitlines()) - 1
    return found


def _look(driver: int, found: Memory, ended: threading.Event) -> None:
    """Keep the most that driver and conductor hold, until the end."""
    process = psutil.Process(driver)
    conductor: psutil.Process | None = None
    while not ended.wait(LOOK_SECONDS):
        try:
            found.driver = max(found.driver, process.memory_info().rss)
            if conductor is None:
                children = process.children(recursive=True)
                named = [child for child in children if "Conductor" in "".join(child.cmdline())]
                conductor = next(iter(named), None)
            if conductor is not None:
                found.conductor = max(found.conductor, conductor.memory_info().rss)
        except psutil.NoSuchProcess:
            continue


def drive(folder: Path, points: int) -> None:
    """Run a study of so many points whose rows are all measured on the same images."""
    from rich.console import Console

    from orchestrator.run.request import Request
    from orchestrator.run.run import run

    store = Store(folder / "store")
    weights = (float(WEIGHT),)
    axes = AMPLIFICATION.chosen(TINY).with_values(
        trigger=("badnets1",), poison_ratio=(0.1,), guidance_weight=weights
    )
    [point] = AMPLIFICATION.points(TINY, axes)

    def many(*_: object) -> Sequence[Point]:
        return [_reseeded(point, seed) for seed in range(points)]

    study = Study(
        name="points",
        title="Many points",
        paper="none",
        question="What do many points cost?",
        points=many,
    )
    swept = axes.with_values(seed=tuple(range(points)))
    run(Request(study=study, scale=TINY, axes=swept, store=store), Console(width=120))


def _reseeded(point: Point, seed: int) -> Point:
    """The same point but for the draws of its corrections' intervals."""
    settings = replace(point.measure.settings, seed=seed)
    return Point(axes={**point.axes, "seed": seed}, measure=Step(settings, point.measure.inputs))


def measured(folder: Path, points: int, times: int) -> Points:
    """Measure everything."""
    parts = {name: folder / name for name in ("planning", "finding", "few", "many")}
    for part in parts.values():
        part.mkdir(parents=True)
    return Points(
        planning(parts["planning"], points, times),
        finding(parts["finding"], times),
        [memory(parts["few"], 10), memory(parts["many"], points)],
    )


def main() -> None:
    """Measure and print as JSON."""
    if sys.argv[1:2] == [DRIVING]:
        drive(Path(sys.argv[2]), int(sys.argv[3]))
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=POINTS)
    parser.add_argument("--times", type=int, default=3, help="Runs of each command.")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="castlewalls-bench-") as scratch:
        found = measured(Path(scratch), asked.points, asked.times)
    print(json.dumps(found, indent=1, default=vars))


if __name__ == "__main__":
    main()
