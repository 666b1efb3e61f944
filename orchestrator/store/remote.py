"""A store on remote storage that ``pyarrow.fs`` knows: S3, Google Cloud Storage and the like.

A result is made on the machine that computes it.  Its files go below
``<task>/<label>-<digest>/<attempt>/`` and then one object, ``<task>/<label>-<digest>/record.json``,
names the attempt: writing it publishes the result, and it is there as a whole or not at all.  Of
two drivers that race both results are whole and the last record counts; who holds the first one
still finds its files.  What a killed attempt had uploaded stays behind and is never read.

What is read is copied to this machine, under ``$CASTLEWALLS_CACHE`` or ``~/.cache/castlewalls``,
laid out like a folder store, where it stays.  The copy is believed only while it has the store's
own record and its bytes hash to what that says.
"""

import fcntl
import hashlib
import json
import os
import re
import secrets
import shutil
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar

from orchestrator.step import Step
from orchestrator.store.record import (
    RECORD,
    files_damage,
    folder_damage,
    inside,
    judged,
    write_record,
)
from orchestrator.store.storage import Storage, refuse_secrets
from orchestrator.store.store import (
    NOT_BUILT,
    Attempt,
    Store,
    check_folder,
    log_name,
    private_folder,
    probe_name,
)


def opened(address: str) -> "RemoteStore":
    """The remote store at an address, once it has answered.

    Raises:
        ValueError: In one line: an unknown scheme or option, no such bucket, a secret in it.
        OSError: In one line: the storage does not answer or does not let us in.
    """
    refuse_secrets(address)
    store = RemoteStore(address)
    store.storage.refuse_absent()
    return store


