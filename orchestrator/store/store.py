"""The artifact store: a folder per step, done exactly when its ``record.json`` is there and true.

Locally a result is written to a private folder and renamed; of two that race, the first stays.
Remotely, files go below ``<step>/<attempt>/`` and ``<step>/record.json`` names the attempt; of two
that race, the last record counts.  What is read from there is copied to this machine first.
"""

import json
import shutil
import uuid
from collections.abc import Container, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from re import fullmatch
from typing import Any
from urllib.parse import unquote, urlsplit

from orchestrator.step import Step
from orchestrator.store import copies
from orchestrator.store.copies import private_folder
from orchestrator.store.record import (
    DAMAGED,
    RECORD,
    folder_damage,
    read_record,
    sizes_damage,
    write_record,
)
from orchestrator.store.storage import Storage, refuse_secrets

NOT_BUILT = "not built"


def open_store(address: str) -> "Store":
    """The store at an address, as ``--store`` takes it.

    Args:
        address: A folder, which may be relative or start with ``~``; ``file:///folder``; or remote
            storage that pyarrow supports, such as ``s3://bucket/folder``, with its options if
            needed: ``?region=eu-west-1``, ``?endpoint_override=127.0.0.1:9000&scheme=http``.

    Raises:
        ValueError: The address makes no sense, names no bucket, or holds a password.
        OSError: The storage does not answer, or refuses access.
    """
    place = urlsplit(address)
    if "://" in address and place.scheme != "file":
        refuse_secrets(address)
        Storage(address, ()).refuse_absent()
        return Store(address)
    if place.scheme == "file" and (
        place.netloc not in ("", "localhost") or not place.path.startswith("/")
    ):
        raise ValueError(f"--store takes file:///folder with three slashes, got {address!r}.")
    text = unquote(place.path) if place.scheme == "file" else address
    if not text.strip():
        raise ValueError("--store is empty; give a folder or leave it out.")
    try:
        folder = Path(text).expanduser()
        str(folder).encode()
    except (RuntimeError, UnicodeEncodeError) as error:
        said = str(error).rstrip(".")
        raise ValueError(f"--store {text!r}: {said}; give the whole path, in UTF-8.") from None
    for one in (folder, *folder.parents):
        if one.is_file():
            raise ValueError(f"--store takes a folder, but {str(one)!r} is a file.")
    return Store(folder)


