"""What this process finds around it, and what is put right before anything looks at it.

Imports here are light, and nothing is changed by importing.
"""

import getpass
import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import getproxies_environment

LOOPBACK = ("localhost", "127.0.0.1", "::1")


def cores() -> int:
    """CPU cores that this process may use; all of the machine's where that is not known."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def prepare() -> None:
    """Give the process what libraries count on: a home, a name, and a way past proxies.

    Raises:
        OSError: In one line: there is no home, and none can be made.
    """
    _have_a_home()
    _have_a_name()
    _pass_proxies_by()


def free_port(port: int | None, *, usual: int) -> int:
    """A port of 127.0.0.1 that can be listened on: the one asked for, else the usual one or any.

    Raises:
        OSError: The one that was asked for is taken, or not this user's to take.
    """
    if port is not None:
        return _listened(port)
    try:
        return _listened(usual)
    except OSError:
        return _listened(0)


def _listened(port: int) -> int:
    with socket.create_server(("127.0.0.1", port)) as held:
        return int(held.getsockname()[1])


@contextmanager
def environment_kept() -> Iterator[None]:
    """Have ``os.environ`` afterwards as it was before."""
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


def _have_a_home() -> None:
    """Name a private folder as home where there is none: Ray cannot even be imported without.

    A container's user may have neither ``HOME`` nor an entry in the list of users.
    """
    try:
        Path.home()
    except RuntimeError:
        home = Path(tempfile.gettempdir()) / f"castlewalls-home-{os.getuid()}"
        home.mkdir(mode=0o700, exist_ok=True)
        found = home.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            raise PermissionError(
                f"this user has no home, and {home} is somebody else's; export HOME=/a/folder"
            ) from None
        os.environ["HOME"] = str(home)


def _have_a_name() -> None:
    try:
        getpass.getuser()
    except (KeyError, OSError):  # the latter from Python 3.13 on
        os.environ["LOGNAME"] = f"{os.getuid()}"


def _pass_proxies_by() -> None:
    """Have what listens on loopback asked directly, whatever proxy the environment names."""
    proxies = getproxies_environment()
    excepted = proxies.pop("no", "")
    if not proxies or excepted.strip() == "*":
        return
    known = [name.strip() for name in excepted.split(",") if name.strip()]
    told = ",".join([*known, *(name for name in LOOPBACK if name not in known)])
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = told
