"""Files and objects below an address, through ``pyarrow.fs``; nothing here knows steps.

Credentials come from where the storage's own tools take them, never from the address, which is
kept in records, logs and pickles.
"""

import mimetypes
import os
import re
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property, partial
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qsl, urlsplit

T = TypeVar("T")

PART = 8 * 2**20  # bytes of a file held in memory while it is copied
AT_ONCE = 16  # requests sent at the same time
PAUSES = (2.0, 10.0)
"""Seconds before an unanswered request is repeated; pyarrow has tried three times by then."""
PERMANENT = re.compile(
    r"ACCESS_DENIED|INVALID_ACCESS_KEY|EXPIRED_TOKEN|SIGNATURE_DOES_NOT_MATCH|INVALID_CLIENT_TOKEN"
    r"|UNRECOGNIZED_CLIENT|MISSING_AUTHENTICATION|PERMISSION_DENIED|UNAUTHENTICATED"
    r"|Auth\w+Fail\w+|HTTP status 40[0-5]\b"
)
"""Errors of S3, Google Cloud Storage and Azure that another try does not cure."""
NO_BUCKET = re.compile(r"NO_SUCH_BUCKET|Bucket '[^']*' not found")
SECRETS = re.compile(r"secret|password|token|key|credential$|^sig$", re.IGNORECASE)
"""Options of an address that must not be kept in records and logs."""


class NoAnswer(ConnectionError):
    """Remote storage does not answer; another try may help."""


class NoAccess(PermissionError):
    """Remote storage refuses access; another try does not help."""


class Storage:
    """What lies below an address: an absolute path, or remote storage that pyarrow supports.

    An unanswered remote request is repeated after each of ``pauses``, in seconds (``PAUSES``).
    """

    def __init__(self, address: str, pauses: Sequence[float] | None = None) -> None:
        self.address = address
        self.pauses = PAUSES if pauses is None else pauses
        self.remote = "://" in address

    def at(self, path: str) -> str:
        """The address of something below this one."""
        if not self.remote:
            return f"{self.address}/{path}"
        place = urlsplit(self.address)
        return place._replace(path=f"{place.path.rstrip('/')}/{path}").geturl()

    @cached_property
    def _place(self) -> tuple[Any, str]:
        """The file system, and the path of the address in it."""
        from pyarrow import fs

        address = self.address
        if not self.remote:
            return fs.LocalFileSystem(), address.rstrip("/")
        if address.startswith("s3://"):  # makes a small file one request instead of three
            address += ("&" if urlsplit(address).query else "?") + "allow_delayed_open=true"
        files, path = fs.FileSystem.from_uri(address)
        return files, path.rstrip("/")

    def _do(self, what: str, ask: Callable[[Any, str], T]) -> T:
        """Call ``ask(file system, base path)``, again after pauses if there is no answer.

        Remote storage that refuses or does not answer raises NoAccess or NoAnswer: "cannot WHAT
        the store ...".
        """
        waits = iter(self.pauses)
        while True:
            try:
                return ask(*self._place)
            except OSError as error:
                if error.errno is not None or not self.remote:
                    raise
                line = f"cannot {what} the store {self.address}: {_in_short(error)}"
                if NO_BUCKET.search(line):
                    raise NoAccess(line) from error
                if PERMANENT.search(line):
                    raise NoAccess(f"{line} Check this machine's credentials.") from error
                if (wait := next(waits, None)) is None:
                    raise NoAnswer(line) from error
            time.sleep(wait)

    def refuse_absent(self) -> None:
        """Fail in a line if there is no such remote storage (ValueError) or no access (OSError)."""
        from pyarrow import fs

        absent = f"the store {self.address} is in a bucket that does not exist; create the bucket"
        try:
            bucket = self._do("open", lambda _, base: base.partition("/")[0])
            if not bucket:
                raise ValueError("it names no bucket")
            there = self._do("open", lambda files, _: files.get_file_info(bucket))
            self.sizes("logs")  # the bucket may exist and refuse us
        except ValueError as error:
            raise ValueError(
                f"--store takes a folder, or an address such as s3://bucket/folder or "
                f"gs://bucket/folder; got {self.address}: {str(error).splitlines()[0]}"
            ) from error
        except NoAccess as error:
            raise ValueError(absent) if NO_BUCKET.search(str(error)) else error from error
        if there.type == fs.FileType.NotFound:
            raise ValueError(absent)

    def read(self, path: str) -> bytes | None:
        """The bytes of a small file, or None if there is none; an unreadable local one is empty."""

        def ask(files: Any, base: str) -> bytes:
            with files.open_input_stream(f"{base}/{path}") as stream:
                return bytes(stream.read())

        try:
            return self._do("read", ask)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError:
            if self.remote:
                raise
            return b""

    def write(self, path: str, content: bytes) -> None:
        """Write a small file; a remote one appears whole or not at all."""

        def ask(files: Any, base: str) -> None:
            if not self.remote:
                files.create_dir(os.path.dirname(f"{base}/{path}"))  # noqa: PTH120
            with files.open_output_stream(f"{base}/{path}", metadata=_kind(path)) as stream:
                stream.write(content)

        self._do("write to", ask)

    def sizes(self, path: str) -> dict[str, int]:
        """The bytes of each file below a path, by its path from there; local ones if readable."""
        if not self.remote:
            return _local_sizes(f"{self.address}/{path}")
        from pyarrow import fs

        def ask(files: Any, base: str) -> dict[str, int]:
            where = f"{base}/{path}"
            below = fs.FileSelector(where, recursive=True, allow_not_found=True)
            found = files.get_file_info(below)
            return {info.path[len(where) + 1 :]: info.size for info in found if info.is_file}

        return self._do("read", ask)

    def upload(self, folder: Path, path: str, names: Iterable[str]) -> None:
        """Copy files of a folder to below a path, several at a time."""

        def send(name: str, files: Any, base: str) -> None:
            source, to = (folder / name).open("rb"), f"{base}/{path}/{name}"
            _copy(source, files.open_output_stream(to, metadata=_kind(name)))

        self.each(lambda name: self._do("write to", partial(send, name)), names)

    def download(self, path: str, names: Iterable[str], folder: Path) -> None:
        """Copy files below a path into a folder, several at a time."""

        def receive(name: str, files: Any, base: str) -> None:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            source = files.open_input_stream(f"{base}/{path}/{name}")
            _copy(source, (folder / name).open("wb"))

        self.each(lambda name: self._do("read", partial(receive, name)), names)

    def delete(self, path: str) -> None:
        """Delete a file, if it is there."""
        with suppress(FileNotFoundError):
            self._do("write to", lambda files, base: files.delete_file(f"{base}/{path}"))

    def delete_below(self, path: str) -> None:
        """Delete every file below a path."""
        with suppress(FileNotFoundError):
            self._do("write to", lambda files, base: files.delete_dir(f"{base}/{path}"))

    def file_system(self, path: str) -> tuple[str, Any]:
        """A path as ``pyarrow.fs`` takes it, and its file system."""
        return self._do("open", lambda files, base: (f"{base}/{path}", files))

    def each(self, do: Callable[[Any], T], items: Iterable[Any]) -> list[T]:
        """Call ``do`` on every item, several at a time if each waits for the network."""
        if not self.remote:
            return list(map(do, items))
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return [future.result() for future in [pool.submit(do, item) for item in items]]


