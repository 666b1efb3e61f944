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
DAMAGED = f"{RECORD} is damaged"
VERSIONS_OF = ("torch", "diffusers", "accelerate", "numpy", "pyarrow", "ray", "scikit-learn")


def write_record(folder: Path, content: Mapping[str, Any]) -> list[str]:
    """Write ``record.json``, the last file of a folder: once it is there, the folder is whole.

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
    """Replace a file in one step: whoever reads it finds the old text or the new one.

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


def record_of(text: bytes, step: Step) -> tuple[dict[str, Any], str | None]:
    """Read a record, and say why it is not one of this step; None if it is."""
    try:
        record = json.loads(text)
        files, identity = record["files"], record["identity"]
        same = identity == step.identity  # nearly always, and faster than listing differences
        changes = [] if same else list(difference(identity, step.identity))
    except (ValueError, KeyError, AttributeError, TypeError):
        return {}, DAMAGED
    if changes:
        return {}, f"{RECORD} describes another result: {'; '.join(changes)}"
    damage = list_damage(files)
    return ({}, damage) if damage else (record, None)


def files_of(text: bytes) -> dict[str, Any] | None:
    """The files that a record lists; None if it is no record."""
    try:
        files = json.loads(text)["files"]
    except (ValueError, KeyError, TypeError):
        return None
    return files if isinstance(files, dict) else None


def sizes_damage(files: Mapping[str, Any], sizes: Mapping[str, int], below: str = "") -> str | None:
    """Say which file is missing or has another size than recorded, or None.

    Args:
        files: What the record lists.
        sizes: Bytes of what is there, by path.
        below: What comes before the recorded names in those paths.
    """
    for name, expected in files.items():
        size = sizes.get(below + name)
        if size is None:
            return f"{name} is missing"
        if size != expected["size"]:
            return f"{name} has {size} bytes, {expected['size']} were written"
    return None


def folder_damage(folder: Path) -> str | None:
    """Say what is wrong with a folder and the contents of its files, or None."""
    try:
        files = files_of((folder / RECORD).read_bytes())
    except OSError:
        files = None
    return f"{RECORD} is missing or damaged" if files is None else files_damage(folder, files)


def files_damage(folder: Path, files: Mapping[str, Any]) -> str | None:
    """Say which file of a folder is not as recorded, its content included, or None."""
    if damage := list_damage(files):
        return damage
    root, sizes = os.path.realpath(folder), {}
    for name in files:
        path = Path(os.path.realpath(folder / name))
        if not path.is_relative_to(root):
            return _outside(name)
        if path.is_file():
            sizes[name] = path.stat().st_size
    if damage := sizes_damage(files, sizes):
        return damage
    for name, expected in files.items():
        path = folder / name
        if _sha256_once(path, sizes[name], path.stat().st_mtime_ns) != expected["sha256"]:
            return f"{name} was altered after it was written"
    return None


def list_damage(files: Any) -> str | None:
    """Say what is wrong with a list of files as such: hostile names, missing facts."""
    if not isinstance(files, dict):
        return DAMAGED
    for name, file in files.items():
        path = PurePosixPath(name)
        down = path.parts and not path.is_absolute() and ".." not in path.parts
        if not down or str(path) != name or "\0" in name:
            return _outside(name)
        if not isinstance(file, dict) or not {"size", "sha256"} <= file.keys():
            return DAMAGED
    return None


def _outside(name: str) -> str:
    return f"{RECORD} names {name}, which is outside the folder"


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
