"""This process's surroundings: cores, home, user name, proxies, ports, environment.

Imports here are light, and importing changes nothing.
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
    """CPU cores that this process may use; all of the machine's if the system does not say."""
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def prepare() -> None:
    """Give the process what libraries need: a home, a user name, and direct access to loopback.

    An OSError says in one line that there is no home, and none can be made.
    """
    _have_a_home()
    try:
        getpass.getuser()
    except (KeyError, OSError):  # the latter from Python 3.13 on
        os.environ["LOGNAME"] = f"{os.getuid()}"
    _pass_proxies_by()


def free_port(port: int | None, *, usual: int) -> int:
    """A port of 127.0.0.1 that can be listened on: the one asked for, else the usual one or any.

    Raises:
        OSError: The one that was asked for is taken, or needs privileges.
    """
    if port is not None:
        return _listened(port)
    try:
        return _listened(usual)
    except OSError:
        return _listened(0)


def _listened(port: int) -> int:
    with socket.create_server(("127.0.0.1", port)) as server:
        return int(server.getsockname()[1])


@contextmanager
def environment_kept() -> Iterator[None]:
    """Restore ``os.environ`` afterwards."""
    before = dict(os.environ)
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


def _have_a_home() -> None:
    """Make a private folder the home of a user without one: importing Ray fails without.

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
                f"this user has no home, and {home} belongs to another user; export HOME=/a/folder"
            ) from None
        os.environ["HOME"] = str(home)


def _pass_proxies_by() -> None:
    """Except loopback from the proxies that the environment names."""
    proxies = getproxies_environment()
    excepted = proxies.pop("no", "")
    if not proxies or excepted.strip() == "*":
        return
    names = [name.strip() for name in excepted.split(",") if name.strip()]
    every = ",".join([*names, *(name for name in LOOPBACK if name not in names)])
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = every