def _copy(source: Any, target: Any) -> None:
    with source, target:
        while part := source.read(PART):
            target.write(part)
            target.flush()  # else a slow network keeps the whole file in memory


def _local_sizes(where: str) -> dict[str, int]:
    """The same of a folder; pyarrow follows links in circles, and fails at a name not in UTF-8."""
    found = {}
    for folder, _, names in os.walk(where):
        for path in (f"{folder}/{name}" for name in names):
            with suppress(OSError):
                found[path[len(where) + 1 :]] = os.stat(path).st_size  # noqa: PTH116
    return found


def _in_short(error: OSError) -> str:
    """An error without what was asked and without the request's number."""
    said = re.sub(r" \(Request ID:.*?\)", "", " ".join(str(error).split()))
    return re.sub(r"^When .*?: (?=AWS Error)", "", said)


def _kind(name: str) -> dict[str, str]:
    """The content type with which a browser opens an object, such as a report's page."""
    return {"Content-Type": mimetypes.guess_type(name)[0] or "application/octet-stream"}


def refuse_secrets(address: str) -> None:
    """Raise ValueError if an address holds a user, password or key, without repeating it."""
    place = urlsplit(address)
    user = "@" in place.netloc and place.scheme not in ("abfs", "abfss")  # there, a container
    password = ":" in place.netloc and place.scheme not in ("hdfs", "viewfs")  # there, a port
    names = [name for name, _ in parse_qsl(place.query, keep_blank_values=True)]
    if user or password or any(map(SECRETS.search, names)):
        raise ValueError(
            f"--store takes no user, password or key in its {place.scheme}:// address, which is "
            f"kept in records and logs; set them in the environment, such as AWS_ACCESS_KEY_ID and "
            f"AWS_SECRET_ACCESS_KEY."
        )
