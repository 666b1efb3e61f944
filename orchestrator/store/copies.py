"""This machine's copies of what is in a remote store, laid out like a local one.

They lie below ``$CASTLEWALLS_CACHE``, or else ``~/.cache/castlewalls``, and stay there.  A copy is
used only while it has the store's own record and the files that the record lists.
"""

import fcntl
import hashlib
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from orchestrator.store.record import RECORD, folder_damage, read_record


def cache() -> Path:
    """Where this machine keeps what can be made again."""
    return Path(os.environ.get("CASTLEWALLS_CACHE") or "~/.cache/castlewalls").expanduser()


def place(address: str) -> Path:
    """Where the copies of a remote store lie."""
    return cache() / hashlib.sha256(address.encode()).hexdigest()[:12]


def bring(
    download: Callable[[Iterable[str], Path], None], record: bytes, final: Path, root: Path
) -> str | None:
    """Have ``download`` bring a record's files to ``final``; say what is wrong, or None."""
    if _is_copy(final, record):
        return None
    with _alone(final, root):
        if _is_copy(final, record):  # another process was just doing the same
            return None
        found, damage = read_record(record)
        if damage:
            return damage
        with private_folder(final) as fresh:
            try:
                download(found["files"], fresh)
            except (FileNotFoundError, FileExistsError, NotADirectoryError):
                return f"{RECORD} names files that are not there"
            (fresh / RECORD).write_bytes(record)
            if damage := folder_damage(fresh):
                return damage
            _replace(fresh, final)
    return None


def replace(fresh: Path, final: Path, root: Path) -> None:
    """Move a folder to where another copy may be; whoever has that one open still reads it."""
    with _alone(final, root):
        _replace(fresh, final)


@contextmanager
def private_folder(final: Path) -> Iterator[Path]:
    """Yield a new folder beside ``final``; it is removed at the end unless it was moved."""
    folder = final.with_name(f".{final.name}.{uuid.uuid4().hex[:6]}")
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _alone(final: Path, root: Path) -> Iterator[None]:
    """Let one process of this machine at a time change a copy."""
    locks = root / ".locks"
    locks.mkdir(parents=True, exist_ok=True)
    name = hashlib.sha256(os.fsencode(final)).hexdigest()[:16]
    with (locks / name).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # released when the process ends
        yield


def _is_copy(folder: Path, record: bytes) -> bool:
    """Whether a folder on this machine has exactly this record, and its files are as it says."""
    with suppress(OSError):
        return (folder / RECORD).read_bytes() == record and folder_damage(folder) is None
    return False


def _replace(fresh: Path, final: Path) -> None:
    with suppress(FileNotFoundError):
        aside = fresh.with_name(f"{fresh.name}.old")
        final.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)
    fresh.rename(final)
