"""The log of a job on a Ray cluster, followed to the job's end across broken connections."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from orchestrator.console import SOME_FAILED

ANSWER = 5
"""Seconds in which a dashboard that is there answers."""
HEARTBEAT = 10
"""Seconds of silence after which it is asked whether it is still there."""
PATIENCE = 60
"""Seconds for which a dashboard that stopped answering is tried again."""


class Following:
    """One job's log; every line is said once, however often the connection is made anew."""

    def __init__(self, client: Any, address: str, job: str, say: Callable[[str], Any]) -> None:
        self.client, self.address, self.job, self.say = client, address, job, say
        self.shown = 0
        self.lost: float | None = None  # since when nothing answers

    async def to_the_end(self) -> int:
        """Say the log until the job ends.

        Returns:
            An exit code: 0 when the job succeeded, else 1, after a line that says why.
        """
        import aiohttp
        from ray.exceptions import AuthenticationError

        while True:
            try:
                await self._listen()
                ended = await asyncio.to_thread(self.client.get_job_info, self.job)
                self.lost = None
                if ended.status.is_terminal():
                    return self._verdict(ended)
            except (RuntimeError, OSError, aiohttp.ClientError, AuthenticationError) as error:
                self.lost = self.lost or time.monotonic()
                if time.monotonic() - self.lost > PATIENCE:
                    self.say(
                        f"the cluster at {self.address} no longer answers ({short(error)}); the "
                        f"job may go on. The same command again repeats no finished step."
                    )
                    return SOME_FAILED
            await asyncio.sleep(1)

    async def _listen(self) -> None:
        """Say what comes; return when the log ends or the connection breaks."""
        import requests

        tail = asyncio.create_task(self._tail())
        try:
            while not tail.done():
                await asyncio.wait([tail], timeout=HEARTBEAT)
                # A machine that is gone closes no connection: silence alone says nothing.
                version = f"{self.address}/api/version"
                await asyncio.to_thread(requests.get, version, timeout=ANSWER)
                self.lost = None
            await tail
        finally:
            tail.cancel()

    async def _tail(self) -> None:
        """Read the log, which Ray sends from its first line, and say what is new."""
        seen, rest = 0, ""
        async for chunk in self.client.tail_job_logs(self.job):
            *lines, rest = (rest + chunk).split("\n")
            for line in lines:
                seen += 1
                if seen > self.shown:
                    self.shown = seen
                    self.say(line)
        if rest and seen >= self.shown:  # a last line that nothing follows
            self.shown = seen + 1
            self.say(rest)

    def _verdict(self, ended: Any) -> int:
        if ended.status == "SUCCEEDED":
            return 0
        if ended.status == "STOPPED":
            self.say("the job was stopped. The same command again goes on from there.")
        elif ended.driver_exit_code is None:
            self.say(f"the job failed: {short(ended.message)}")
        else:
            self.say(f"the job failed with exit code {ended.driver_exit_code}; its log is above.")
        return SOME_FAILED


def cause(error: BaseException | None) -> str | None:
    """What the system says is at the bottom of an error, if it says anything."""
    while error is not None:
        if isinstance(error, OSError) and error.strerror:
            return error.strerror
        error = error.__context__
    return None


def short(error: object) -> str:
    """The cause of an error, or its text in a line of at most 300 characters."""
    said = cause(error) if isinstance(error, BaseException) else None
    text = said or " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else f"{text[:300]}..."
