"""Remote storage, asked through ``pyarrow.fs``: objects below an address, nothing about steps.

Credentials come from where the storage's own tools take them (environment, ``~/.aws``, the
machine's role), never from the address, which is in records, logs and pickles.
"""

import mimetypes
import re
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

T = TypeVar("T")

PART = 8 * 2**20
"""Bytes of a file in memory at once, of each that is under way."""
AT_ONCE = 16
"""Requests under way at once."""
PAUSES = (2.0, 10.0)
"""Seconds after which a request that has no answer is repeated; the library has tried thrice."""
FOR_GOOD = re.compile(
    r"ACCESS_DENIED|INVALID_ACCESS_KEY|EXPIRED_TOKEN|SIGNATURE_DOES_NOT_MATCH|INVALID_CLIENT_TOKEN"
    r"|UNRECOGNIZED_CLIENT|MISSING_AUTHENTICATION|PERMISSION_DENIED|UNAUTHENTICATED"
    r"|Auth\w+Fail\w+|HTTP status 40[0-5]\b"
)
"""What S3, Google Cloud Storage and Azure say when trying again does not help."""
NO_BUCKET = re.compile(r"NO_SUCH_BUCKET|Bucket '[^']*' not found")
SECRETS = re.compile(r"secret|password|token|key|credential$|^sig$", re.IGNORECASE)
"""Options of an address that are no business of records and logs."""


class NoAnswer(ConnectionError):
    """Remote storage does not answer; trying again later may help."""


class NoAccess(PermissionError):
    """Remote storage will not serve us, whenever we ask."""