class RemoteStore(Store):
    """Artifacts under an address; ``root`` is this machine's copy of what was used here."""

    remote: ClassVar[bool] = True

    def __init__(self, address: str) -> None:
        self.storage = Storage(address)
        place = os.environ.get("CASTLEWALLS_CACHE") or "~/.cache/castlewalls"
        name = hashlib.sha256(address.encode()).hexdigest()[:12]
        super().__init__(Path(place).expanduser() / name)
        self._listings: dict[str, dict[str, int]] | None = None
        self._texts: dict[str, bytes] = {}

    @property
    def address(self) -> str:
        """What is typed and printed."""
        return self.storage.address

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the address only: each node has its own copy and its own credentials."""
        return RemoteStore, (self.address,)

    # -- Results ------------------------------------------------------------------------------

    def damage(self, step: Step, *, content: bool = False) -> str | None:
        """Say why a step's result cannot be used, or None; see ``Store.damage``."""
        text = self._text(step.path)
        if text is None:
            return NOT_BUILT
        record, damage = judged(text, step)
        if damage:
            return damage
        damage = _sizes_damage(record, self._files(step.path))
        if damage or not content:
            return damage
        damage = self._bring(f"{step.path}/{record['attempt']}", text, self.folder(step))
        if damage and self._text(step.path) != text:  # it was published anew meanwhile
            return self.damage(step, content=True)
        return damage

    def fetch(self, step: Step) -> Path:
        """Have a finished step's result on this machine; see ``Store.fetch``."""
        if damage := self.damage(step, content=True):
            raise OSError(f"{step.path}: {damage}")
        return self.folder(step)

    def record(self, step: Step) -> dict[str, Any]:
        """The record of a finished step."""
        return dict(json.loads(self._text(step.path) or b""))

    def records(self, task: str) -> Iterator[dict[str, Any]]:
        """Records of every finished step of one task; unreadable ones are passed over."""
        if self._listings is None:
            paths = [f"{task}/{name}" for name in self.storage.folders(task)]
        else:
            paths = [path for path in self._listings if path.startswith(f"{task}/")]
        for text in self.storage.each(self._text, sorted(paths)):
            record = None
            with suppress(ValueError):
                record = json.loads(text or b"")
            if isinstance(record, dict):
                yield record

    @contextmanager
    def look(self, steps: Iterable[Step], *, content: Collection[str] = ()) -> Iterator[None]:
        """Read what there is of many steps at once; see ``Store.look``."""
        steps = list(steps)
        tasks = sorted({step.task for step in steps})
        listings: dict[str, dict[str, int]] = {}
        for task, found in zip(tasks, self.storage.each(self.storage.sizes, tasks), strict=True):
            for path, size in found.items():
                folder, _, name = path.partition("/")
                listings.setdefault(f"{task}/{folder}", {})[name] = size
        try:
            self._listings = listings
            self.storage.each(self._text, {step.path for step in steps})
            needed = {step.path: step for step in steps if step.digest in content}
            self.storage.each(lambda step: self.damage(step, content=True), needed.values())
            yield
        finally:
            self._listings = None
            self._texts.clear()

    def _text(self, path: str) -> bytes | None:
        """The record of the result at a path, or None if there is none."""
        if self._listings is None:
            return self.storage.read(f"{path}/{RECORD}")
        if RECORD not in self._listings.get(path, {}):
            return None
        if path not in self._texts and (text := self.storage.read(f"{path}/{RECORD}")):
            self._texts[path] = text
        return self._texts.get(path)

    def _files(self, path: str) -> dict[str, int]:
        """The size of each file of each attempt at a result."""
        return self.storage.sizes(path) if self._listings is None else self._listings.get(path, {})

    def _bring(self, path: str, text: bytes, final: Path) -> str | None:
        """Have the files of a record on this machine; say what is wrong with them, or None."""
        if _is_copy(final, text):
            return None
        with self._alone(final):
            if _is_copy(final, text):  # another process was just doing the same
                return None
            with private_folder(final) as fresh:
                files = dict(json.loads(text)["files"])
                if outside := [name for name in files if not inside(fresh, name)]:
                    return f"{RECORD} names {outside[0]}, which is outside the folder"
                try:
                    self.storage.download(path, files, fresh)
                except (FileNotFoundError, FileExistsError, NotADirectoryError):
                    return f"{RECORD} names files that are not there"
                if damage := files_damage(fresh, files, content=True):
                    return damage
                (fresh / RECORD).write_bytes(text)
                _replace(fresh, final)
        return None

    @contextmanager
    def _alone(self, final: Path) -> Iterator[None]:
        """Let one process of this machine at a time change the copy of a result."""
        place = self.root / ".locks"
        place.mkdir(parents=True, exist_ok=True)
        name = hashlib.sha256(os.fsencode(final)).hexdigest()[:16]
        with (place / name).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # it goes with the process
            yield

    @contextmanager
    def publish(self, step: Step) -> Iterator[Attempt]:
        """Yield a private folder on this machine; on success upload it, record last.

        Two drivers that race on a step waste work but corrupt nothing: each has an attempt of its
        own, and the last record counts.
        """
        final = self.folder(step)
        with private_folder(final) as folder:
            attempt = Attempt(folder)
            yield attempt
            name = uuid.uuid4().hex[:12]
            content = {"identity": step.identity, "attempt": name, **attempt.facts}
            files = write_record(folder, content)
            self.storage.upload(folder, f"{step.path}/{name}", files)
            self.storage.write(f"{step.path}/{RECORD}", (folder / RECORD).read_bytes())
            with self._alone(final):
                _replace(folder, final)

    def discard(self, step: Step) -> None:
        """Remove a damaged result, so that it is built again: the record first, then its files."""
        record, _ = judged(self._text(step.path) or b"", step)
        self.storage.delete(f"{step.path}/{RECORD}")
        if name := _attempt_of(record):
            self.storage.delete_below(f"{step.path}/{name}")
        super().discard(step)

    # -- Checkpoints, reports, logs, the sweep ------------------------------------------------

    def marked(self, below: str) -> list[str]:
        """Folders two levels below a folder that have a record, as paths from the root."""
        found = [name.split("/") for name in self.storage.sizes(below)]
        marks = [parts for parts in found if len(parts) == 3 and parts[-1] == RECORD]
        return sorted("/".join([below, *parts[:-1]]) for parts in marks)

    def bring(self, path: str) -> str | None:
        """Have a folder with a record on this machine; see ``Store.bring``."""
        text = self.storage.read(f"{path}/{RECORD}") or b""
        try:
            return self._bring(path, text, self.root / path)
        except (ValueError, KeyError, TypeError):
            return f"{RECORD} is missing or damaged"

    def keep(self, folder: Path) -> str:
        """Upload a folder that lies under ``root``, its record last if it has one."""
        path = folder.relative_to(self.root).as_posix()
        below = (file for file in sorted(folder.rglob("*")) if file.is_file())
        names = [file.relative_to(folder).as_posix() for file in below]
        self.storage.upload(folder, path, [name for name in names if name != RECORD])
        self.storage.upload(folder, path, [name for name in names if name == RECORD])
        return self.storage.at(path)

    def remove(self, path: str) -> None:
        """Remove a folder from the storage and from this machine."""
        self.storage.delete_below(path)
        super().remove(path)

    def write_log(self, step: Step, text: str) -> None:
        """Keep the traceback of a failed step."""
        self.storage.write(log_name(step), text.encode())

    def log_address(self, step: Step) -> str | None:
        """Where people find the traceback of a step, or None when there is none."""
        name = log_name(step)
        return None if self.storage.read(name) is None else self.storage.at(name)

    def drop_log(self, step: Step) -> None:
        """Remove the traceback of an earlier failure: the step is made."""
        self.storage.delete(log_name(step))

    def probe(self) -> str:
        """Write a small object that nobody could guess; see ``Store.probe``."""
        name, content = uuid.uuid4().hex, secrets.token_hex(16)
        self.storage.write(probe_name(name), content.encode(), ())
        return f"{name}:{content}"

    def sees(self, token: str) -> str | None:
        """Why this process does not read what ``probe`` wrote, or None if it does."""
        name, _, content = token.partition(":")
        try:
            found = self.storage.read(probe_name(name), ())
        except (OSError, ValueError) as error:
            return str(error)
        if found == content.encode():
            return None
        return f"it does not find in {self.address} what was just written there"

    def unprobe(self, token: str) -> None:
        """Remove what ``probe`` wrote."""
        self.storage.delete(probe_name(token.partition(":")[0]))

    def tune(self) -> tuple[str, Any]:
        """Tune's ``storage_path`` and ``storage_filesystem``."""
        return self.storage.file_system("tune")

    def check_writable(self, expected_bytes: int) -> None:  # noqa: ARG002 - nobody knows the room
        """Fail before any work if the storage takes nothing, or this machine has no place for it.

        Raises:
            OSError: With one clear line.
        """
        mine = f"this machine's copy of the store, {self.root}"
        check_folder(self.root, mine, "with CASTLEWALLS_CACHE", 0)
        self.unprobe(self.probe())


