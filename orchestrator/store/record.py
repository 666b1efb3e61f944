"""Records: what a folder holds, written last, and whether it still does."""

import hashlib
import json
import os
import platform
from collections.abc import Mapping
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from orchestrator.step import Step, difference

RECORD = "record.json"
DAMAGED = f"{RECORD} is damaged or cannot be read"
VERSIONS_OF = ("torch", "diffusers", "accelerate", "numpy", "pyarrow", "ray", "scikit-learn")


def write_record(folder: Path, content: Mapping[str, Any]) -> list[str]:
    """Write ``record.json``, a folder's last file, which makes it whole; return what it lists."""
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
    """Replace a file in one step: whoever reads it finds the old text or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        partial.write_text(text, encoding="utf-8")
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def read_record(text: bytes, step: Step | None = None) -> tuple[dict[str, Any], str | None]:
    """Read a record; also say what is wrong with it, as that of ``step`` if one is given.

    No name that a whole record lists leads out of its folder.
    """
    try:
        record = json.loads(text)
        files, wanted = record["files"].items(), step.identity if step else None
        same = step is None or record["identity"] == wanted  # nearly always, and quickly told
        changes = [] if same else list(difference(record["identity"], wanted))
    except (ValueError, KeyError, AttributeError, TypeError):
        return {}, DAMAGED
    if changes:
        return {}, f"{RECORD} describes another result: {'; '.join(changes)}"
    for name, file in files:
        if "\0" in name or not {"", ".", ".."}.isdisjoint(name.split("/")):
            return {}, _outside(name)
        if not isinstance(file, dict) or not {"size", "sha256"} <= file.keys():
            return {}, DAMAGED
    return record, None


def sizes_damage(files: Mapping[str, Any], sizes: Mapping[str, int], below: str = "") -> str | None:
    """Say which file is missing below a folder, or has another size than recorded, or None."""
    for name, expected in files.items():
        size = sizes.get(below + name)
        if size is None:
            return f"{name} is missing"
        if size != expected["size"]:
            return f"{name} has {size} bytes, {expected['size']} were written"
    return None


def folder_damage(folder: Path) -> str | None:
    """Say what is wrong with a folder, its record and the contents of its files, or None."""
    try:
        record, damage = read_record((folder / RECORD).read_bytes())
    except OSError:
        return DAMAGED
    if damage:
        return damage
    root, found = os.path.realpath(folder), {}
    for name in record["files"]:
        path = os.path.realpath(f"{root}/{name}")
        if not path.startswith(f"{root}/"):
            return _outside(name)
        if os.path.isfile(path):  # noqa: PTH113 - pathlib takes half of a plan's time
            found[name] = path, os.stat(path)  # noqa: PTH116
    sizes = {name: status.st_size for name, (_, status) in found.items()}
    if damage := sizes_damage(record["files"], sizes):
        return damage
    for name, (path, status) in found.items():
        content = _sha256_once(path, status.st_size, status.st_mtime_ns)
        if content != record["files"][name]["sha256"]:
            return f"{name} was altered after it was written"
    return None


def _outside(name: str) -> str:
    return f"{RECORD} names {name}, which is outside the folder"


@lru_cache(maxsize=10_000)
def _sha256_once(path: str, size: int, mtime_ns: int) -> str:  # noqa: ARG001 - they are the key
    return _sha256(Path(path))


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