class Storage:
    """What lies below an address.

    Paths are from there, with slashes.  A request that is not answered is repeated some times.
    """

    def __init__(self, address: str) -> None:
        self.address = address

    def at(self, path: str) -> str:
        """The address of something below this one."""
        place = urlsplit(self.address)
        return place._replace(path=f"{place.path.rstrip('/')}/{path}").geturl()

    @cached_property
    def _place(self) -> tuple[Any, str]:
        """The file system, and the store's path in it."""
        from pyarrow import fs

        address = self.address
        if address.startswith("s3://"):  # a small file is one request instead of three
            address += ("&" if urlsplit(address).query else "?") + "allow_delayed_open=true"
        files, path = fs.FileSystem.from_uri(address)
        return files, path.rstrip("/")

    def _do(
        self, what: str, ask: Callable[[Any, str], T], pauses: Iterable[float] | None = None
    ) -> T:
        """Ask the storage, again if it does not answer.

        Args:
            what: For people: what we cannot do to the store when it fails.
            ask: Given the file system and the store's path in it.
            pauses: Seconds before each further try, by default ``PAUSES``.

        Raises:
            FileNotFoundError: There is no such object.
            NoAccess: It will not serve us, whenever we ask.
            NoAnswer: It does not answer, or says that it cannot now.
            OSError: Of this machine's own disk.
        """
        waits = iter(PAUSES if pauses is None else pauses)
        while True:
            try:
                return ask(*self._place)
            except OSError as error:
                if error.errno is not None:  # an object that is not there; this machine's disk
                    raise
                line = f"cannot {what} the store {self.address}: {_in_short(error)}"
                if NO_BUCKET.search(line):
                    raise NoAccess(line) from error
                if FOR_GOOD.search(line):
                    raise NoAccess(f"{line} Check this machine's credentials.") from error
                if (wait := next(waits, None)) is None:
                    raise NoAnswer(line) from error
            time.sleep(wait)

    def refuse_absent(self) -> None:
        """Fail when there is no such storage, or it does not let us in.

        Raises:
            ValueError: In one line: an unknown scheme or option, no such bucket.
            OSError: In one line: it does not answer, or does not let us in.
        """
        from pyarrow import fs

        try:
            bucket = self._do("open", lambda _, base: base.partition("/")[0], ())
            if not bucket:
                raise ValueError("it names no bucket")
            there = self._do("open", lambda files, _: files.get_file_info(bucket), ())
            self.sizes("logs", ())  # there may be a bucket, and not for us
        except ValueError as error:
            raise ValueError(
                f"--store takes a folder, or an address such as s3://bucket/folder or "
                f"gs://bucket/folder; got {self.address}: {str(error).splitlines()[0]}"
            ) from error
        except NoAccess as error:
            if not NO_BUCKET.search(str(error)):
                raise
            there = fs.FileInfo(bucket, fs.FileType.NotFound)
        if there.type == fs.FileType.NotFound:
            raise ValueError(
                f"the store {self.address} is in a bucket that does not exist; make it"
            )

    def read(self, path: str, pauses: Iterable[float] | None = None) -> bytes | None:
        """The bytes of a small object, or None if there is none."""

        def ask(files: Any, base: str) -> bytes:
            with files.open_input_stream(f"{base}/{path}") as stream:
                return bytes(stream.read())

        try:
            return self._do("read", ask, pauses)
        except FileNotFoundError:
            return None

    def write(self, path: str, content: bytes, pauses: Iterable[float] | None = None) -> None:
        """Write an object in one piece: it is there whole, or not at all."""

        def ask(files: Any, base: str) -> None:
            with files.open_output_stream(f"{base}/{path}", metadata=_kind(path)) as stream:
                stream.write(content)

        self._do("write to", ask, pauses)

    def sizes(self, path: str, pauses: Iterable[float] | None = None) -> dict[str, int]:
        """The size of each object below a path, by its path from there."""
        found = self._below(path, pauses, recursive=True)
        return {name: info.size for name, info in found.items() if info.is_file}

    def folders(self, path: str) -> list[str]:
        """Names of what has objects below it, one level below a path."""
        found = self._below(path, None, recursive=False)
        return [name for name, info in found.items() if not info.is_file]

    def _below(
        self, path: str, pauses: Iterable[float] | None, *, recursive: bool
    ) -> dict[str, Any]:
        from pyarrow import fs

        def ask(files: Any, base: str) -> dict[str, Any]:
            where = f"{base}/{path}"
            below = fs.FileSelector(where, recursive=recursive, allow_not_found=True)
            found = files.get_file_info(below)
            return {info.path[len(where) + 1 :]: info for info in found}

        return self._do("read", ask, pauses)

    def upload(self, folder: Path, path: str, names: Iterable[str]) -> None:
        """Copy files of a folder to below a path, a part at a time."""

        def send(name: str) -> None:
            self._do("write to", lambda files, base: copy(files, f"{base}/{path}/{name}", name))

        def copy(files: Any, target: str, name: str) -> None:
            with (
                (folder / name).open("rb") as source,
                files.open_output_stream(target, metadata=_kind(name)) as stream,
            ):
                while part := source.read(PART):
                    stream.write(part)
                    stream.flush()  # else a slow network has the whole file in memory

        self.each(send, names)

    def download(self, path: str, names: Iterable[str], folder: Path) -> None:
        """Copy objects below a path into a folder, a part at a time."""

        def receive(name: str) -> None:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            self._do("read", lambda files, base: copy(files, f"{base}/{path}/{name}", name))

        def copy(files: Any, source: str, name: str) -> None:
            with files.open_input_stream(source) as stream, (folder / name).open("wb") as target:
                while part := stream.read(PART):
                    target.write(part)

        self.each(receive, names)

    def delete(self, path: str) -> None:
        """Delete an object, if it is there."""
        with suppress(FileNotFoundError):
            self._do("write to", lambda files, base: files.delete_file(f"{base}/{path}"))

    def delete_below(self, path: str) -> None:
        """Delete every object below a path."""
        with suppress(FileNotFoundError):
            self._do("write to", lambda files, base: files.delete_dir(f"{base}/{path}"))

    def file_system(self, path: str) -> tuple[str, Any]:
        """A path as a file system of ``pyarrow.fs`` takes it, and that file system."""
        return self._do("open", lambda files, base: (f"{base}/{path}", files))

    def each(self, do: Callable[[Any], T], items: Iterable[Any]) -> list[T]:
        """Do it to each, several at once; the first failure is raised when all have ended."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return [future.result() for future in [pool.submit(do, item) for item in items]]


def _in_short(error: OSError) -> str:
    """What the storage said, without what we asked it and without the request's number."""
    said = re.sub(r" \(Request ID:.*?\)", "", " ".join(str(error).split()))
    return re.sub(r"^When .*?: (?=AWS Error)", "", said)


def _kind(name: str) -> dict[str, str]:
    """What a browser is told that opens a report where it lies."""
    return {"Content-Type": mimetypes.guess_type(name)[0] or "application/octet-stream"}


def refuse_secrets(address: str) -> None:
    """Refuse an address with a user, a password or a key in it; it is not repeated.

    Raises:
        ValueError: In one line.
    """
    place = urlsplit(address)
    user = "@" in place.netloc and place.scheme not in ("abfs", "abfss")  # a container, there
    password = ":" in place.netloc and place.scheme not in ("hdfs", "viewfs")  # a port, there
    names = [name for name, _ in parse_qsl(place.query, keep_blank_values=True)]
    if user or password or any(map(SECRETS.search, names)):
        raise ValueError(
            f"--store takes no user, password or key in its {place.scheme}:// address, which is "
            f"kept in records and logs; set them in the environment, such as AWS_ACCESS_KEY_ID and "
            f"AWS_SECRET_ACCESS_KEY."
        )
