"""Kill something at a random moment, many times: `make chaos`, or `python -m bench.chaos --help`.

Each round runs one study into an empty store on a head without CPUs and two nodes of one CPU, kills
a worker process, an actor, a node, the conductor or the driver, gives the same command again if it
takes that, and compares ``results.csv`` with that of a run which nobody disturbed.
"""

import argparse
import random
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.drivers import Driver
from bench.nodes import Node, Nodes

WORDS = ("amplification", "--scale", "tiny", "--trigger", "badnets1", "--guidance-weight", "2")
WORDS += ("--training-steps", "300", "--checkpoint-seconds", "0")
"""Two models of 300 updates and three classifiers, a checkpoint at every report."""
VICTIMS = ("worker", "actor", "node", "conductor", "driver")
ACTORS = ("--actors", "2")
"""Without these a run has no actors but the conductor and Tune's trials."""
MOST_COMMANDS = 4
"""Times that the same command is given before it is let be."""
REPORT_EVERY = 50
"""Training updates between two checkpoints: ``models.training.REPORT_EVERY``."""
LONGEST_DELAY = 2.0
"""Seconds between a step's end, which is chosen, and the kill."""
CONDUCTOR = "RayConductor"
BYSTANDERS = ("ray::IDLE", "ray::DashboardAgent", "ray::RuntimeEnvAgent", "ray::JobSupervisor")
"""Processes of Ray's that hold no part of a run."""


@dataclass(frozen=True, kw_only=True)
class Round:
    """What one kill came to."""

    victim: str
    """One of VICTIMS."""
    hit: str
    """What was killed, when."""
    same: bool
    """Whether ``results.csv`` has the undisturbed bytes."""
    commands: int
    """Times that the command was given."""
    again: Sequence[str]
    """Paths of the steps that were started more than once."""
    finished: Sequence[str]
    """Paths of those that were started after they were done: there should be none."""
    updates: int
    """Training updates done again, at most."""
    seconds: float


def play(
    nodes: Nodes,
    words: Sequence[str],
    store: Path,
    expected: bytes,
    victim: str,
    chance: random.Random,
) -> Round | None:
    """Run a study into a store and kill something meanwhile.

    Args:
        nodes: The cluster; it has as many nodes at the end as at the start.
        words: What to type after ``castlewalls run``; where to run and to keep it is added.
        store: An empty folder, or one with some of the steps.
        expected: The undisturbed ``results.csv``.
        victim: One of VICTIMS.
        chance: Chooses the moment, and which of those that are alive.

    Returns:
        None when the run was over before there was anything to kill.

    Raises:
        TimeoutError: A command did not end.
    """
    command = [*words, "--store", str(store), "--address", nodes.address]
    command += ACTORS if victim == "actor" else ()
    size = len(nodes.workers)
    began = time.monotonic()
    drivers = [Driver(command, nodes.environment)]
    try:
        with Trainings(store) as trainings:
            hit = _strike(nodes, drivers[0], victim, chance)
            if hit is not None and victim == "node" and chance.random() < 0.5:
                nodes.add()
                hit += ", replaced at once"
            while drivers[-1].end() != 0 and hit is not None and len(drivers) < MOST_COMMANDS:
                drivers.append(Driver(command, nodes.environment))
    finally:
        drivers[-1].process.kill()
        while len(nodes.workers) < size:
            nodes.add()
    if hit is None:
        return None
    events = [event for driver in drivers for event in driver.events()]
    starts = Counter(event.path for event in events if event.kind == "started")
    return Round(
        victim=victim,
        hit=hit,
        same=results(store) == expected,
        commands=len(drivers),
        again=[path for path, times in starts.items() if times > 1],
        finished=list(_done_again(events)),
        updates=trainings.again(starts),
        seconds=time.monotonic() - began,
    )


def results(store: Path) -> bytes | None:
    """The bytes of the store's one ``results.csv``; None if there is none."""
    found = list((store / "reports").glob("*/results.csv"))
    return found[0].read_bytes() if len(found) == 1 else None


def _done_again(events: Sequence[tuple[str, str]]) -> Iterator[str]:
    done = set()
    for kind, path in events:
        if kind == "done":
            done.add(path)
        elif kind == "started" and path in done:
            yield path


