"""The artifact store: a folder per step, published whole or not at all.

Every file call on the store goes through here or through ``remote``, which keeps the
same under an address such as ``s3://bucket/folder``.  There are no status files, leases or
remembered failures: a step is done exactly when its ``record.json``, written last, is there and
every file it lists is as recorded.
"""

import json
import secrets
import shutil
import uuid
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import unquote, urlsplit

from orchestrator import choices
from orchestrator.step import Step, difference
from orchestrator.store.record import RECORD, files_damage, folder_damage, judged, write_record

NOT_BUILT = "not built"


def open_store(address: str) -> "Store":
    """The store at an address, as ``--store`` takes it.

    Args:
        address: A folder, ``~`` and relative ones too; ``file:///folder``; or remote storage that
            pyarrow knows, such as ``s3://bucket/folder`` or ``gs://bucket/folder``, perhaps with
            its options: ``?region=eu-west-1``, ``?endpoint_override=127.0.0.1:9000&scheme=http``.

    Raises:
        ValueError: In one line: nothing at all, an unknown scheme or option, a bucket that is not
            there, a password in the address.
        OSError: In one line: the storage does not answer, or does not let us in.
    """
    if "://" not in address:
        return Store(_folder(choices.path(address, "--store")))
    if not address.startswith("file://"):
        from orchestrator.store import remote

        return remote.opened(address)
    place = urlsplit(address)
    if place.netloc not in ("", "localhost") or not place.path.startswith("/"):
        raise ValueError(f"--store takes file:///folder with three slashes, got {address!r}.")
    return Store(_folder(Path(unquote(place.path))))


def _folder(place: Path) -> Path:
    """A place that is a folder, or can become one.

    Raises:
        ValueError: A file is in its way.
    """
    for one in (place, *place.parents):
        if one.is_file():
            raise ValueError(f"--store takes a folder, but {str(one)!r} is a file.")
    return place


