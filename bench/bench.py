"""What the orchestration costs, measured on this machine: `make bench`, or `bench.py --help`.

A benchmark, not a test: it says what was met and what was not, and fails only if it cannot measure.
``--only points`` is not among what is measured by default: a thousand points take minutes.
"""

import argparse
import json
import os
import platform
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NoReturn

import classifier
import detection
import guidance
import overhead
import points
import psutil
import rates
import streaming
from rich.console import Console
from rich.table import Table

from orchestrator.studies.scales import LAPTOP

RESULTS = Path(__file__).with_name("results")
MOST_SECONDS = 900.0
"""Of the whole benchmark; what is being measured then is given up."""
TOO_SLOW = f"the benchmark ends after {MOST_SECONDS:.0f} s; is the machine idle?"
BUSY = 0.15
"""Cores that others may use before figures are called noisy."""
RATIO, HELP, PLAN, EPOCH, MEMORY, PLAN_MANY = 0.95, 0.5, 2.0, 1.3, 1.3, 5.0
FEWER_CALLS, AGREEMENT = 2.0, 0.99
"""Targets: the first and the last two at least, the others at most."""

console = Console(highlight=False)


def main() -> int:
    """Measure what was asked for, show it, and keep it."""
    sections: dict[str, Callable[[Path, argparse.Namespace, float], Any]] = {
        "commands": _commands,
        "epochs": _epochs,
        "memory": _memory,
        "training": _training,
        "sampling": _sampling,
        "guidance": _guidance,
        "detection": _detection,
        "classifier": _classifier,
        "tiny": _tiny,
        "points": _points,
    }
    usual = [name for name in sections if name != "points"]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=sections, nargs="+", default=usual)
    parser.add_argument("--runs", type=int, default=3, help="Pairs of runs of each rate.")
    parser.add_argument("--quick", action="store_true", help="Short runs, to try the benchmark.")
    asked = parser.parse_args()

    signal.signal(signal.SIGALRM, _give_up)
    load = [_load("before")]
    began = time.monotonic()
    found: dict[str, Any] = {}
    failed = False
    for name in asked.only:
        console.print(f"{time.monotonic() - began:4.0f} s  {name} ...", style="dim")
        with tempfile.TemporaryDirectory(prefix="castlewalls-bench-") as scratch:
            try:
                left = MOST_SECONDS - (time.monotonic() - began)
                signal.setitimer(signal.ITIMER_REAL, max(left, 1e-3))
                found[name] = sections[name](Path(scratch), asked, began)
            except Exception as error:  # the other sections are still worth measuring
                failed = True
                output = getattr(error, "stderr", None) or ""
                late = time.monotonic() - began >= MOST_SECONDS
                reason = TOO_SLOW if late else f"{error} {output}"
                console.print(f"{name} could not be measured: {reason}", markup=False)
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
    load.append(_load("after"))
    console.print(f"{time.monotonic() - began:4.0f} s  done", style="dim")

    _show(found)
    _keep({"load": load, "runs": asked.runs, "quick": asked.quick, **found})
    return int(failed)


def _give_up(*_: object) -> NoReturn:
    raise TimeoutError(TOO_SLOW)


def _load(when: str) -> dict[str, float]:
    """Say so when something else keeps cores busy: nothing of ours runs at this moment."""
    cores = psutil.cpu_count() or 1
    busy = psutil.cpu_percent(interval=2.0) / 100 * cores
    average = os.getloadavg()[0]
    if busy > BUSY:
        console.print(
            f"{when} the benchmark something else used {busy:.1f} of {cores} cores "
            f"(load average {average:.1f}): the figures are noisy; run it on an idle machine.",
            style="yellow",
        )
    return {"busy_cores": busy, "load_average": average}


def _commands(scratch: Path, asked: argparse.Namespace, _: float) -> dict[str, list[float]]:
    times = 2 if asked.quick else 5
    plan = ["plan", "amplification", "--store", str(scratch / "empty")]
    return {
        "--help": overhead.command_seconds(["--help"], times),
        "plan": overhead.command_seconds(plan, times),
    }


def _epochs(scratch: Path, asked: argparse.Namespace, _: float) -> streaming.Epochs:
    return streaming.epochs(scratch, 2 if asked.quick else 5)


def _memory(scratch: Path, *_: Any) -> streaming.Memory:
    return streaming.memory(scratch)


