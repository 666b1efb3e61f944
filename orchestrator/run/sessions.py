"""The folder in which a Ray that is started here keeps its session: logs and sockets."""

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
SHORT = "/tmp"  # the last folder that is tried


def fits(folder: Path) -> bool:
    """Whether a folder can be written to and is short enough for the paths of sockets."""
    short = len(os.fsencode(folder / BELOW)) <= LONGEST
    return short and folder.is_dir() and os.access(folder, os.W_OK | os.X_OK)


def chosen(environment: Mapping[str, str]) -> Path:
    """The first of ``RAY_TMPDIR``, ``TMPDIR`` and ``/tmp`` that fits; else the first of all."""
    named = [environment.get("RAY_TMPDIR"), environment.get("TMPDIR"), SHORT]
    folders = [Path(name).absolute() for name in named if name]
    return next(filter(fits, folders), folders[0])


@contextmanager
def folder() -> Iterator[str]:
    """Yield a new private folder for a Ray that is started inside; remove it afterwards."""
    if not fits(place := chosen(os.environ)):
        raise OSError(
            f"Ray has no place for its sessions: {place} cannot be written to, or its path is too "
            f"long. export RAY_TMPDIR=/a/short/path (at most {LONGEST - len(BELOW) - 1} letters)"
        )
    private = tempfile.mkdtemp(prefix="ray-", dir=place)
    try:
        yield private
    finally:
        shutil.rmtree(private, ignore_errors=True)