def _strike(nodes: Nodes, driver: Driver, victim: str, chance: random.Random) -> str | None:
    """Kill a victim at a random moment and say which; None when the run was over before."""
    if not driver.wait_for(lambda: bool(driver.events("started"))):
        return None
    steps = next(int(line.split()[0]) for line in driver.lines if " steps to run" in line)
    ended = chance.randrange(steps)
    driver.wait_for(lambda: len(driver.events("done")) >= ended)
    driver.wait_for(lambda: False, chance.uniform(0, LONGEST_DELAY))
    hits: list[str] = []

    def strike() -> bool:
        if driver.process.poll() is not None:
            return False
        hits.extend(_kill_one(nodes, driver, victim, chance))
        return bool(hits)

    driver.wait_for(strike)
    return f"{hits[0]} after {len(driver.events('done'))} of {steps} steps" if hits else None


def _kill_one(nodes: Nodes, driver: Driver, victim: str, chance: random.Random) -> Iterator[str]:
    """Kill one victim that is alive and yield its name; yield nothing when there is none."""
    if victim == "driver":
        if driver.process.poll() is None:
            driver.process.kill()
            yield "the driver"
        return
    alive = [
        (node, process, title) for node in nodes.live for process, title in processes(nodes, node)
    ]
    if victim == "node":
        busy = [node for node, _, title in alive if node is not nodes.head and kind_of(title)]
        if busy:
            node = chance.choice(busy)
            nodes.kill(node)
            yield node.name
        return
    titles = sorted({title for _, _, title in alive if kind_of(title) == victim})
    if titles:  # the title first: Ray's own actors, which are always there, are not the most
        chosen = chance.choice(titles)
        node, process, title = chance.choice([item for item in alive if item[2] == chosen])
        with suppress(psutil.NoSuchProcess):
            process.kill()
            yield f"{title.removeprefix('ray::')} on {node.name}"


def processes(nodes: Nodes, node: Node) -> Iterator[tuple[psutil.Process, str]]:
    """The processes of a node and what they go by."""
    for process in nodes.processes(node):
        with suppress(psutil.Error, IndexError):
            yield process, process.cmdline()[0]


def kind_of(title: str) -> str | None:
    """Which of VICTIMS a process of Ray's is, by its title; None if it is no part of a run.

    A step's process goes by its function, or by the step's path if Ray was told that.
    """
    if not title.startswith("ray::") or title.startswith(BYSTANDERS):
        return None
    if CONDUCTOR in title:
        return "conductor"
    return "worker" if title == "ray::_build" or "/" in title else "actor"


class Trainings(threading.Thread):
    """Watches the checkpoints of a store, to count what trainings do again.

    An attempt's first checkpoint is REPORT_EVERY updates after where it was taken up, as there is
    one at every report.
    """

    def __init__(self, store: Path) -> None:
        super().__init__(name="trainings", daemon=True)
        self.folder = store / ".checkpoints"
        self.leaving = threading.Event()
        self.seen: dict[str, dict[str, list[int]]] = {}
        """Positions in order, by digest and attempt."""

    def run(self) -> None:
        """Look fifty times a second: a checkpoint goes when two newer ones are there."""
        while not self.leaving.wait(0.02):
            with suppress(OSError):  # folders go while they are listed
                for path in self.folder.glob("*/*/[0-9]*"):
                    attempts = self.seen.setdefault(path.parent.parent.name, {})
                    positions = attempts.setdefault(path.parent.name, [])
                    if int(path.name) not in positions:
                        positions.append(int(path.name))

    def newest(self, digest: str) -> int:
        """The newest checkpoint of a training that there is now; 0 without one."""
        found = (self.folder / digest).glob("*/[0-9]*")
        return max((int(path.name) for path in found), default=0)

    def resumed(self, digest: str) -> list[int]:
        """Where each attempt that came to a checkpoint was taken up; 0 is from the start."""
        return [min(seen) - REPORT_EVERY for seen in self.seen.get(digest, {}).values()]

    def again(self, starts: Mapping[str, int]) -> int:
        """The updates done again, at most: what an attempt did after its last report is not known.

        Args:
            starts: How often each step was started, by its path.
        """
        total = 0
        for path, times in starts.items():
            digest = path.rpartition("-")[2]
            reached = [max(seen) for seen in self.seen.get(digest, {}).values()]
            for before, taken_up in zip(reached, self.resumed(digest)[1:], strict=False):
                total += before + REPORT_EVERY - 1 - taken_up
            if reached:  # a training; attempts that came to no checkpoint did less than a report
                total += max(0, times - len(reached)) * (REPORT_EVERY - 1)
        return total

    def __enter__(self) -> "Trainings":
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.leaving.set()
        self.join()