def _attempt_of(record: Mapping[str, Any]) -> str | None:
    """The attempt that a record publishes; None if it is no name that we give."""
    name = record.get("attempt")
    return name if isinstance(name, str) and re.fullmatch("[0-9a-f]{12}", name) else None


def _sizes_damage(record: Mapping[str, Any], sizes: Mapping[str, int]) -> str | None:
    """Say which file of the attempt is not as the record lists it, or None."""
    if (attempt := _attempt_of(record)) is None:
        return f"{RECORD} is damaged"
    for name, expected in record["files"].items():
        size = sizes.get(f"{attempt}/{name}")
        if size is None:
            return f"{name} is missing"
        if size != expected["size"]:
            return f"{name} has {size} bytes, {expected['size']} were written"
    return None


def _is_copy(folder: Path, record: bytes) -> bool:
    """Whether a folder on this machine has exactly this record, and its files are as it says."""
    with suppress(OSError):
        return (folder / RECORD).read_bytes() == record and folder_damage(folder) is None
    return False


def _replace(fresh: Path, final: Path) -> None:
    """Move a folder to where another one may be; who has that one's files open still reads them."""
    with suppress(FileNotFoundError):
        aside = fresh.with_name(f"{fresh.name}.old")
        final.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)
    fresh.rename(final)