class Store:
    """Artifacts under one root folder, which every node sees if there are several."""

    remote: ClassVar[bool] = False
    """Whether nodes share it through an address, and ``root`` is only this machine's copy."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        """What lies on this machine: results, and the database, rates and reports beside them."""

    @property
    def address(self) -> str:
        """What is typed and printed; ``open_store`` takes it anywhere."""
        return str(self.root)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the address only."""
        return Store, (self.root,)

    def folder(self, step: Step) -> Path:
        """Where the step's result is or will be, on this machine.

        In a remote store it is there after ``fetch``, or ``damage(content=True)`` that found none.
        """
        return self.root / step.path

    def fetch(self, step: Step) -> Path:
        """Have a finished step's result on this machine.

        Returns:
            Its folder.

        Raises:
            OSError: It is not there, or not whole.
        """
        return self.folder(step)

    def damage(self, step: Step, *, content: bool = False) -> str | None:
        """Say why a step's result cannot be used, or None if it can.

        Args:
            step: The step to look for.
            content: Also hash every file; of a remote store, bring them to this machine first.
                Sizes are enough to plan; content is checked when a step is about to read.

        Returns:
            None for a finished, whole result; ``"not built"`` when there is none; else what is
            wrong with the one that is there.

        Raises:
            OSError: A remote store does not answer or does not let us in.
        """
        folder = self.folder(step)
        try:
            text = (folder / RECORD).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return NOT_BUILT
        except OSError as error:
            return f"{RECORD} cannot be read: {error.strerror}"
        record, damage = judged(text, step)
        return damage or files_damage(folder, record["files"], content=content)

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

    @contextmanager
    def look(
        self,
        steps: Iterable[Step],  # noqa: ARG002 - a folder has nothing to gain
        *,
        content: Collection[str] = (),  # noqa: ARG002
    ) -> Iterator[None]:
        """Read what there is of many steps at once; it is remembered within the ``with`` alone.

        For planning: a remote store is asked in a few requests instead of some for each step.

        Args:
            steps: Those that will be asked about.
            content: Digests of those whose files will be read too.
        """
        yield

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
        with private_folder(final) as folder:
            attempt = Attempt(folder)
            yield attempt
            write_record(folder, {"identity": step.identity, **attempt.facts})
            if final.exists() and self.damage(step) is not None:
                self.discard(step)
            try:
                folder.rename(final)
            except OSError:
                if self.damage(step) is not None:
                    raise

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

    def marked(self, below: str) -> list[str]:
        """Folders two levels below a folder that have a record, as paths from the root."""
        found = (self.root / below).glob(f"*/*/{RECORD}")
        return sorted(path.parent.relative_to(self.root).as_posix() for path in found)

    def bring(self, path: str) -> str | None:
        """Have a folder that ``marked`` names on this machine, at ``root / path``.

        Returns:
            What is wrong with it, or None if it is whole.
        """
        return folder_damage(self.root / path)

    def keep(self, folder: Path) -> str:
        """Keep a folder that lies under ``root`` with everything else, its record last.

        Returns:
            Where people find it: a path, or an address.
        """
        return str(folder)

    def remove(self, path: str) -> None:
        """Remove a folder, wherever the store has it."""
        shutil.rmtree(self.root / path, ignore_errors=True)

    def log_path(self, step: Step) -> Path:
        """Where the traceback of a failed step goes, in a folder."""
        return self.root / log_name(step)

    def write_log(self, step: Step, text: str) -> None:
        """Keep the traceback of a failed step."""
        path = self.log_path(step)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def log_address(self, step: Step) -> str | None:
        """Where people find the traceback of a step, or None when there is none."""
        path = self.log_path(step)
        return str(path) if path.exists() else None

    def drop_log(self, step: Step) -> None:
        """Remove the traceback of an earlier failure: the step is made."""
        self.log_path(step).unlink(missing_ok=True)

    def probe(self) -> str:
        """Write a small file that nobody could guess.

        Returns:
            A token for ``sees``, on other nodes, and ``unprobe``.
        """
        name, content = uuid.uuid4().hex, secrets.token_hex(16)
        self.root.mkdir(parents=True, exist_ok=True)
        (self.root / probe_name(name)).write_text(content)
        return f"{name}:{content}"

    def sees(self, token: str) -> str | None:
        """Why this process does not read what ``probe`` wrote, or None if it does."""
        name, _, content = token.partition(":")
        if not self.root.is_dir():
            return f"it has no folder {self.root}"
        try:
            if (self.root / probe_name(name)).read_text() == content:
                return None
        except FileNotFoundError:
            pass
        except OSError as error:
            return f"its folder {self.root} cannot be read: {error.strerror}"
        return f"its folder {self.root} is another one: what is written here does not appear there"

    def unprobe(self, token: str) -> None:
        """Remove what ``probe`` wrote."""
        (self.root / probe_name(token.partition(":")[0])).unlink(missing_ok=True)

    def tune(self) -> tuple[str, Any]:
        """Tune's ``storage_path`` and ``storage_filesystem``: the sweep's logs lie in the store."""
        return str(self.root / "tune"), None

    def check_writable(self, expected_bytes: int) -> None:
        """Fail before any work if the store cannot hold what is coming.

        Raises:
            OSError: With one clear line: read-only, no such place, too small.
        """
        check_folder(self.root, f"the store {self.root}", "with --store", expected_bytes)

    def check_folders(self, names: Iterable[str]) -> None:
        """Fail before any work if one of these folders of the store is there and takes nothing.

        Raises:
            OSError: With one clear line.
        """
        for folder in sorted(self.root / name for name in names):
            if folder.is_dir():
                how = f"with --store, or let yourself write there: chmod u+rwx {folder}"
                check_folder(folder, f"the store's folder {folder}", how, 0)


def check_folder(folder: Path, what: str, how: str, expected_bytes: int) -> None:
    """Fail if a folder cannot be written to or lies on a disk with too little room.

    Args:
        folder: Made if it is not there.
        what: Its name for people.
        how: How another one is given.
        expected_bytes: Room that is wanted.

    Raises:
        OSError: With one clear line.
    """
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
    """The file of a probe, in the store's root."""
    return f".probe-{name}"


def log_name(step: Step) -> str:
    """The file of a step's traceback, from the store's root."""
    return f"logs/{step.task}-{step.digest}.log"


class Attempt:
    """A result being made: its private folder and the facts that go into its record."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.facts: dict[str, Any] = {}


@contextmanager
def private_folder(final: Path) -> Iterator[Path]:
    """Yield a new folder beside ``final``, which ends with the block unless it was moved."""
    folder = final.with_name(f".{final.name}.{uuid.uuid4().hex[:6]}")
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
