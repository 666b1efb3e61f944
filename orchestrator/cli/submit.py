"""``castlewalls submit``: run a study as a job of a Ray cluster (Ray's Jobs API).

Wrong words are refused before Ray is imported.
"""

import asyncio
import logging
import os
import secrets
import shlex
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from orchestrator.cli import part_settings
from orchestrator.cli.options import flag_of
from orchestrator.cli.parsing import PLACEMENT, find_scale, find_study
from orchestrator.cli.study_commands import study_command
from orchestrator.console import INTERRUPTED, SOME_FAILED
from orchestrator.run import environment
from orchestrator.run.placement import Placement
from orchestrator.store.storage import refuse_secrets
from orchestrator.studies import STUDIES
from tasks.steps import weights

ROOT = Path(__file__).parents[2]
EXCLUDES = (
    *(".git", ".venv", "venv", "__pycache__", "*.egg-info", ".*_cache", ".hypothesis", ".env*"),
    *("/artifacts", "/mlruns", "/mlflow.db", "/tests", "/docs", "/bench", "/deploy", "/.ci"),
)
"""What no run needs or nobody wants on a cluster, beside what ``.gitignore`` names."""
SEEN = "an absolute path that every node of the cluster sees"
MODE, DISABLED = "RAY_AUTH_MODE", "disabled"
ANSWER = 5
"""Seconds in which a dashboard has to answer."""
HEARTBEAT = 10
"""Seconds after which the dashboard is asked again whether it is still there."""
PATIENCE = 60
"""Seconds for which the connection to a dashboard is tried again."""

Say = Callable[[str], Any]


class NotSubmitted(RuntimeError):
    """No cluster answers, or it refused the job."""


def submit(words: Sequence[str], *, address: str, wait: bool, say: Say) -> int:
    """Send this code and ``castlewalls run WORDS`` to a cluster as a job, and follow its log.

    Returns:
        An exit code: 0 if the run succeeded, or is not waited for; 1 if it failed, was stopped or
        can no longer be watched; 130 after Ctrl-C, which leaves the job running.

    Raises:
        ValueError: Wrong words.
        NotSubmitted: The cluster does not take the job.
    """
    there = dashboard(address)
    entrypoint, name = command(words)
    passed = passed_on(os.environ, say)
    job = f"castlewalls-{name}-{secrets.token_hex(3)}"
    client = _client(there, say)
    shipped = {**_code(say), "env_vars": passed}
    try:
        client.submit_job(submission_id=job, entrypoint=entrypoint, runtime_env=shipped)
    except (RuntimeError, OSError) as error:
        raise NotSubmitted(f"the cluster at {there} did not take it: {short(error)}") from error
    ray = f"{MODE}={os.environ[MODE]} ray job"  # the ray command sends no token unless it is told
    say(f"job {job}: {entrypoint}")
    say(f"  its log:  {ray} logs -f {job} --address {there}")
    say(f"  stop it:  {ray} stop {job} --address {there}")
    if not wait:
        return 0
    try:
        return asyncio.run(follow(client, there, job, say))
    except KeyboardInterrupt:
        say(f"the job goes on; its log again: {ray} logs -f {job} --address {there}")
        return INTERRUPTED


def command(words: Sequence[str]) -> tuple[str, str]:
    """The shell command of the job, and a name for it: the study and its scale.

    Values of ``CASTLEWALLS_STORE`` and ``CASTLEWALLS_DATA`` here become words of the command.
    ValueError if ``run`` would refuse the words, or they name a place on this machine.
    """
    name, *rest = words
    study = find_study(name)
    if study not in STUDIES:
        raise ValueError(f"{name} is a file on this machine; submit takes the studies of STUDIES.")
    made = study_command(study, "run", lambda _: None)
    try:
        context = made.make_context("run", rest)
    except Exception as error:
        if not hasattr(error, "format_message"):
            raise
        raise ValueError(f"castlewalls run does not take that: {error.format_message()}") from None
    given = context.params
    scale = find_scale(given["scale"])
    if given["images"] is None and given.get("dataset") is None:  # those are on the cluster
        study.chosen(scale, {axis.name: given[axis.name] for axis in study.axes})
    Placement(**{field: given[field] for field in PLACEMENT})
    _refuse_places(given, named=context.get_parameter_source("store").name != "DEFAULT")
    found = [
        word
        for item in made.params
        if context.get_parameter_source(item.name).name == "ENVIRONMENT"
        for word in (item.opts[0], str(given[item.name]))
    ]
    whole = ["python", "-m", "orchestrator", "run", *words, *found, "--address", "auto"]
    return shlex.join(whole), f"{study.name}-{scale.name}"


