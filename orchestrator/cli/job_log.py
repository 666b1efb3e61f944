"""Follow the log of a job on a Ray cluster to its end, across broken connections."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from orchestrator.console import SOME_FAILED

ANSWER = 5
"""Seconds in which a dashboard has to answer."""
HEARTBEAT = 10
"""Seconds after which the dashboard is asked again whether it is still there."""
PATIENCE = 60
"""Seconds for which the connection to a dashboard is tried again."""


async def follow(client: Any, address: str, job: str, say: Callable[[str], Any]) -> int:
    """Say each line of a job's log once, however often the connection breaks.

    Returns:
        An exit code: 0 if the job succeeded, else 1, after a line that says why.
    """
    import aiohttp
    import requests
    from ray.exceptions import AuthenticationError

    shown, answered = 0, time.monotonic()

    async def tail() -> None:
        """Read the log, which Ray sends from its first line on."""
        nonlocal shown
        seen, rest = 0, ""
        async for chunk in client.tail_job_logs(job):
            *lines, rest = (rest + chunk).split("\n")
            for line in lines:
                seen += 1
                if seen > shown:
                    shown = seen
                    say(line)
        if rest and seen >= shown:  # the last line has no end
            shown = seen + 1
            say(rest)

    while True:
        reading = asyncio.create_task(tail())
        try:
            while not reading.done():
                await asyncio.wait([reading], timeout=HEARTBEAT)
                # A machine that is gone closes no connection: silence alone says nothing.
                await asyncio.to_thread(requests.get, f"{address}/api/version", timeout=ANSWER)
                answered = time.monotonic()
            await reading
            ended = await asyncio.to_thread(client.get_job_info, job)
            answered = time.monotonic()
            if ended.status.is_terminal():
                return _verdict(ended, say)
        except (RuntimeError, OSError, aiohttp.ClientError, AuthenticationError) as error:
            if time.monotonic() - answered > PATIENCE:
                say(
                    f"the cluster at {address} no longer answers ({short(error)}); the job may go "
                    f"on. The same command again repeats no finished step."
                )
                return SOME_FAILED
        finally:
            reading.cancel()
        await asyncio.sleep(1)


def _verdict(ended: Any, say: Callable[[str], Any]) -> int:
    if ended.status == "SUCCEEDED":
        return 0
    if ended.status == "STOPPED":
        say("the job was stopped. The same command again goes on from there.")
    elif ended.driver_exit_code is None:
        say(f"the job failed: {short(ended.message)}")
    else:
        say(f"the job failed with exit code {ended.driver_exit_code}; its log is above.")
    return SOME_FAILED


def cause(error: BaseException | None) -> str | None:
    """What the system says is the root of an error, if it says anything."""
    while error is not None:
        if isinstance(error, OSError) and error.strerror:
            return error.strerror
        error = error.__context__
    return None


def short(error: object) -> str:
    """The cause of an error, or its text, in a line of at most 300 characters."""
    said = cause(error) if isinstance(error, BaseException) else None
    text = said or " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else f"{text[:300]}..."
