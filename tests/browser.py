"""A real browser for tests: Chromium without a window, spoken to in its DevTools protocol."""

import asyncio
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any

import aiohttp

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
"""What a browser that speaks the protocol is called; `.ci/run` looks for the same ones."""
PATIENCE = 60.0
"""Seconds that a busy machine gets for everything done with one page."""
OFF = (
    *("background-networking", "breakpad", "component-update", "extensions", "gpu", "sync"),
    "dev-shm-usage",  # a container's /dev/shm is small
)
SWITCHES = (
    "--headless=new",
    "--remote-debugging-port=0",  # any free one, on loopback
    "--host-resolver-rules=MAP * ~NOTFOUND",  # whatever it wants, it asks no name server
    *("--no-proxy-server", "--no-first-run", "--no-default-browser-check"),
    *("--hide-scrollbars", "--mute-audio"),
    *(f"--disable-{name}" for name in OFF),
)


def find() -> str | None:
    """The browser's program: the one that CASTLEWALLS_BROWSER names, else the first in PATH."""
    named = os.environ.get("CASTLEWALLS_BROWSER")
    return next(filter(None, map(shutil.which, [named] if named else NAMES)), None)


@contextmanager
def running(program: str) -> Iterator[str]:
    """Run a browser with a profile of its own; yield the address of its DevTools, on loopback."""
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []  # root has none to give away
    with tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True) as home:
        process = subprocess.Popen(
            [program, *SWITCHES, *sandbox, f"--user-data-dir={home}/profile", "about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env={**os.environ, "HOME": home},
            start_new_session=True,  # so that its children go with it
        )
        assert process.stderr is not None
        try:
            said: list[str] = []
            for line in process.stderr:
                said.append(line)
                if line.startswith("DevTools listening on "):
                    break
            else:
                raise RuntimeError(f"{program} did not start:\n{''.join(said)}")
            # A full pipe would stop it.
            threading.Thread(target=process.stderr.read, daemon=True).start()
            yield line.split()[-1]
        finally:
            with suppress(ProcessLookupError, PermissionError):  # it ended by itself
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


class Tab:
    """One page of a browser, and what it reported."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self._session: dict[str, str] = {}
        self.events: list[dict[str, Any]] = []

    async def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and return its result; events are kept on the way."""
        number = next(self._numbers)
        asked = {"id": number, "method": method, "params": parameters}
        await self._socket.send_json(asked | self._session)
        while True:
            message = await self._socket.receive_json()
            if message.get("id") == number:
                if "error" in message:
                    raise RuntimeError(f"{method}: {message['error']}")
                return message["result"]
            self.events.append(message)

    async def create(self, width: int, height: int) -> None:
        """Make the page, ``width`` x ``height`` CSS pixels, a phone's when it is narrow."""
        target = (await self.call("Target.createTarget", url="about:blank"))["targetId"]
        attached = await self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = {"sessionId": attached["sessionId"]}
        for domain in ("Page", "Runtime", "Log", "Network"):
            await self.call(f"{domain}.enable")
        await self.call("Page.setLifecycleEventsEnabled", enabled=True)
        screen = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
        await self.call("Emulation.setDeviceMetricsOverride", **screen)

    async def show(self, page: Path) -> None:
        """Open a file and wait until everything in it is loaded."""
        self.events.clear()
        went = await self.call("Page.navigate", url=page.as_uri())
        if "errorText" in went:
            hint = "one in a snap sees no temporary folder: name another with CASTLEWALLS_BROWSER"
            raise RuntimeError(f"{page}: {went['errorText']}; {hint}")
        loaded = (went["loaderId"], "load")
        while not any(
            method == "Page.lifecycleEvent" and (event["loaderId"], event["name"]) == loaded
            for method, event in self._reported()
        ):
            self.events.append(await self._socket.receive_json())

    async def evaluate(self, expression: str) -> Any:
        """The value of JavaScript in the page; a promise's when it has come."""
        how = {"awaitPromise": True, "returnByValue": True}
        answer = await self.call("Runtime.evaluate", expression=expression, **how)
        if "exceptionDetails" in answer:
            raise RuntimeError(str(answer["exceptionDetails"]))
        return answer["result"].get("value")

    async def prefer(self, scheme: str) -> None:
        """Let the reader prefer the color scheme ``light`` or ``dark``."""
        feature = {"name": "prefers-color-scheme", "value": scheme}
        await self.call("Emulation.setEmulatedMedia", features=[feature])

    def console(self) -> list[str]:
        """Warnings, errors and exceptions so far."""
        said = []
        for method, event in self._reported():
            if method == "Runtime.consoleAPICalled":
                words = (str(part.get("value", part.get("description"))) for part in event["args"])
                said.append((event["type"], " ".join(words)))
            elif method == "Log.entryAdded":
                said.append((event["entry"]["level"], event["entry"]["text"]))
            elif method == "Runtime.exceptionThrown":
                details = event["exceptionDetails"]
                thrown = details.get("exception", {}).get("description", "").split("\n")[0]
                said.append(("error", f"{details['text']} {thrown}"))
        loud = ("warning", "error", "assert")
        return [f"{level}: {text}" for level, text in said if level in loud]

    def requests(self) -> list[str]:
        """Addresses that were asked for so far, but data in the page itself."""
        asked = (
            event["request"]["url"]
            for method, event in self._reported()
            if method == "Network.requestWillBeSent"
        )
        return [url for url in asked if not url.startswith("data:")]

    def _reported(self) -> Iterator[tuple[str, dict[str, Any]]]:
        return ((event["method"], event["params"]) for event in self.events)


@asynccontextmanager
async def tab(address: str, width: int, height: int) -> AsyncIterator[Tab]:
    """A new page of a running browser, closed when the block ends; `PATIENCE` for all of it."""
    async with (
        asyncio.timeout(PATIENCE),
        aiohttp.ClientSession() as client,
        client.ws_connect(address, max_msg_size=0) as socket,
    ):
        page = Tab(socket)
        await page.create(width, height)
        yield page
        await page.call("Page.close")
