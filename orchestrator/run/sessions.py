"""The folder in which a Ray that is started here keeps its session: logs and sockets.

Each run has a private one, in the first of ``RAY_TMPDIR``, ``TMPDIR`` and ``/tmp`` that can be
written to and is short enough for the paths of sockets.
"""

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

LONGEST = 103 if sys.platform == "darwin" else 107
"""Bytes of a socket's path, by the operating system."""
BELOW = "ray-12345678/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"
"""What a run and Ray add to the folder; the last number is a process."""
SHORT = "/tmp"
"""The last folder that is tried."""


def unfit(folder: Path) -> str | None:
    """Why Ray cannot keep its session below a folder, or None."""
    if (length := len(os.fsencode(folder / BELOW))) > LONGEST:
        return f"{folder} is too long: a socket's path in it has {length} bytes of {LONGEST}"
    if not folder.is_dir():
        return f"{folder} is not a folder"
    return None if os.access(folder, os.W_OK | os.X_OK) else f"{folder} is not writable"


def chosen(environment: Mapping[str, str]) -> Path:
    """The folder below which a run keeps it; the first one if none fits."""
    named = [environment.get("RAY_TMPDIR"), environment.get("TMPDIR"), SHORT]
    folders = [Path(name).absolute() for name in named if name]
    return next((folder for folder in folders if not unfit(folder)), folders[0])


@contextmanager
def folder() -> Iterator[str]:
    """Yield a new private folder for a Ray that is started inside; remove it afterwards.

    Raises:
        OSError: None can be made; in one line, with what to type.
    """
    place = chosen(os.environ)
    if trouble := unfit(place):
        letters = LONGEST - len(BELOW) - 1
        raise OSError(
            f"Ray has no place for its sessions: {trouble}. "
            f"export RAY_TMPDIR=/a/short/path (at most {letters} letters)"
        )
    private = tempfile.mkdtemp(prefix="ray-", dir=place)
    try:
        yield private
    finally:
        shutil.rmtree(private, ignore_errors=True)
