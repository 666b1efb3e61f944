"""Records: what a folder holds, written last, and whether it still does."""

import hashlib
import json
import os
import platform
from collections.abc import Mapping
from functools import lru_cache
from importlib import metadata
from pathlib import Path, PurePosixPath
from typing import Any

from orchestrator.step import Step, difference

RECORD = "record.json"
VERSIONS_OF = ("torch", "diffusers", "accelerate", "numpy", "pyarrow", "ray", "scikit-learn")


def write_record(folder: Path, content: Mapping[str, Any]) -> list[str]:
    """Write ``record.json`` for a folder: the last write, which means that it is whole.

    Returns:
        The files that it lists.
    """
    files = {
        path.relative_to(folder).as_posix(): {"size": path.stat().st_size, "sha256": _sha256(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != RECORD
    }
    record = {**content, "files": files, "versions": _versions()}
    partial = folder / f"{RECORD}.partial"
    with partial.open("w") as stream:
        json.dump(record, stream, indent=2, sort_keys=True)
        stream.flush()
        os.fsync(stream.fileno())
    partial.rename(folder / RECORD)
    return list(files)


def write_whole(path: Path, text: str) -> None:
    """Write a file that is read again, so that it is there whole or as it was before.

    Raises:
        OSError: It cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def judged(text: bytes, step: Step) -> tuple[dict[str, Any], str | None]:
    """Read a record and say what is wrong with it as that of a step, or None."""
    try:
        record = json.loads(text)
        files = record["files"].values()
        well = all(isinstance(file, dict) and {"size", "sha256"} <= file.keys() for file in files)
        same = record["identity"] == step.identity  # nearly always, and quicker told
        changes = [] if same else list(difference(record["identity"], step.identity))
    except (ValueError, KeyError, AttributeError, TypeError):
        return {}, f"{RECORD} is damaged"
    if changes:
        return {}, f"{RECORD} describes another result: {'; '.join(changes)}"
    if outside := [name for name in record["files"] if not _plain(name)]:
        return {}, f"{RECORD} names {outside[0]}, which is outside the folder"
    return record, None if well else f"{RECORD} is damaged"


def folder_damage(folder: Path) -> str | None:
    """Say what is wrong with a folder that has a record (a checkpoint), or None."""
    try:
        files = dict(json.loads((folder / RECORD).read_text())["files"])
    except (OSError, ValueError, KeyError, TypeError):
        return f"{RECORD} is missing or damaged"
    return files_damage(folder, files, content=True)


def files_damage(folder: Path, files: Mapping[str, Any], *, content: bool) -> str | None:
    """Say which file is not as a record lists it, or None."""
    return next(
        filter(None, (_file_damage(folder, *file, content=content) for file in files.items())), None
    )


def _file_damage(
    folder: Path, name: str, expected: Mapping[str, Any], *, content: bool
) -> str | None:
    path = folder / name
    if not isinstance(expected, Mapping) or not {"size", "sha256"} <= expected.keys():
        return f"{RECORD} is damaged"
    if not inside(folder, name):
        return f"{RECORD} names {name}, which is outside the folder"
    try:
        status = path.stat()
    except OSError:
        return f"{name} is missing"
    if status.st_size != expected["size"]:
        return f"{name} has {status.st_size} bytes, {expected['size']} were written"
    if content and _sha256_once(path, status.st_size, status.st_mtime_ns) != expected["sha256"]:
        return f"{name} was altered after it was written"
    return None


def inside(folder: Path, name: str) -> bool:
    """Whether what a record names lies in the record's folder, links followed."""
    if not _plain(name):
        return False
    path = str(folder)
    for part in name.split("/"):
        path = os.path.join(path, part)  # noqa: PTH118 - pathlib takes most of a plan's time
        if os.path.islink(path):  # noqa: PTH114
            return (folder / name).resolve().is_relative_to(folder.resolve())
    return True


def _plain(name: str) -> bool:
    """Whether a name is a path as records write it: downwards only, without detours."""
    path = PurePosixPath(name)
    down = path.parts and not path.is_absolute() and ".." not in path.parts
    return bool(down) and str(path) == name and "\0" not in name


@lru_cache(maxsize=10_000)
def _sha256_once(path: Path, size: int, mtime_ns: int) -> str:  # noqa: ARG001 - they are the key
    return _sha256(path)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@lru_cache(maxsize=1)
def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in VERSIONS_OF:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
