"""Small JSON files in a store that only save time: what cannot be read or written is no failure."""

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from orchestrator.console import complain
from orchestrator.store.record import write_whole


def read(path: Path, fits: Callable[[Any], bool]) -> dict[str, Any]:
    """What a file holds by name; nothing if it is not there.

    One that cannot be read, as a full disk or a power cut leaves it, is removed, with a line.

    Args:
        path: The file.
        fits: Whether a value is what belongs there.
    """
    try:
        text = path.read_text()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, UnicodeDecodeError):
        text = ""
    with suppress(ValueError):
        content = json.loads(text)
        if isinstance(content, dict) and all(map(fits, content.values())):
            return content
    complain(f"{path} cannot be read; it is made anew.")
    with suppress(OSError):
        path.unlink()
    return {}


def write(path: Path, content: Mapping[str, Any]) -> bool:
    """Write a file at once and say whether; where that is not possible, a line says why."""
    try:
        write_whole(path, json.dumps(content, indent=1))
    except OSError as error:
        complain(f"cannot keep {path}: {error.strerror}. It is measured again next time.")
        return False
    return True


def is_number(value: Any) -> bool:
    """Whether it is a number from 0 on; no truth value, NaN or infinity."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and 0 <= value < float("inf")
