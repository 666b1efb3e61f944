"""``castlewalls submit``: run a study as a job of a Ray cluster (Ray's Jobs API).

This code is sent to the cluster and the job's log comes back.  Wrong words are refused before Ray
is imported.
"""

import asyncio
import logging
import os
import secrets
import shlex
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from orchestrator.cli import part_settings
from orchestrator.cli.job_log import ANSWER, cause, follow, short
from orchestrator.cli.options import flag_of
from orchestrator.cli.parsing import PLACEMENT, find_scale, find_study
from orchestrator.cli.study_commands import study_command
from orchestrator.console import INTERRUPTED
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

Say = Callable[[str], Any]


class NotSubmitted(RuntimeError):
    """No cluster answers, or it refused the job."""


def submit(words: Sequence[str], *, address: str, wait: bool, say: Say) -> int:
    """Send this code and ``castlewalls run WORDS`` to a cluster as a job, and follow its log.

    Args:
        words: What ``castlewalls run`` takes: with ``--store``, without ``--address``.
        address: The cluster's dashboard, ``http://HOST:8265``.
        wait: Follow the log until the run ends.
        say: Called with each line.

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

    ``run`` itself parses the words.  Values of ``CASTLEWALLS_STORE`` and ``CASTLEWALLS_DATA`` here
    become words of the command.

    Raises:
        ValueError: ``run`` would refuse the words, or they name a place on this machine.
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
    if "://" in given["store"]:
        refuse_secrets(given["store"])
    settings = part_settings.files(given["trigger_setting"] or ())
    places = {f"{part_settings.TRIGGERS} {words}": place for words, place in settings.items()}
    for name in ("store", "images", "data", "classifier_weights"):
        place = given.get(name)
        elsewhere = {
            "store": "://" in str(place),
            "classifier_weights": weights.is_hub_id(str(place)),
        }
        if place is not None and not elsewhere.get(name):
            places[f"{flag_of(name)} {place}"] = place
    for words, place in places.items():
        if not Path(place).is_absolute():
            other = "s3://bucket/folder, or " if words.startswith("--store") else ""
            raise ValueError(f"{words} is a place on this machine; give {other}{SEEN}.")


def passed_on(variables: Mapping[str, str], say: Say) -> dict[str, str]:
    """The job's environment variables: where the MLflow server is, if it has an http address.

    Raises:
        ValueError: The address holds a password, and the cluster shows a job's variables.
    """
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
    """The dashboard's address as http://HOST:PORT.

    Raises:
        ValueError: It is another kind of address, or holds a password.
    """
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
    """Ray's client of the dashboard's Jobs API.

    Raises:
        NotSubmitted: Nothing answers, what answers is no dashboard, or the token is not right.
    """
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
    """The part of the job's runtime environment that is this program: the checkout or the packages.

    Raises:
        NotSubmitted: It is more than Ray takes.
    """
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