def _refuse_places(given: Mapping[str, Any], *, named: bool) -> None:
    """Refuse paths that another machine does not have."""
    if given["address"] is not None:
        raise ValueError(
            "give --address before the study: it is the address of the cluster's dashboard, "
            "http://HOST:8265."
        )
    if not named:
        raise ValueError(f"submit needs --store: s3://bucket/folder, or {SEEN}.")
    found = [(name, given.get(name)) for name in ("images", "data")]
    if "://" in given["store"]:
        refuse_secrets(given["store"])
    else:
        found.append(("store", given["store"]))
    if not weights.is_hub_id(str(source := given.get("classifier_weights"))):
        found.append(("classifier_weights", source))
    places = {f"{flag_of(name)} {place}": place for name, place in found if place is not None}
    for words, place in part_settings.files(given["trigger_setting"] or ()).items():
        places[f"{part_settings.TRIGGERS} {words}"] = place
    for words, place in places.items():
        if not Path(place).is_absolute():
            other = "s3://bucket/folder, or " if words.startswith("--store") else ""
            raise ValueError(f"{words} is a place on this machine; give {other}{SEEN}.")


def passed_on(variables: Mapping[str, str], say: Say) -> dict[str, str]:
    """The job's environment variables: where the MLflow server is, if it has an http address."""
    passed = {MODE: DISABLED} if variables.get(MODE) == DISABLED else {}
    server = variables.get("MLFLOW_TRACKING_URI", "")
    if urlsplit(server).password is not None:
        raise ValueError(
            "MLFLOW_TRACKING_URI holds a password, which the cluster's list of jobs would show; "
            "set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD on its head instead."
        )
    if urlsplit(server).scheme in ("http", "https"):
        return {**passed, "MLFLOW_TRACKING_URI": server}
    if server:
        say("MLFLOW_TRACKING_URI has no http address and is not passed on")
    return passed


def dashboard(address: str) -> str:
    """The dashboard's address as http://HOST:PORT; ValueError for another kind, or a password."""
    whole = (address if "://" in address else f"http://{address}").rstrip("/")
    parts = urlsplit(whole)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(
            f"--address takes the cluster's dashboard, such as http://127.0.0.1:8265; got "
            f"{address!r}."
        )
    if parts.password is not None:
        raise ValueError("--address holds a password; the cluster's token is what it wants.")
    return whole


def _client(address: str, say: Say) -> Any:
    """Ray's client of the dashboard's Jobs API; NotSubmitted if that cannot be used."""
    _probe(address)
    environment.trust_the_user(say, make=False)
    from ray import exceptions, job_submission

    modules = [f"ray.dashboard.modules.{name}" for name in ("dashboard_sdk", "job.sdk")]
    for name in ("ray.dashboard", "ray._private", *modules):  # progress, advice for other commands
        logging.getLogger(name).setLevel(logging.ERROR)
    os.environ["RAY_API_SERVER_ADDRESS"] = address  # else RAY_ADDRESS goes before what is passed
    try:
        return job_submission.JobSubmissionClient(address)
    except exceptions.AuthenticationError as error:
        refused = "Authentication failed" in str(error)  # 403; all else means that none was sent
        said = "does not accept this machine's token" if refused else "needs a token and got none"
        raise NotSubmitted(
            f"the cluster at {address} {said}. Copy its head's ~/.ray/auth_token to this machine "
            f"(chmod 600), or name the file with RAY_AUTH_TOKEN_PATH."
        ) from error
    except (RuntimeError, OSError, ValueError, KeyError) as error:
        raise NotSubmitted(f"{address} is not a Ray dashboard: {short(error)}") from error


