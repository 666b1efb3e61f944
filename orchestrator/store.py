"""The artifact store: a folder per step, published whole or not at all.

Every file call on the store goes through this module, so that a remote store is one more
implementation of it.  There are no status files, leases or remembered failures: a step is done
exactly when its ``record.json``, written last, is there and every file it lists is as recorded.
"""

import hashlib
import json
import os
import platform
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from orchestrator.step import Step, difference

RECORD = "record.json"
NOT_BUILT = "not built"
VERSIONS_OF = ("torch", "diffusers", "accelerate", "numpy", "pyarrow", "ray", "scikit-learn")


class Store:
    """Artifacts under one root folder."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()

    def folder(self, step: Step) -> Path:
        """Where the step's result is or will be."""
        return self.root / step.path

    def damage(self, step: Step, *, content: bool = False) -> str | None:
        """Say why a step's result cannot be used, or None if it can.

        Args:
            step: The step to look for.
            content: Also hash every file.  Sizes are enough to plan; content is checked when a
                step is about to read the folder.

        Returns:
            None for a finished, whole result; ``"not built"`` when there is none; else what is
            wrong with the one that is there.
        """
        folder = self.folder(step)
        try:
            record = json.loads((folder / RECORD).read_text())
            files = record["files"].items()
            changes = list(difference(record["identity"], step.identity))
        except (FileNotFoundError, NotADirectoryError):
            return NOT_BUILT
        except OSError as error:
            return f"{RECORD} cannot be read: {error.strerror}"
        except (ValueError, KeyError, AttributeError, TypeError):
            return f"{RECORD} is damaged"
        if changes:
            return f"{RECORD} describes another result: {'; '.join(changes)}"
        return next(
            filter(None, (_file_damage(folder, *file, content=content) for file in files)), None
        )

    def has(self, step: Step) -> bool:
        """Whether the step is finished and its files have the recorded sizes."""
        return self.damage(step) is None

    def record(self, step: Step) -> dict[str, Any]:
        """The record of a finished step."""
        return dict(json.loads((self.folder(step) / RECORD).read_text()))

    def records(self, task: str) -> Iterator[dict[str, Any]]:
        """Records of every finished step of one task; unreadable ones are passed over."""
        for path in sorted((self.root / task).glob(f"*/{RECORD}")):
            record = None
            with suppress(ValueError, OSError):
                record = json.loads(path.read_text())
            if isinstance(record, dict):
                yield record

    def discard(self, step: Step) -> None:
        """Remove a damaged result, so that it is built again."""
        shutil.rmtree(self.folder(step), ignore_errors=True)

    @contextmanager
    def publish(self, step: Step) -> Iterator["Attempt"]:
        """Yield a private folder; on success move it into place, record last.

        Two drivers that race on a step waste work but corrupt nothing: the second finds the
        first one's result and keeps it.
        """
        final = self.folder(step)
        attempt = Attempt(final.with_name(f".{final.name}.{uuid.uuid4().hex[:6]}"))
        attempt.folder.mkdir(parents=True)
        try:
            yield attempt
            write_record(attempt.folder, {"identity": step.identity, **attempt.facts})
            if final.exists() and self.damage(step) is not None:
                self.discard(step)
            try:
                attempt.folder.rename(final)
            except OSError:
                if self.damage(step) is not None:
                    raise
        finally:
            shutil.rmtree(attempt.folder, ignore_errors=True)

    def explain(self, step: Step, *, content: bool = False) -> list[str]:
        """Say why a step is to run: what is damaged, or how it differs from its nearest sibling."""
        damage = self.damage(step, content=content)
        if damage is not None and damage != NOT_BUILT:
            return [damage]
        siblings = [
            record["identity"] for record in self.records(step.task) if "identity" in record
        ]
        changes = [list(difference(identity, step.identity)) for identity in siblings]
        return min(filter(None, changes), key=len, default=["the first of its task"])

    def log_path(self, step: Step) -> Path:
        """Where the traceback of a failed step goes."""
        return self.root / "logs" / f"{step.task}-{step.digest}.log"

    def check_writable(self, expected_bytes: int) -> None:
        """Fail before any work if the store cannot hold what is coming.

        Raises:
            OSError: With one clear line: read-only, no such place, too small.
        """
        try:
            self.root.mkdir(parents=True, exist_ok=True)
            probe = self.root / f".probe-{uuid.uuid4().hex[:6]}"
            try:
                probe.write_bytes(bytes(1 << 20))
            finally:
                probe.unlink(missing_ok=True)
        except OSError as error:
            raise OSError(
                f"cannot write to the store {self.root}: {error.strerror}. "
                f"Give another folder with --store."
            ) from error
        free = shutil.disk_usage(self.root).free
        if free < expected_bytes:
            raise OSError(
                f"the store {self.root} has {free / 1e6:.0f} MB free and this run is expected to "
                f"write {expected_bytes / 1e6:.0f} MB. Give a larger place with --store."
            )


class Attempt:
    """A result being made: its private folder and the facts that go into its record."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.facts: dict[str, Any] = {}


def write_record(folder: Path, content: Mapping[str, Any]) -> None:
    """Write ``record.json`` for a folder: the last write, which means that it is whole."""
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


def folder_damage(folder: Path) -> str | None:
    """Say what is wrong with a folder that has a record (a checkpoint), or None."""
    try:
        files = json.loads((folder / RECORD).read_text())["files"].items()
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return f"{RECORD} is missing or damaged"
    return next(filter(None, (_file_damage(folder, *file, content=True) for file in files)), None)


def _file_damage(
    folder: Path, name: str, expected: Mapping[str, Any], *, content: bool
) -> str | None:
    path = folder / name
    if not isinstance(expected, Mapping) or not {"size", "sha256"} <= expected.keys():
        return f"{RECORD} is damaged"
    if not path.resolve().is_relative_to(folder.resolve()):
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