class Store:
    """Results, checkpoints and logs below a folder, or below the address of remote storage."""

    def __init__(self, place: Path | str) -> None:
        remote = isinstance(place, str) and "://" in place
        self.storage = Storage(str(place) if remote else str(Path(place).absolute()))
        self.root = copies.place(self.address) if remote else Path(self.address)
        """What lies on this machine: the store itself, or the copies of a remote one."""

    @property
    def remote(self) -> bool:
        """Whether nodes share the store through an address, and ``root`` holds copies only."""
        return self.storage.remote

    @property
    def address(self) -> str:
        """What is typed and printed; ``open_store`` takes it on every node."""
        return self.storage.address

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the address only: each node has its own copies and its own credentials."""
        return Store, (self.address,)

    def folder(self, step: Step) -> Path:
        """Where the step's result is on this machine; of a remote store, once it is fetched."""
        return self.root / step.path

    def fetch(self, step: Step) -> Path:
        """Bring a finished, whole result to this machine, or raise OSError; return its folder."""
        if self.remote and (damage := self.damage(step, content=True)):
            raise OSError(f"{step.path}: {damage}")
        return self.folder(step)

    def damage(self, step: Step, *, content: bool = False) -> str | None:
        """Say why a step's result cannot be used, or None if it can.

        Sizes are looked at; with ``content`` every file is hashed, too, of a remote store on this
        machine's copy.  Raises OSError if a remote store does not answer or refuses access.
        """
        if (text := self._text(step)) is None:
            return NOT_BUILT
        record, damage = read_record(text, step)
        if damage:
            return damage
        if (attempt := self._attempt(record)) is None:
            return DAMAGED
        damage = sizes_damage(record["files"], self.storage.sizes(step.path), below=attempt)
        if damage or not content:
            return damage
        damage = self._bring(f"{step.path}/{attempt}".rstrip("/"), text, self.folder(step))
        if damage and self.remote and self._text(step) != text:  # published anew meanwhile
            return self.damage(step, content=True)
        return damage

    def has(self, step: Step) -> bool:
        """Whether the step is finished and its files have the recorded sizes."""
        return self.damage(step) is None

    def record(self, step: Step) -> dict[str, Any]:
        """The record of a finished step."""
        return dict(json.loads(self._text(step) or b""))

    def records(self, task: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield path and record of every finished step of a task; unreadable ones are skipped."""
        below = map(PurePosixPath, self.storage.sizes(task))
        paths = [f"{task}/{x.parent}" for x in below if x.name == RECORD and len(x.parts) == 2]
        texts = self.storage.each(lambda path: self.storage.read(f"{path}/{RECORD}"), paths)
        for path, text in sorted(zip(paths, texts, strict=True)):
            record = None
            with suppress(ValueError):
                record = json.loads(text or b"")
            if isinstance(record, dict):
                yield path, record

    def damages(self, steps: Iterable[Step], content: Container[str] = ()) -> dict[str, str | None]:
        """What ``damage`` says of each step, by digest, looking at contents of those named."""

        def look(step: Step) -> tuple[str, str | None]:
            return step.digest, self.damage(step, content=step.digest in content)

        return dict(self.storage.each(look, steps))

    @contextmanager
    def publish(self, step: Step) -> Iterator["Attempt"]:
        """Yield a private folder on this machine; on success publish it, record last."""
        final = self.folder(step)
        with private_folder(final) as folder:
            attempt = Attempt(folder)
            yield attempt
            content = {"identity": step.identity, **attempt.facts}
            if self.remote:
                name = uuid.uuid4().hex[:12]
                files = write_record(folder, {**content, "attempt": name})
                self.storage.upload(folder, f"{step.path}/{name}", files)
                self.storage.write(f"{step.path}/{RECORD}", (folder / RECORD).read_bytes())
                copies.replace(folder, final, self.root)
                return
            write_record(folder, content)
            if final.exists() and self.damage(step) is not None:
                self.discard(step)
            try:
                folder.rename(final)
            except OSError:  # another driver was faster
                if self.damage(step) is not None:
                    raise

    def discard(self, step: Step) -> None:
        """Remove a damaged result, so that it is built again: remotely the record first."""
        if self.remote:
            record, _ = read_record(self._text(step) or b"", step)
            self.storage.delete(f"{step.path}/{RECORD}")
            if attempt := self._attempt(record):
                self.storage.delete_below(f"{step.path}/{attempt}")
        shutil.rmtree(self.folder(step), ignore_errors=True)

    def _text(self, step: Step) -> bytes | None:
        return self.storage.read(f"{step.path}/{RECORD}")

    def _attempt(self, record: Mapping[str, Any]) -> str | None:
        """Where a record's files lie, from the record's folder; None if it says so wrongly."""
        if not self.remote:
            return ""
        name = record.get("attempt")
        return f"{name}/" if isinstance(name, str) and fullmatch("[0-9a-f]{12}", name) else None

    def marked(self, below: str) -> list[str]:
        """Folders two levels below a folder that have a record, as paths from the store."""
        found = map(PurePosixPath, self.storage.sizes(below))
        marks = (path for path in found if path.name == RECORD and len(path.parts) == 3)
        return sorted(f"{below}/{path.parent}" for path in marks)

    def bring(self, path: str) -> str | None:
        """Bring a folder that ``marked`` names to ``root / path``; say what is wrong with it."""
        return self._bring(path, self.storage.read(f"{path}/{RECORD}") or b"", self.root / path)

    def _bring(self, path: str, text: bytes, final: Path) -> str | None:
        if not self.remote:
            return folder_damage(final)
        download = partial(self.storage.download, path)
        return copies.bring(download, text, final, self.root)

    def keep(self, folder: Path) -> None:
        """Upload a folder that lies below ``root`` to a remote store, its record last if any."""
        if not self.remote:
            return
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        names = [path.relative_to(folder).as_posix() for path in files]
        for last in (False, True):
            some = [name for name in names if (name == RECORD) == last]
            self.storage.upload(folder, folder.relative_to(self.root).as_posix(), some)

    def remove(self, path: str) -> None:
        """Remove a folder from the store and from this machine."""
        if self.remote:
            self.storage.delete_below(path)
        shutil.rmtree(self.root / path, ignore_errors=True)

    def write_log(self, step: Step, text: str) -> None:
        """Keep the traceback of a failed step."""
        self.storage.write(_log(step), text.encode(errors="backslashreplace"))

    def log_address(self, step: Step) -> str | None:
        """Where people find the traceback of a step, or None when there is none."""
        return None if self.storage.read(_log(step)) is None else self.storage.at(_log(step))

    def drop_log(self, step: Step) -> None:
        """Remove the traceback of an earlier failure."""
        self.storage.delete(_log(step))

    def tune(self) -> tuple[str, Any]:
        """Ray Tune's ``storage_path`` and ``storage_filesystem``, in the store."""
        return self.storage.file_system("tune") if self.remote else (str(self.root / "tune"), None)

    def probe(self) -> str:
        """Write a random small file; its token is for ``sees``, on other nodes, and ``unprobe``."""
        token = f".probe-{uuid.uuid4().hex}"
        Storage(self.address, ()).write(token, token.encode())
        return token

    def sees(self, token: str) -> str | None:
        """Why this process does not read what ``probe`` wrote, or None if it does."""
        try:
            found = Storage(self.address, ()).read(token)
        except (OSError, ValueError) as error:
            return str(error)
        absent = f"it does not find in {self.address} what was just written there"
        return None if found == token.encode() else absent

    def unprobe(self, token: str) -> None:
        """Remove what ``probe`` wrote."""
        self.storage.delete(token)

    def check_writable(self, expected_bytes: int) -> None:
        """Raise OSError, in a line, if the store cannot hold what is to be written."""
        if self.remote:
            mine = f"this machine's copy of the store, {self.root}"
            check_folder(self.root, mine, "with CASTLEWALLS_CACHE", 0)
            self.unprobe(self.probe())
        else:
            check_folder(self.root, f"the store {self.root}", "with --store", expected_bytes)


@dataclass
class Attempt:
    """A result being made: its private folder and the facts that go into its record."""

    folder: Path
    facts: dict[str, Any] = field(default_factory=dict)


def check_folder(folder: Path, what: str, how: str, expected_bytes: int) -> None:
    """Make a folder; fail in one line if it takes nothing, or its disk has too little room."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".probe-{uuid.uuid4().hex}"
        try:
            probe.write_bytes(bytes(1 << 20))
        finally:
            probe.unlink(missing_ok=True)
    except OSError as error:
        raise OSError(
            f"cannot write to {what}: {error.strerror}. Give another folder {how}."
        ) from error
    free = shutil.disk_usage(folder).free
    if free < expected_bytes:
        raise OSError(
            f"{what} has {free / 1e6:.0f} MB free and this run is expected to write "
            f"{expected_bytes / 1e6:.0f} MB. Give a larger place {how}."
        )


def _log(step: Step) -> str:
    return f"logs/{step.task}-{step.digest}.log"
