"""This process's surroundings: cores, home, user name, proxies, ports, environment."""

import getpass
import io
import os
import socket
import sys
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

    What the terminal's encoding lacks is printed as "?".  Raises OSError without a current folder.
    """
    try:
        Path.cwd()
    except FileNotFoundError:
        raise OSError("the current folder is not there anymore; change to another one.") from None
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="replace")
    try:
        Path.home()
    except RuntimeError:  # of a container's user, with whom importing Ray would fail
        os.environ["HOME"] = tempfile.mkdtemp(prefix="castlewalls-home-")
    try:
        getpass.getuser()
    except (KeyError, OSError):  # the latter from Python 3.13 on
        os.environ["LOGNAME"] = f"{os.getuid()}"
    proxies = getproxies_environment()
    excepted = proxies.pop("no", "")
    if proxies and excepted.strip() != "*":
        names = [name.strip() for name in excepted.split(",") if name.strip()]
        every = ",".join(dict.fromkeys([*names, *LOOPBACK]))
        os.environ["no_proxy"] = os.environ["NO_PROXY"] = every


def free_port(port: int | None, *, usual: int) -> int:
    """A port of 127.0.0.1 that can be listened on: the one asked for, else the usual one or any."""
    for number in (usual, 0) if port is None else (port,):
        try:
            with socket.create_server(("127.0.0.1", number)) as server:
                return int(server.getsockname()[1])
        except OSError as error:
            taken = error
    raise taken


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
