"""Show what a run does: bars on a terminal, one plain line per event elsewhere."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Column

from orchestrator.console import duration
from orchestrator.graph.remaining import ENDS, Remaining, Running
from orchestrator.run.request import NoCluster

POLL_SECONDS = 0.5
WIDE = 120  # columns of a terminal from which on bars are long
LINE_SECONDS = 30.0  # between two lines about a running step in a log
TROUBLE = ("failed", "retry", "damaged", "waiting")
"""Kinds of events with a message about what went wrong."""

Event = Mapping[str, Any]


class Lines:
    """One line per event that matters, and now and then how far a step is, for logs and pipes."""

    def __init__(self, console: Console, steps: int, left: Remaining) -> None:
        self.console, self.steps, self.done, self.left = console, steps, 0, left
        self.began = time.time()
        self.printed: dict[str, float] = {}
        """When the last line about each running step was printed, by its digest."""

    def start(self) -> None:
        """Begin."""

    def stop(self) -> None:
        """End."""

    def show(self, event: Event) -> None:
        """Print an event, unless it is only progress."""
        kind, text = event["kind"], _said(event)
        if kind == "started":
            self.printed[event["digest"]] = event["time"]
        elif kind == "done":
            self.done += 1
            text = f"({self.done}/{self.steps}, {event['seconds']:.1f} s)"
        elif not text:
            return
        self._print(event["time"], kind, event["path"], text)

    def tick(self, now: float) -> None:
        """Print how far each step is that had no line for ``LINE_SECONDS``."""
        for digest, step in self.left.running.items():
            if now - self.printed[digest] >= LINE_SECONDS:
                self.printed[digest] = now
                self._print(now, "running", step.path, ", ".join(self._progress(step, now)))

    def _print(self, when: float, kind: str, path: str, text: str) -> None:
        line = f"{when - self.began:7.1f} s  {kind:8} {path}  {text}".rstrip()
        self.console.print(line, soft_wrap=True, markup=False)

    def _progress(self, step: Running, now: float) -> Iterator[str]:
        """Yield how far a step is, its loss, and how long it and the whole run still take."""
        if step.last is None:
            yield f"for {duration(now - step.began)}"
        else:
            yield f"{step.last[1]} of {step.total}" if step.total else f"{step.last[1]}"
        yield from _loss_and_rest(step, now)
        if (rest := self.left.of_run(now)) is not None:
            yield f"about {duration(rest)} left in all"


class Bars:
    """A bar for the whole run and one for each running step."""

    def __init__(self, console: Console, steps: int, left: Remaining) -> None:
        self.left = left

        def column() -> Column:
            return Column(no_wrap=True)

        wrapped = Column(overflow="fold")  # the one that gives way, over several lines
        self.progress = Progress(
            TextColumn("{task.description}", markup=False, table_column=wrapped),
            BarColumn(24 if console.width >= WIDE else 8, table_column=column()),
            MofNCompleteColumn(table_column=column()),
            TextColumn("{task.fields[metrics]}", style="dim", markup=False, table_column=column()),
            TimeElapsedColumn(table_column=column()),
            console=console,
            transient=True,
        )
        self.whole = self.progress.add_task("steps", total=steps, metrics="")
        self.running: dict[str, TaskID] = {}
        self.start, self.stop = self.progress.start, self.progress.stop

    def show(self, event: Event) -> None:
        """Move the bars; print what is to stay."""
        kind, digest = event["kind"], event["digest"]
        if kind == "started":
            self.running[digest] = self.progress.add_task(
                event["path"].rpartition("-")[0], total=event["total"], metrics=""
            )
        elif kind == "progress" and digest in self.running:
            metrics = ", ".join(_loss_and_rest(self.left.running[digest], event["time"]))
            bar = self.running[digest]
            self.progress.update(bar, completed=event["position"], metrics=metrics)
        elif kind in ENDS and digest in self.running:
            self.progress.remove_task(self.running.pop(digest))
        if kind == "done":
            self.progress.advance(self.whole)
        if text := _said(event):
            self.progress.console.print(f"{kind:8} {event['path']}  {text}", markup=False)

    def tick(self, now: float) -> None:
        """Show how long the run still takes."""
        if (rest := self.left.of_run(now)) is not None:
            self.progress.update(self.whole, metrics=f"about {duration(rest)} left")


def _loss_and_rest(step: Running, now: float) -> Iterator[str]:
    """Yield the loss of a step that made progress, and how long it still takes."""
    if step.loss is not None:
        yield f"loss {step.loss:.3g}"
    if (rest := step.left(now)) is not None:
        yield f"{duration(rest)} left"


def _said(event: Event) -> str:
    """What there is to say of trouble, or where a training resumes and how much is repeated."""
    if event["kind"] == "resumed":
        again = f", repeating {event['again']}" if event["again"] else ""
        return f"at {event['position']} of {event['total']}{again}"
    return str(event["message"]) if event["kind"] in TROUBLE else ""


def display(console: Console, steps: int, left: Remaining) -> Lines | Bars:
    """Bars on a terminal that can move its cursor, lines elsewhere."""
    return (Bars if console.is_interactive else Lines)(console, steps, left)


class Follower(threading.Thread):
    """Polls a source of events and shows them until it is left.

    Each event is first given to ``heard``.  ``lost`` is called, from this thread, when there is no
    cluster any more.
    """

    def __init__(
        self,
        poll: Callable[[], Sequence[Event]],
        view: Lines | Bars,
        heard: Callable[[Event], None],
        lost: Callable[[NoCluster], object],
    ) -> None:
        super().__init__(name="follower", daemon=True)
        self.poll, self.view, self.heard, self.lost = poll, view, heard, lost
        self.leaving = threading.Event()

    def run(self) -> None:
        """Poll until the block is left."""
        while not self.leaving.wait(POLL_SECONDS):
            try:
                self._look()
                self.view.tick(time.time())
            except NoCluster as error:
                self.view.stop()
                self.lost(error)
                return

    def _look(self) -> None:
        for event in self.poll():
            self.heard(event)
            self.view.show(event)

    def __enter__(self) -> "Follower":
        """Start the display and the polling."""
        self.view.start()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Poll once more and stop."""
        self.leaving.set()
        self.join()
        try:
            self._look()
        finally:
            self.view.stop()