def main() -> int:
    """Play the rounds, print each, and sum up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--only", choices=VICTIMS, nargs="+", default=VICTIMS)
    asked = parser.parse_args()
    print(f"{asked.rounds} rounds, --seed {asked.seed}; moments depend on the machine too")
    played: list[Round] = []
    with tempfile.TemporaryDirectory(prefix="castlewalls-chaos-") as scratch, Nodes() as nodes:
        expected, seconds = undisturbed(nodes, WORDS, Path(scratch) / "undisturbed")
        print(f"undisturbed: {seconds:.0f} s on the same nodes")
        chance = random.Random(asked.seed)
        tries = 0
        while len(played) < asked.rounds:
            victim = asked.only[len(played) % len(asked.only)]
            tries += 1
            store = Path(scratch) / f"round{tries}"
            made = play(nodes, WORDS, store, expected, victim, chance)
            if made is None:
                print(f"      {victim}: nothing was hit; once more", flush=True)
                continue
            played.append(made)
            print(f"{len(played):4}  {told(made)}", flush=True)
    print(table(played, seconds))
    return int(not all(item.same and not item.finished for item in played))


def undisturbed(nodes: Nodes, words: Sequence[str], folder: Path) -> tuple[bytes, float]:
    """``results.csv`` of a run embedded in this machine, and the seconds of one on the nodes.

    Raises:
        RuntimeError: They fail, or differ.
    """
    embedded, spread = folder / "embedded", folder / "spread"
    first = Driver([*words, "--store", str(embedded)], nodes.environment)
    first.end()
    began = time.monotonic()
    command = [*words, "--store", str(spread), "--address", nodes.address]
    second = Driver(command, nodes.environment)
    second.end()
    seconds = time.monotonic() - began
    expected = results(embedded)
    if expected is None or results(spread) != expected:
        said = first.said + second.said
        raise RuntimeError(f"undisturbed runs do not end as they should:\n{said}")
    return expected, seconds


def told(made: Round) -> str:
    """A round in a line, and another for each step that was run more than once."""
    end = "the undisturbed results.csv" if made.same else "ANOTHER results.csv, OR NONE"
    commands = "" if made.commands == 1 else f", the command given {made.commands} times"
    line = f"{made.victim:9}  {made.hit}: {end} after {made.seconds:.0f} s{commands}"
    lines = [f"{'':15}  again: {path}" for path in made.again]
    if made.updates:
        lines.append(f"{'':15}  training updates done again: at most {made.updates}")
    lines += [f"{'':15}  ALTHOUGH IT WAS DONE: {path}" for path in made.finished]
    return "\n".join([line, *lines])


def table(played: Sequence[Round], seconds: float) -> str:
    """What all of it came to: a line and a table in Markdown, a row per kind of victim."""
    same = sum(item.same for item in played)
    again = sum(len(item.again) for item in played)
    finished = sum(len(item.finished) for item in played)
    lines = [
        f"{same} of {len(played)} rounds ended in the undisturbed results.csv; {again} steps were "
        f"run more than once, {finished} of them although they were done",
        "",
        "| killed | rounds | same `results.csv` | steps run more than once, a round | training "
        f"updates done again, at most | commands a round | seconds (undisturbed {seconds:.0f}) |",
        "|---|---|---|---|---|---|---|",
    ]
    for victim in VICTIMS:
        own = [item for item in played if item.victim == victim]
        if own:
            columns = [
                str(len(own)),
                str(sum(item.same for item in own)),
                _range([len(item.again) for item in own]),
                str(max(item.updates for item in own)),
                _range([item.commands for item in own]),
                f"{statistics.median(item.seconds for item in own):.0f}",
            ]
            lines.append(f"| {victim} | {' | '.join(columns)} |")
    return "\n".join(lines)


def _range(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    return str(low) if low == high else f"{low} to {high}"


if __name__ == "__main__":
    sys.exit(main())
