"""What the orchestration costs: the whole `tiny` study, and the commands that start nothing.

Everything is seen from outside: when lines arrive, what events and records say, when files changed.
"""

import json
import os
import re
import sqlite3
import statistics
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from bench.local import run_in_process
from orchestrator.process import cores
from orchestrator.step import ancestors
from orchestrator.store.store import Store
from orchestrator.studies.amplification import AMPLIFICATION
from orchestrator.studies.scales import TINY

CASTLEWALLS = Path(sys.executable).with_name("castlewalls")
LINE = re.compile(r"\s*([\d.]+) s +(started|done) +(\S+) *(?:\(\d+/\d+, ([\d.]+) s\))?")
"""A line of the progress that is printed where there is no terminal."""
MOST_SECONDS = 240.0


@dataclass(frozen=True)
class Overhead:
    """One run of the whole study, in seconds."""

    wall: float
    own: float
    """Sum of the steps' own, from their records."""
    warm: float
    """Sum of the same, one after the other in one process that has everything imported."""
    cores: int
    parts: dict[str, float]
    """One after the other, from the command to its end: their sum is ``wall``."""
    inside: dict[str, float]
    """Core-seconds of the part in which steps ran: their sum is ``cores`` times that part."""


def command_seconds(words: list[str], runs: int) -> list[float]:
    """How long a command takes, run by run."""
    taken = []
    for _ in range(runs):
        began = time.perf_counter()
        subprocess.run(
            [CASTLEWALLS, *words],
            stdout=subprocess.DEVNULL,
            check=True,
            timeout=60,
            env=_environment(),
        )
        taken.append(time.perf_counter() - began)
    return taken


def tiny(folder: Path) -> Overhead:
    """Run the study once into a fresh store, take its time apart, and run its steps warm."""
    store = Store(folder / "tiny")
    words = ["amplification", "--scale", "tiny", "--store", str(store.root)]
    planned = statistics.median(command_seconds(["plan", *words], 3))
    began = time.time()
    lines = _run(["run", *words])
    ended = time.time()

    shown = next(when for when, text in lines if " steps to run, " in text)
    events = [(shown + float(match[1]), match) for _, text in lines if (match := LINE.match(text))]
    first = min(when for when, match in events if match[2] == "started")
    last = max(when for when, match in events if match[2] == "done")
    page = store.root / "reports" / "amplification-tiny"
    marks = {
        "command, plan": began + planned,
        "Ray and Tune: import; Ray: start": shown,
        "Tune: first trial; conductor": first,
        "steps": last,
        "Tune: end": _changed(store.root / "tune"),
        "Ray: end; report's imports": (page / "results.csv").stat().st_mtime,
        "report": _changed(page),
        "MLflow: the rest": _mirrored(store.root / "mlflow.db"),
        "table, exit": ended,
    }
    parts, before = {}, began
    for name, mark in marks.items():
        parts[name] = max(0.0, mark - before)
        before += parts[name]

    targets = [point.measure for point in AMPLIFICATION.points(TINY, AMPLIFICATION.chosen(TINY))]
    steps = {step.path: step for step in ancestors(targets)}
    own = {path: store.record(step)["seconds"] for path, step in steps.items()}
    held = {match[3]: float(match[4]) for _, match in events if match[2] == "done"}
    extra = {path: held[path] - own[path] for path in held}
    fits = sum(seconds for path, seconds in extra.items() if steps[path].shape == "fit")
    warm = _warm_seconds(folder / "warm")
    inside = {
        "steps' own, warm": warm,
        "steps' own: imports, side by side": sum(own.values()) - warm,
        "trainings: Ray Data, worker processes": fits,
        "other steps: tasks, worker processes": sum(extra.values()) - fits,
        "cores idle": cores() * parts["steps"] - sum(held.values()),
    }
    return Overhead(ended - began, sum(own.values()), warm, cores(), parts, inside)


def _run(words: list[str]) -> list[tuple[float, str]]:
    """Run a command and return its lines, each with when it came."""
    lines = []
    with subprocess.Popen(
        ["timeout", str(MOST_SECONDS), CASTLEWALLS, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=_environment(),
    ) as process:
        assert process.stdout is not None
        try:
            for text in process.stdout:
                lines.append((time.time(), text))
        except BaseException:
            process.terminate()  # else it would be waited for
            raise
    if process.returncode:
        said = "".join(text for _, text in lines[-3:])
        raise subprocess.CalledProcessError(
            process.returncode, ["castlewalls", *words], stderr=said
        )
    return lines


def _environment() -> dict[str, str]:
    """This one, without a store or an MLflow server of the user's."""
    ours = {"CASTLEWALLS_STORE", "MLFLOW_TRACKING_URI"}
    kept = {name: value for name, value in os.environ.items() if name not in ours}
    return {**kept, "PYTHONUNBUFFERED": "1"}


def _warm_seconds(root: Path) -> float:
    """Sum of the steps' own seconds in this process, everything imported before."""
    import matplotlib.pyplot  # noqa: F401
    import sklearn.datasets  # noqa: F401

    import models.classifiers
    import models.ddpm
    import models.sampling
    import models.training  # noqa: F401

    store = Store(root)
    targets = [point.measure for point in AMPLIFICATION.points(TINY, AMPLIFICATION.chosen(TINY))]
    run_in_process(targets, store)
    return sum(store.record(step)["seconds"] for step in ancestors(targets))


def _mirrored(database: Path) -> float:
    """When the last MLflow run ended; the file itself is written to again when it is closed."""
    with closing(sqlite3.connect(database)) as connection:
        [[milliseconds]] = connection.execute("SELECT max(end_time) FROM runs")
    return float(milliseconds) / 1000


def _changed(folder: Path) -> float:
    """When a file of the folder was last written to."""
    return max(path.stat().st_mtime for path in folder.rglob("*") if path.is_file())


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory(prefix="castlewalls-bench-") as scratch:
        print(json.dumps(vars(tiny(Path(scratch))), indent=1))
