"""The folder in which a Ray that is started here keeps its sessions: logs and sockets.

Ray itself takes one in ``RAY_TMPDIR``, ``TMPDIR`` or ``/tmp``.  It fails where a socket's path gets
too long, or the folder is not writable; then a run makes another.
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
BELOW = "session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store"
"""What Ray adds to its folder; the last number is a process."""
SHORT = "/tmp"
"""Where a folder is made if Ray's own cannot be used."""


def usual(environment: Mapping[str, str]) -> Path:
    """The folder that Ray takes by itself."""
    temporary = environment.get("TMPDIR") if sys.platform.startswith("linux") else ""
    return Path(environment.get("RAY_TMPDIR") or temporary or "/tmp").absolute() / "ray"


def unfit(folder: Path) -> str | None:
    """Why Ray cannot keep its sessions in a folder, or None."""
    if (length := len(os.fsencode(folder / BELOW))) > LONGEST:
        return f"{folder} is too long: a socket's path in it has {length} bytes of {LONGEST}"
    place = next(one for one in (folder, *folder.parents) if one.exists())
    if not place.is_dir():
        return f"{place} is not a folder"
    return None if os.access(place, os.W_OK | os.X_OK) else f"{place} is not writable"


def chosen(environment: Mapping[str, str]) -> Path:
    """The folder in which a run keeps them, or would if it could."""
    folder = usual(environment)
    return Path(SHORT) if unfit(folder) and not unfit(Path(SHORT) / "ray-") else folder


@contextmanager
def folder() -> Iterator[str | None]:
    """Yield None for Ray's own folder, or a new private one, which is removed afterwards.

    Raises:
        OSError: None can be made either; in one line, with what to type.
    """
    trouble = unfit(usual(os.environ))
    if not trouble:
        yield None
        return
    try:
        private = tempfile.mkdtemp(prefix="ray-", dir=SHORT)
    except OSError as error:
        letters = LONGEST - len(BELOW) - len("/ray/")
        raise OSError(
            f"Ray has no place for its sessions: {trouble}. "
            f"export RAY_TMPDIR=/a/short/path (at most {letters} letters)"
        ) from error
    try:
        yield private
    finally:
        shutil.rmtree(private, ignore_errors=True)
