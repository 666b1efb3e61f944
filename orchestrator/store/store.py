"""The artifact store: a folder per step, published whole or not at all.

Every store is read and written through ``storage``, a local folder and an address such as
``s3://bucket/folder`` alike.  There are no status files, leases or remembered failures: a step is
done exactly when its ``record.json``, written last, is there and its files are as recorded.

Locally a result is written to a private folder and renamed; of two drivers that race, the first
one's result stays.  Remote storage cannot rename, so there files go below ``<step>/<attempt>/`` and
``<step>/record.json`` names the attempt; of two that race, the last record counts.  What is read
from remote storage is copied to this machine first; see ``copies``.
"""

import json
import secrets
import shutil
import uuid
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
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
    record_of,
    sizes_damage,
    write_record,
)
from orchestrator.store.storage import Storage, each, in_short, refuse_secrets

NOT_BUILT = "not built"


def open_store(address: str) -> "Store":
    """The store at an address, as ``--store`` takes it.

    Args:
        address: A folder, which may be relative or start with ``~``; ``file:///folder``; or remote
            storage that pyarrow supports, such as ``s3://bucket/folder``, with its options if
            needed: ``?region=eu-west-1``, ``?endpoint_override=127.0.0.1:9000&scheme=http``.

    Raises:
        ValueError: In one line: an empty address, an unknown scheme or option, a bucket that does
            not exist, a password in the address.
        OSError: In one line: the storage does not answer, or refuses access.
    """
    if "://" in address and not address.startswith("file://"):
        refuse_secrets(address)
        store = Store(address)
        store.storage.refuse_absent()
        return store
    place = urlsplit(address)
    if "://" not in address:
        folder = Path(address)
    elif place.netloc in ("", "localhost") and place.path.startswith("/"):
        folder = Path(unquote(place.path))
    else:
        raise ValueError(f"--store takes file:///folder with three slashes, got {address!r}.")
    if not address.strip():
        raise ValueError("--store is empty; give a folder or leave it out.")
    try:
        folder = folder.expanduser()
    except RuntimeError:
        raise ValueError(
            f"--store {address}: there is no home folder that ~ stands for; give the whole path."
        ) from None
    for one in (folder, *folder.parents):
        if one.is_file():
            raise ValueError(f"--store takes a folder, but {str(one)!r} is a file.")
    return Store(folder)


