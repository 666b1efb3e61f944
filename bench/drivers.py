"""`castlewalls run` as a process whose lines are heard as they come, and which can be killed."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

PATIENCE = 480.0
"""Seconds that a command may take on a busy machine before it is given up."""
LINE = re.compile(r" *\d+\.\d s  (\w+) +(\S+)")


class Event(NamedTuple):
    """A line of the progress that is printed where there is no terminal."""

    kind: str
    """``started``, ``done``, ``retry`` ..."""
    path: str
    """The step's, in the store."""


class Driver:
    """One command.

    Args:
        words: What to type after ``castlewalls run``.
        environment: The command's; this process's own if not given.
    """

    def __init__(self, words: Sequence[str], environment: Mapping[str, str] = os.environ) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "orchestrator", "run", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env={**environment, "COLUMNS": "200"},
            # A shell's background job ignores Ctrl-C, and its children would too.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
        )
        self.lines: list[str] = []
        self.news = threading.Condition()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        for line in self.process.stdout or ():
            with self.news:
                self.lines.append(line)
                self.news.notify_all()
        with self.news:
            self.news.notify_all()

    @property
    def said(self) -> str:
        """Everything so far."""
        return "".join(self.lines)

    def events(self, *kinds: str) -> list[Event]:
        """What was printed of steps so far, of these kinds or of all."""
        found = [Event(*match.groups()) for line in self.lines if (match := LINE.match(line))]
        return [event for event in found if not kinds or event.kind in kinds]

    def wait_for(self, holds: Callable[[], bool], seconds: float = PATIENCE) -> bool:
        """Return whether something holds: at once when it does, or when the command has ended.

        Args:
            holds: Looked at whenever a line has come, and ten times a second.
            seconds: After which it does not hold.
        """
        deadline = time.monotonic() + seconds
        with self.news:
            while not holds():
                if not self.reader.is_alive() or time.monotonic() > deadline:
                    return holds()
                self.news.wait(0.1)
        return True

    def end(self) -> int:
        """Wait for the command and return its exit code, negative if a signal ended it.

        Raises:
            TimeoutError: It does not end; it is killed.
        """
        try:
            code = self.process.wait(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise TimeoutError(f"no end after {PATIENCE:.0f} s:\n{self.said}") from None
        self.reader.join(timeout=10)
        return code