def _probe(address: str) -> None:
    """Refuse within seconds a dashboard that does not answer, or that asks for no token."""
    import requests

    try:
        answer = requests.get(f"{address}/api/version", timeout=ANSWER)  # without a token
    except requests.RequestException as error:
        late = isinstance(error, requests.Timeout)
        why = f"not in {ANSWER} s" if late else cause(error) or "it is not a web page"
        raise NotSubmitted(
            f"no dashboard answers at {address}: {why}. A head's dashboard listens on the head "
            f"alone: open a tunnel with `ray dashboard cluster.yaml` or "
            f"`ssh -N -L 8265:127.0.0.1:8265 HEAD`, or give its --address."
        ) from error
    if answer.status_code == requests.codes.ok and "ray_version" in answer.text:
        if os.environ.get(MODE) != DISABLED:
            raise NotSubmitted(
                f"the cluster at {address} asks for no token: whoever reaches it can run anything "
                f"there. Start it with {MODE}=token, or set {MODE}={DISABLED} here to use it as "
                f"it is."
            )
    elif answer.status_code not in (requests.codes.unauthorized, requests.codes.forbidden):
        raise NotSubmitted(
            f"what answers at {address} is not a Ray dashboard (HTTP {answer.status_code})."
        )


def _code(say: Say) -> dict[str, Any]:
    """This program, checkout or packages, in a runtime environment; at most what Ray takes."""
    from ray._private.runtime_env.packaging import GCS_STORAGE_MAX_SIZE

    excludes = list(EXCLUDES)
    tree = (ROOT / "pyproject.toml").exists()
    folders = [ROOT] if tree else [ROOT / name for name in environment.PACKAGES]
    sizes = sum((_sizes(folder, excludes) for folder in folders), Counter[str]())
    if sizes.total() >= GCS_STORAGE_MAX_SIZE:
        [(largest, size)] = sizes.most_common(1)
        raise NotSubmitted(
            f"this code and the files beside it are {_size(sizes.total())}, and Ray takes less "
            f"than {_size(GCS_STORAGE_MAX_SIZE)}: {ROOT / largest} alone is {_size(size)}. Move it "
            f"elsewhere, or list it in .gitignore or .rayignore."
        )
    say(f"sends this code: {_size(sizes.total())} of {ROOT if tree else 'the installed packages'}")
    shipped = {"working_dir": str(ROOT)} if tree else {"py_modules": list(map(str, folders))}
    return {**shipped, "excludes": excludes}


def _sizes(folder: Path, excludes: list[str]) -> Counter[str]:
    """Bytes that Ray would send of a folder, by the first part of the path below ``ROOT``."""
    from ray._private.runtime_env import packaging

    found: Counter[str] = Counter()
    above = ROOT if folder.is_relative_to(ROOT) else folder

    def add(path: Path) -> None:
        if path.is_file():
            found[path.relative_to(above).parts[0]] += path.stat().st_size

    left_out = [packaging._get_excludes(folder, excludes)]
    packaging._dir_travel(folder, left_out, add, include_gitignore=True)
    return found


def _size(size: float) -> str:
    return f"{size / 2**20:.1f} MiB" if size < 2**30 else f"{size / 2**30:.1f} GiB"


async def follow(client: Any, address: str, job: str, say: Say) -> int:
    """Say each line of a job's log once; return 0 if it succeeded, else 1 after saying why."""
    import aiohttp
    import requests
    from ray.exceptions import AuthenticationError

    shown, answered = 0, time.monotonic()

    async def tail() -> None:  # Ray sends the log from its first line on
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


def _verdict(ended: Any, say: Say) -> int:
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