class Store:
    """Results, checkpoints and logs below one folder or address, which every node can reach.

    Args:
        place: A folder, or the address of remote storage.
    """

    def __init__(self, place: Path | str) -> None:
        remote = isinstance(place, str) and "://" in place
        self.storage = Storage(str(place) if remote else str(Path(place).absolute()))
        self.root = copies.place(self.address) if remote else Path(self.address)
        """What lies on this machine: the store itself, or the copies of a remote one."""
        self._listings: dict[str, dict[str, int]] | None = None
        self._texts: dict[str, bytes | None] = {}

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
        """Where the step's result is or will be, on this machine.

        That of a remote store is there after ``fetch``, or after ``damage(content=True)`` found
        nothing.
        """
        return self.root / step.path

    def fetch(self, step: Step) -> Path:
        """Bring a finished step's result to this machine.

        Returns:
            Its folder.

        Raises:
            OSError: It is not in the remote store, or not whole.
        """
        if self.remote and (damage := self.damage(step, content=True)):
            raise OSError(f"{step.path}: {damage}")
        return self.folder(step)

    def damage(self, step: Step, *, content: bool = False) -> str | None:
        """Say why a step's result cannot be used, or None if it can.

        Args:
            step: The step to look for.
            content: Also hash every file; of a remote store, copy them to this machine first.
                Sizes are enough to plan; content is checked when a step is about to read.

        Returns:
            None for a finished, whole result; ``"not built"`` when there is none; else what is
            wrong with the one that is there.

        Raises:
            OSError: A remote store does not answer or refuses access.
        """
        try:
            text = self._text(step.path)
        except OSError as error:
            if self.remote:
                raise
            return f"{RECORD} cannot be read: {in_short(error)}"
        if text is None:
            return NOT_BUILT
        record, damage = record_of(text, step)
        if damage:
            return damage
        if (attempt := self._attempt(record)) is None:
            return DAMAGED
        damage = sizes_damage(record["files"], self._sizes(step.path), below=attempt)
        if damage or not content:
            return damage
        damage = self._bring(f"{step.path}/{attempt}".rstrip("/"), text, self.folder(step))
        if damage and self.remote and self._text(step.path) != text:  # published anew meanwhile
            return self.damage(step, content=True)
        return damage

    def has(self, step: Step) -> bool:
        """Whether the step is finished and its files have the recorded sizes."""
        return self.damage(step) is None

    def record(self, step: Step) -> dict[str, Any]:
        """The record of a finished step."""
        return dict(json.loads(self._text(step.path) or b""))

    def records(self, task: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield path and record of every finished step of a task; unreadable ones are skipped."""
        if self._listings is None:
            below = map(PurePosixPath, self._sizes(task))
            paths = [f"{task}/{x.parent}" for x in below if x.name == RECORD and len(x.parts) == 2]
        else:
            paths = [path for path in self._listings if path.startswith(f"{task}/")]
        texts = each(self._text, paths) if self.remote else map(self._readable, paths)
        for path, text in sorted(zip(paths, texts, strict=True)):
            record = None
            with suppress(ValueError):
                record = json.loads(text or b"")
            if isinstance(record, dict):
                yield path, record

    @contextmanager
    def look(self, steps: Iterable[Step], *, content: Collection[str] = ()) -> Iterator[None]:
        """List what a remote store has of many steps, and remember it until the ``with`` ends.

        This is for planning: it takes a few requests instead of several for each step.

        Args:
            steps: The steps that will be asked about.
            content: Digests of those whose files will be read too.
        """
        if not self.remote:
            yield
            return
        steps = list(steps)
        tasks = sorted({step.task for step in steps})
        listings: dict[str, dict[str, int]] = {}
        for task, found in zip(tasks, each(self.storage.sizes, tasks), strict=True):
            for path, size in found.items():
                folder, _, name = path.partition("/")
                listings.setdefault(f"{task}/{folder}", {})[name] = size
        try:
            self._listings = listings
            each(self._text, {step.path for step in steps})
            needed = {step.path: step for step in steps if step.digest in content}
            each(lambda step: self.damage(step, content=True), needed.values())
            yield
        finally:
            self._listings = None
            self._texts.clear()

    @contextmanager
    def publish(self, step: Step) -> Iterator["Attempt"]:
        """Yield a private folder on this machine; on success publish it, record last.

        Two drivers that race on a step waste work but corrupt nothing.
        """
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
            record, _ = record_of(self._text(step.path) or b"", step)
            self.storage.delete(f"{step.path}/{RECORD}")
            if attempt := self._attempt(record):
                self.storage.delete_below(f"{step.path}/{attempt}")
        shutil.rmtree(self.folder(step), ignore_errors=True)

    def _attempt(self, record: Mapping[str, Any]) -> str | None:
        """Where a record's files lie, from the record's folder; None if it says so wrongly."""
        if not self.remote:
            return ""
        name = record.get("attempt")
        return f"{name}/" if isinstance(name, str) and fullmatch("[0-9a-f]{12}", name) else None

    def _readable(self, path: str) -> bytes | None:
        """The record of a local result, or None if there is none that can be read."""
        with suppress(OSError):
            return self._text(path)
        return None

    def _text(self, path: str) -> bytes | None:
        """The record of the result at a path, or None if there is none."""
        if self._listings is None:
            return self.storage.read(f"{path}/{RECORD}")
        if path not in self._texts and RECORD in self._listings.get(path, {}):
            self._texts[path] = self.storage.read(f"{path}/{RECORD}")
        return self._texts.get(path)

    def _sizes(self, path: str) -> dict[str, int]:
        """The size of each file below a path; none where a local folder cannot be listed."""
        if self._listings is not None:
            return self._listings.get(path, {})
        try:
            return self.storage.sizes(path)
        except OSError:
            if self.remote:
                raise
            return {}

    def marked(self, below: str) -> list[str]:
        """Folders two levels below a folder that have a record, as paths from the store."""
        found = map(PurePosixPath, self.storage.sizes(below))
        marks = (path for path in found if path.name == RECORD and len(path.parts) == 3)
        return sorted(f"{below}/{path.parent}" for path in marks)

    def bring(self, path: str) -> str | None:
        """Bring a folder that ``marked`` names to ``root / path``; say what is wrong with it."""
        return self._bring(path, self.storage.read(f"{path}/{RECORD}") or b"", self.root / path)

    def _bring(self, path: str, text: bytes, final: Path) -> str | None:
        """Bring the files of a record to this machine; say what is wrong with them, or None."""
        if not self.remote:
            return folder_damage(final)
        return copies.bring(
            lambda names, to: self.storage.download(path, names, to), text, final, self.root
        )

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
        self.storage.write(log_name(step), text.encode(errors="backslashreplace"))

    def log_address(self, step: Step) -> str | None:
        """Where people find the traceback of a step, or None when there is none."""
        name = log_name(step)
        return None if self.storage.read(name) is None else self.storage.at(name)

    def drop_log(self, step: Step) -> None:
        """Remove the traceback of an earlier failure."""
        self.storage.delete(log_name(step))

    def tune(self) -> tuple[str, Any]:
        """Ray Tune's ``storage_path`` and ``storage_filesystem``, in the store."""
        return self.storage.file_system("tune") if self.remote else (str(self.root / "tune"), None)

    def probe(self) -> str:
        """Write a small file with a random name and content.

        Returns:
            A token for ``sees``, on other nodes, and ``unprobe``.
        """
        name, content = uuid.uuid4().hex, secrets.token_hex(16)
        self.storage.write(probe_name(name), content.encode(), ())
        return f"{name}:{content}"

    def sees(self, token: str) -> str | None:
        """Why this process does not read what ``probe`` wrote, or None if it does."""
        name, _, content = token.partition(":")
        try:
            found = self.storage.read(probe_name(name), ())
        except (OSError, ValueError) as error:
            return str(error) if self.remote else f"{self.root} cannot be read: {error}"
        if found == content.encode():
            return None
        return f"it does not find in {self.address} what was just written there"

    def unprobe(self, token: str) -> None:
        """Remove what ``probe`` wrote."""
        self.storage.delete(probe_name(token.partition(":")[0]))

    def check_writable(self, expected_bytes: int, folders: Iterable[str] = ()) -> None:
        """Fail before any work if the store cannot hold what is coming.

        Args:
            expected_bytes: Room that is needed; of remote storage nobody knows how much there is.
            folders: Folders of the store that will be written to, if they are there already.

        Raises:
            OSError: With one clear line: it is read-only, cannot be made, or is too small.
        """
        if self.remote:
            mine = f"this machine's copy of the store, {self.root}"
            check_folder(self.root, mine, "with CASTLEWALLS_CACHE", 0)
            self.unprobe(self.probe())
        else:
            check_folder(self.root, f"the store {self.root}", "with --store", expected_bytes)
        for folder in sorted(self.root / name for name in folders):
            if folder.is_dir():
                how = f"with --store, or let yourself write there: chmod u+rwx {folder}"
                check_folder(folder, f"the store's folder {folder}", how, 0)


class Attempt:
    """A result being made: its private folder and the facts that go into its record."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.facts: dict[str, Any] = {}


def check_folder(folder: Path, what: str, how: str, expected_bytes: int) -> None:
    """Make a folder; fail in one line if it takes nothing, or its disk has too little room."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / probe_name(uuid.uuid4().hex)
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


def probe_name(name: str) -> str:
    """The file of a probe, in the store."""
    return f".probe-{name}"


def log_name(step: Step) -> str:
    """The file of a step's traceback, in the store."""
    return f"logs/{step.task}-{step.digest}.log"
