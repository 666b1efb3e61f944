"""Show what a run does: bars on a terminal, one plain line per event elsewhere."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
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

from orchestrator.request import NoCluster

POLL_SECONDS = 0.5
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

    def stop(self) -> None:
        """End."""
        ...


class Lines:
    """One line per event that matters, for logs and pipes."""

    def __init__(self, console: Console, steps: int) -> None:
        self.console, self.steps, self.done = console, steps, 0
        self.began = time.time()

    def start(self) -> None:
        """Nothing to draw."""

    def show(self, event: Event) -> None:
        """Print an event, if it is no mere progress."""
        kind, text = event["kind"], ""
        if kind == "done":
            self.done += 1
            text = f"({self.done}/{self.steps}, {event['seconds']:.1f} s)"
        elif kind in TROUBLE:
            text = event["message"]
        elif kind == "resumed":
            text = resumed(event)
        elif kind != "started":
            return
        when = event["time"] - self.began
        self.console.print(
            f"{when:7.1f} s  {kind:8} {event['path']}  {text}".rstrip(),
            soft_wrap=True,
            markup=False,
        )

    def stop(self) -> None:
        """Nothing to end."""


class Bars:
    """A bar for the whole run and one for each running step."""

    def __init__(self, console: Console, steps: int) -> None:
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[metrics]}", style="dim"),
            TimeElapsedColumn(),
            console=console,
            transient=True,
        )
        self.whole = self.progress.add_task("[bold]steps", total=steps, metrics="")
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
            loss = event["metrics"].get("loss")
            self.progress.update(
                self.running[digest],
                completed=event["position"],
                metrics="" if loss is None else f"loss {loss:.3g}",
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

    def _print(self, kind: str, path: str, text: str) -> None:
        self.progress.console.print(f"{kind:8} {path}  {text}", markup=False)

    def stop(self) -> None:
        """Stop drawing and clear the bars."""
        self.progress.stop()


def resumed(event: Event) -> str:
    """Where a training was taken up, and how much of what was seen of it is done again."""
    again = f", {event['again']} done again" if event["again"] else ""
    return f"at {event['position']} of {event['total']}{again}"


def display(console: Console, steps: int) -> Display:
    """Bars on a terminal, lines elsewhere."""
    return Bars(console, steps) if console.is_terminal else Lines(console, steps)


class Watch(threading.Thread):
    """Polls a source of events and shows them until it is left.

    Args:
        poll: Returns the events since the last call.
        view: What shows them.
        heard: Called with each of them.
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
            except NoCluster as error:
                self.view.stop()
                self.lost(error)
                return

    def _look(self) -> None:
        for event in self.poll():
            self.events.append(event)
            self.view.show(event)
            self.heard(event)

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