def _training(scratch: Path, asked: argparse.Namespace, began: float) -> rates.Duel:
    return rates.training(scratch, asked.runs, 100 if asked.quick else 250, _enough(began, 0.5))


def _sampling(scratch: Path, asked: argparse.Namespace, began: float) -> rates.Duel:
    return rates.sampling(scratch, asked.runs, 3 if asked.quick else 7, _enough(began, 0.8))


def _guidance(_: Path, asked: argparse.Namespace, began: float) -> guidance.Passes:
    batch = LAPTOP.generations.batch_size
    return guidance.passes(1 if asked.quick else 5, batch, _enough(began, 0.85))


def _detection(_: Path, asked: argparse.Namespace, began: float) -> detection.Distilling:
    return detection.distilling(1 if asked.quick else 5, _enough(began, 0.9))


def _classifier(scratch: Path, asked: argparse.Namespace, began: float) -> classifier.Classifying:
    images, steps = ((10, 20), 100) if asked.quick else ((20, 100), classifier.TRAINING_STEPS)
    return classifier.classifying(scratch, *images, steps, _enough(began, 0.75))


def _tiny(scratch: Path, *_: Any) -> overhead.Overhead:
    return overhead.tiny(scratch)


def _points(scratch: Path, asked: argparse.Namespace, _: float) -> points.Points:
    few = 1 if asked.quick else 3
    return points.measured(scratch, points.POINTS // 10 if asked.quick else points.POINTS, few)


def _enough(began: float, share: float) -> Callable[[], bool]:
    return lambda: time.monotonic() - began > share * MOST_SECONDS


def _show(found: dict[str, Any]) -> None:
    """Print targets and what was measured, then where the time goes."""
    table = Table("", "target", "measured", "range", "met", box=None, pad_edge=False)
    for name in ("training", "sampling"):
        if duel := found.get(name):
            _add(table, f"{name} under Ray / bare loop", duel.ratios, "", duel.ratio, RATIO, True)
            _add(table, f"  under Ray, {duel.unit}", duel.ours)
            _add(table, f"  bare loop, {duel.unit}", duel.bare)
            _add(table, "  not counted: Ray's start, s", duel.ray_start)
            _add(table, "  not counted: the step's start, s", duel.step_start)
    for name, most in (("--help", HELP), ("plan", PLAN)):
        if taken := found.get("commands", {}).get(name):
            _add(table, f"castlewalls {name}", taken, " s", statistics.median(taken), most, False)
    if passes := found.get("guidance"):
        _add(table, "guidance, one pass / two", passes.ratios, "", passes.ratio)
        _add(table, f"  {passes.images} images in one pass a step, s", passes.together)
        _add(table, "  in two passes a step, s", passes.apart)
    if distilling := found.get("detection"):
        _add_distilling(table, distilling)
    if classifying := found.get("classifier"):
        _add_classifying(table, classifying)
    if epochs := found.get("epochs"):
        _add_epochs(table, epochs)
    if memory := found.get("memory"):
        _add_memory(table, memory)
    if many := found.get("points"):
        _add_points(table, many)
    if table.row_count:
        console.print(table)
    if tiny := found.get("tiny"):
        console.print(_of_tiny(tiny))


def _add_distilling(table: Table, distilling: detection.Distilling) -> None:
    """What optimizing a whole batch of masks at once is worth."""
    whole, *smaller = detection.BATCHES
    for size in smaller:
        name = f"cd, a batch of {whole} / of {size}"
        _add(
            table,
            name,
            distilling.speedup(size),
            "",
            distilling.rate(whole) / distilling.rate(size),
        )
    for size in detection.BATCHES:
        name = f"  batches of {size}, images/s at {distilling.steps} steps"
        _add(table, name, distilling.rates[size])


def _add_classifying(table: Table, found: classifier.Classifying) -> None:
    """What one pass for all filter ratios saves, and what elimination does."""
    together, apart = found.together, found.apart
    name = f"filter ratios, a pass for each / one for all {found.ratios}, calls"
    _add(table, name, [apart.calls / together.calls])
    for words, way in (("in one pass", together), ("a pass for each", apart)):
        _add(table, f"  {words}: {way.calls:,} calls of {found.images} images, s", way.seconds)
    _add(table, "  share of equal answers", [found.equal])
    if not found.more_images:
        return
    whole, fewer = found.whole, found.eliminated
    name = f"classes dropped, calls without / with, {found.draws} draws"
    _add(table, name, [whole.calls / fewer.calls], "", None, FEWER_CALLS)
    for words, way in (("without", whole), ("with", fewer)):
        _add(table, f"  {words}: {way.calls:,} calls of {found.more_images} images, s", way.seconds)
    _add(table, "  share of equal answers", [found.agreement], "", None, AGREEMENT)


def _add_epochs(table: Table, epochs: streaming.Epochs) -> None:
    """What a training set costs an epoch, from memory and from its file."""
    bare = statistics.median(epochs.bare)
    held, restreamed = ([taken / bare for taken in way] for way in (epochs.held, epochs.restreamed))
    _add(table, "an epoch, held / bare loop", held, "", None, EPOCH, False)
    _add(table, "  bare loop, s", epochs.bare)
    _add(table, "  re-streamed / bare loop", restreamed)
    per_image = [1e6 * taken / epochs.images for taken in epochs.restreamed]
    _add(table, "  re-streamed, µs an image", per_image)


def _add_memory(table: Table, memory: streaming.Memory) -> None:
    """What re-streaming holds, whatever the size of the set."""
    few, many = sorted(memory.peaks)
    _add(table, f"peak memory, {many:,} / {few:,}", [memory.ratio], "", None, MEMORY, False)
    for n in (few, many):
        _add(table, f"  {n:,} re-streamed images, MiB", [memory.peaks[n] / 2**20])
        _add(table, "    before the first batch, MiB", [memory.before[n] / 2**20])


def _add_points(table: Table, many: points.Points) -> None:
    """What thousands of steps cost before anything runs, and who remembers them."""
    planned = many.planning
    for done, seconds in planned.seconds.items():
        name = f"plan {planned.points:,} points, {done} finished"
        _add(table, name, seconds, " s", None, PLAN_MANY, False)
    name = f"{points.CACHED} finished points beside {points.NEW} new ones, s"
    _add(table, name, many.finding.differences)
    _add(table, "  all of them", many.finding.together, " s")
    _add(table, "  the new ones alone", many.finding.alone, " s")
    for run in many.memory:
        _add(table, f"a run of {run.points:,} points: driver, MiB", [run.driver / 2**20])
        _add(table, "  conductor, MiB", [run.conductor / 2**20])
        _add(table, "  taken", [run.seconds], " s")


def _add(
    table: Table,
    name: str,
    values: Sequence[float],
    unit: str = "",
    median: float | None = None,
    target: float | None = None,
    at_least: bool = True,
) -> None:
    median = statistics.median(values) if median is None else median
    goal = met = ""
    if target is not None:
        goal = f"{'≥' if at_least else '<'} {target:g}{unit}"
        met = "yes" if (median >= target if at_least else median < target) else "no"
    span = f"{min(values):.3g} .. {max(values):.3g} ({len(values)})"
    table.add_row(name, goal, f"{median:.3g}{unit}", span, met)


def _of_tiny(tiny: overhead.Overhead) -> Table:
    """Where the wall time of the whole study goes."""
    table = Table("the whole study at scale tiny", "seconds", box=None, pad_edge=False)
    steps = tiny.parts["steps"]
    rows = {
        "from the command to its end": tiny.wall,
        "sum of the steps' own seconds": tiny.own,
        "overhead: the first less the second": tiny.wall - tiny.own,
        f"overhead, had {tiny.cores} cores shared the steps evenly": tiny.wall
        - tiny.own / tiny.cores,
        "": None,
        "one after the other:": None,
        **{f"  {name}": seconds for name, seconds in tiny.parts.items()},
        f"within steps, {tiny.cores} cores x {steps:.1f} s:": None,
        **{f"  {name}": seconds for name, seconds in tiny.inside.items()},
    }
    for name, seconds in rows.items():
        table.add_row(name, "" if seconds is None else f"{seconds:7.2f}")
    return table


def _keep(found: dict[str, Any]) -> None:
    """Write everything as JSON, under today's date."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{time.strftime('%Y-%m-%d-%H%M%S')}.json"
    packages = ("torch", "diffusers", "accelerate", "ray", "mlflow", "numpy")
    machine = {
        "system": f"{platform.system()} {platform.machine()}",
        "cores": overhead.cores(),
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in packages},
    }
    path.write_text(json.dumps({"machine": machine, **found}, indent=1, default=vars) + "\n")
    console.print(f"written to {path}", soft_wrap=True)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
