"""Show what a run does: bars on a terminal, one plain line per event elsewhere."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

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
from orchestrator.graph.remaining import ENDS, Remaining
from orchestrator.run.request import NoCluster

POLL_SECONDS = 0.5
ROOMY = 120
"""Columns of a terminal from which on bars are long."""
LINE_SECONDS = 30.0
"""Between two lines of a running step in a log."""
TROUBLE = ("failed", "retry", "damaged", "waiting")
"""Kinds of events that say in a message what went wrong."""

Event = Mapping[str, Any]


class Display(Protocol):
    """Something that shows events."""

    def start(self) -> None:
        """Begin."""
        ...

    def show(self, event: Event) -> None:
        """Show one event."""
        ...

    def tick(self, now: float) -> None:
        """Say what time does, seconds since 1970; called often."""
        ...

    def stop(self) -> None:
        """End."""
        ...


class Lines:
    """One line per event that matters, and now and then where a step is, for logs and pipes."""

    def __init__(self, console: Console, steps: int, left: Remaining | None = None) -> None:
        self.console, self.steps, self.done, self.left = console, steps, 0, left
        self.began = time.time()
        self.told: dict[str, float] = {}
        """When something was last said of each running step."""
        self.totals: dict[str, int | None] = {}
        """How far they go."""
        self.latest: dict[str, Event] = {}
        """The last that was heard of each: how far it is, or that it started."""

    def start(self) -> None:
        """Nothing to draw."""

    def show(self, event: Event) -> None:
        """Print an event, if it is no mere progress."""
        kind, digest, text = event["kind"], event["digest"], ""
        if kind == "progress" and digest in self.told:
            self.latest[digest] = event
            return
        if kind == "started":
            self.told[digest], self.totals[digest] = event["time"], event["total"]
            self.latest[digest] = event
        elif kind == "done":
            self.done += 1
            text = f"({self.done}/{self.steps}, {event['seconds']:.1f} s)"
        elif kind in TROUBLE:
            text = event["message"]
        elif kind == "resumed":
            text = resumed(event)
        else:
            return
        if kind in ENDS:
            self.told.pop(digest, None)
            self.latest.pop(digest, None)
        self._print(event["time"], kind, event["path"], text)

    def tick(self, now: float) -> None:
        """Say how far every running step is of which nothing was said for ``LINE_SECONDS``."""
        for digest, event in self.latest.items():
            if now - self.told[digest] >= LINE_SECONDS:
                self.told[digest] = now
                self._print(now, "running", event["path"], ", ".join(self._progress(event, now)))

    def _print(self, when: float, kind: str, path: str, text: str) -> None:
        line = f"{when - self.began:7.1f} s  {kind:8} {path}  {text}".rstrip()
        self.console.print(line, soft_wrap=True, markup=False)

    def _progress(self, event: Event, now: float) -> Iterator[str]:
        """Yield how far a step is, its loss, and how long it and the whole run still take."""
        if event["kind"] == "started":  # nothing was told of it since
            yield f"for {duration(now - event['time'])}"
        else:
            total = self.totals[event["digest"]]
            yield f"{event['position']} of {total}" if total else f"{event['position']}"
            yield from noted(event, self.left, now)
        if self.left and (rest := self.left.of_run(now)) is not None:
            yield f"about {duration(rest)} left in all"

    def stop(self) -> None:
        """Nothing to end."""


class Bars:
    """A bar for the whole run and one for each running step."""

    def __init__(self, console: Console, steps: int, left: Remaining | None = None) -> None:
        self.left = left

        def whole() -> Column:
            return Column(no_wrap=True)

        self.progress = Progress(
            TextColumn(  # the one that gives room, in lines of its own
                "{task.description}", markup=False, table_column=Column(overflow="fold")
            ),
            BarColumn(24 if console.width >= ROOMY else 8, table_column=whole()),
            MofNCompleteColumn(table_column=whole()),
            TextColumn("{task.fields[metrics]}", style="dim", markup=False, table_column=whole()),
            TimeElapsedColumn(table_column=whole()),
            console=console,
            transient=True,
        )
        self.whole = self.progress.add_task("steps", total=steps, metrics="")
        self.running: dict[str, TaskID] = {}

    def start(self) -> None:
        """Start drawing."""
        self.progress.start()

    def show(self, event: Event) -> None:
        """Move the bars; print what deserves to stay."""
        kind, digest = event["kind"], event["digest"]
        if kind == "started":
            self.running[digest] = self.progress.add_task(
                event["path"].rpartition("-")[0], total=event["total"], metrics=""
            )
        elif kind == "progress" and digest in self.running:
            self.progress.update(
                self.running[digest],
                completed=event["position"],
                metrics=", ".join(noted(event, self.left, event["time"])),
            )
        elif kind == "resumed":
            self._print(kind, event["path"], resumed(event))
        elif kind == "done" or kind in TROUBLE:
            if digest in self.running:
                self.progress.remove_task(self.running.pop(digest))
            if kind == "done":
                self.progress.advance(self.whole)
            else:
                self._print(kind, event["path"], event["message"])

    def tick(self, now: float) -> None:
        """Say how long the run still takes."""
        if self.left and (rest := self.left.of_run(now)) is not None:
            self.progress.update(self.whole, metrics=f"about {duration(rest)} left")

    def _print(self, kind: str, path: str, text: str) -> None:
        self.progress.console.print(f"{kind:8} {path}  {text}", markup=False)

    def stop(self) -> None:
        """Stop drawing and clear the bars."""
        self.progress.stop()


def noted(event: Event, left: Remaining | None, now: float) -> Iterator[str]:
    """Yield the loss of a step that made progress, and how long it still takes."""
    loss = event["metrics"].get("loss")
    if loss is not None:
        yield f"loss {loss:.3g}"
    if left and (rest := left.of_step(event["digest"], now)) is not None:
        yield f"{duration(rest)} left"


def resumed(event: Event) -> str:
    """Where a training was taken up, and how much of what was seen of it is done again."""
    again = f", {event['again']} done again" if event["again"] else ""
    return f"at {event['position']} of {event['total']}{again}"


def display(console: Console, steps: int, left: Remaining | None = None) -> Display:
    """Bars on a terminal that can move its cursor, lines elsewhere."""
    return (Bars if console.is_interactive else Lines)(console, steps, left)


class Watch(threading.Thread):
    """Polls a source of events and shows them until it is left.

    Args:
        poll: Returns the events since the last call.
        view: What shows them.
        heard: Called with each of them, before it is shown.
        lost: Called, from this thread, when there is no cluster any more; what waits for it in
            other threads may never end.
    """

    def __init__(
        self,
        poll: Callable[[], Sequence[Event]],
        view: Display,
        heard: Callable[[Event], None],
        lost: Callable[[NoCluster], object],
    ) -> None:
        super().__init__(name="watch", daemon=True)
        self.poll, self.view, self.heard, self.lost = poll, view, heard, lost
        self.leaving = threading.Event()
        self.events: list[Event] = []

    def run(self) -> None:
        """Poll until told to leave, then once more."""
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
            self.events.append(event)
            self.heard(event)
            self.view.show(event)

    def __enter__(self) -> "Watch":
        """Start the display and the polling."""
        self.view.start()
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Show what is left and stop."""
        self.leaving.set()
        self.join()
        try:
            self._look()
        finally:
            self.view.stop()
