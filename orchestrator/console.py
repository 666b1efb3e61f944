"""What commands and runs print with: consoles, exit codes and short texts for times."""

import os
import sys
from typing import Any, NoReturn

from rich.console import Console

USAGE, SOME_FAILED, INTERRUPTED = 2, 1, 130
"""Exit codes: bad usage; some points failed or the run could not start; Ctrl-C."""


def as_it_is(**how: Any) -> Console:
    """A console that prints text as it is: paths and names hold no markup and no emoji.

    Bars and cursor codes go to a terminal alone, whatever ``FORCE_COLOR`` says of colors.
    """
    if os.environ.get("COLUMNS") == "0":
        del os.environ["COLUMNS"]  # rich would print empty lines
    plain: dict[str, Any] = {"markup": False, "emoji": False, "highlight": False}
    if not sys.stdout.isatty():
        plain["force_interactive"] = False
        if "COLUMNS" not in os.environ:
            plain["width"] = 120
    return Console(**{**plain, **how})


console = as_it_is()
complaints = as_it_is(stderr=True, soft_wrap=True)


def complain(message: object) -> None:
    """Say on standard error what went wrong, in a line."""
    complaints.print(f"castlewalls: {message}", markup=False)


def fail(error: object, code: int) -> NoReturn:
    """Say on standard error what went wrong and end the command with a code."""
    complain(error)
    sys.exit(code)


def say(text: str) -> None:
    """Print a line as it is."""
    console.print(text, markup=False, soft_wrap=True)


def duration(seconds: float) -> str:
    """``0.4 s``, ``12 s``, ``3 min``, ``2.5 h``, ``12 days``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 100 * 3600 else f"{seconds / 86400:,.0f} days"


def between(low: float, high: float) -> str:
    """``7 to 13 min``, ``50 s to 3 min``; ``about 7 min`` where both ends come to the same."""
    first, last = duration(low), duration(high)
    if first == last:
        return f"about {last}"
    number, _, unit = first.partition(" ")
    return f"{number if last.endswith(f' {unit}') else first} to {last}"
