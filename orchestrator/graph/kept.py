"""Small JSON files in a store that only save time: one that is unreadable is made anew."""

import json
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from orchestrator.store.record import write_whole

log = logging.getLogger(__name__)


def read(path: Path, fits: Callable[[Any], bool]) -> dict[str, Any]:
    """What a file holds by name; nothing if it is not there, or holds values that do not fit."""
    try:
        content = json.loads(path.read_text())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError):
        content = None
    if isinstance(content, dict) and all(map(fits, content.values())):
        return content
    log.warning("%s cannot be read; it is made anew.", path)
    with suppress(OSError):
        path.unlink()
    return {}


def write(path: Path, content: Mapping[str, Any]) -> None:
    """Replace a file; if that fails, a line says why."""
    try:
        write_whole(path, json.dumps(content, indent=1))
    except OSError as error:
        log.warning("cannot keep %s: %s. It is made anew next time.", path, error.strerror)
