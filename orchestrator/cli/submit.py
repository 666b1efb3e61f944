"""A run as a job of a Ray cluster: this code goes there, the log comes back (Ray's Jobs API).

Imported only by ``castlewalls submit``; what is wrong with the words is told before Ray is loaded.
"""

import asyncio
import logging
import os
import secrets
import shlex
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from orchestrator.cli import part_settings
from orchestrator.cli.commands import study_command
from orchestrator.cli.job_log import ANSWER, Following, cause, short
from orchestrator.cli.parsing import PLACEMENT, find_scale, find_study
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
PATHS = "images", "data"
MODE, DISABLED = "RAY_AUTH_MODE", "disabled"

Say = Callable[[str], Any]


class NotSubmitted(RuntimeError):
    """The cluster did not take the job, or there is none."""


def submit(words: Sequence[str], *, address: str, wait: bool, say: Say) -> int:
    """Send this code and ``castlewalls run WORDS`` to a cluster as a job, and follow its log.

    Args:
        words: What ``castlewalls run`` takes, ``--store`` among it and ``--address`` not.
        address: The cluster's dashboard, ``http://HOST:8265``.
        wait: Follow the log until the run ends.
        say: Told each line.

    Returns:
        An exit code: 0 the run succeeded, or is not waited for; 1 it failed, was stopped or can
        no longer be watched; 130 after Ctrl-C, which leaves it running.

    Raises:
        ValueError: For wrong words, in a line.
        NotSubmitted: When the cluster does not take the job, in a line.
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
        return asyncio.run(Following(client, there, job, say).to_the_end())
    except KeyboardInterrupt:
        say(f"the job goes on; its log again: {ray} logs -f {job} --address {there}")
        return INTERRUPTED


def command(words: Sequence[str]) -> tuple[str, str]:
    """The shell command that the job runs on the head, and a name: the study and its scale.

    ``run`` itself parses the words; nothing runs.  Values that come from variables of this machine
    (``CASTLEWALLS_STORE``, ``CASTLEWALLS_DATA``) become words of the command.

    Raises:
        ValueError: In one line, what was expected, what came and what to type instead.
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
    if given["images"] is None:  # those are on the cluster
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
    """Refuse what means something else, or nothing, on another machine."""
    if given["address"] is not None:
        raise ValueError(
            "the run joins the cluster that it is submitted to; give --address before the study, "
            "as the address of the dashboard: http://HOST:8265."
        )
    store = given["store"]
    if not named:
        raise ValueError(
            "submit needs --store: s3://bucket/folder or the like, or an absolute path that every "
            "node of the cluster sees."
        )
    if "://" in store:
        refuse_secrets(store)
    elif not Path(store).is_absolute():
        raise ValueError(
            f"--store {store} is a place on this machine; give s3://bucket/folder or the like, or "
            f"an absolute path that every node of the cluster sees."
        )
    places = {f"--{name} {given[name]}": given[name] for name in PATHS if given[name] is not None}
    source = given.get("classifier_weights")
    if source is not None and not weights.is_hub_id(source):
        places[f"--classifier-weights {source}"] = source
    settings = part_settings.files(given["trigger_setting"] or ())
    places |= {f"{part_settings.TRIGGERS} {words}": place for words, place in settings.items()}
    for words, place in places.items():
        if not Path(place).is_absolute():
            raise ValueError(
                f"{words} is a place on this machine; give an absolute path that every node of the "
                f"cluster sees."
            )


def passed_on(variables: Mapping[str, str], say: Say) -> dict[str, str]:
    """Variables of this machine that the run there is given: where MLflow's server is.

    Raises:
        ValueError: When the address holds a password: the cluster shows what a job was given.
    """
    passed = {MODE: DISABLED} if variables.get(MODE) == DISABLED else {}
    server = variables.get("MLFLOW_TRACKING_URI", "")
    if _has_password(server):
        raise ValueError(
            "MLFLOW_TRACKING_URI holds a password, which the cluster would show in its list of "
            "jobs; leave it out there and set MLFLOW_TRACKING_USERNAME and "
            "MLFLOW_TRACKING_PASSWORD on the cluster's head."
        )
    if urlsplit(server).scheme in ("http", "https"):
        return {**passed, "MLFLOW_TRACKING_URI": server}
    if server:
        say("MLFLOW_TRACKING_URI is no server's http address and stays here")
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
    if _has_password(whole):
        raise ValueError("--address holds a password; the cluster's token is what it wants.")
    return whole


def _has_password(address: str) -> bool:
    return urlsplit(address).password is not None


def _client(address: str, say: Say) -> Any:
    """Ray's client of the dashboard's Jobs API, once it is known that one is there.

    Raises:
        NotSubmitted: Nothing answers, what answers is no dashboard, or the token is not right.
    """
    _probe(address)
    environment.trust_the_user(say, make=False)
    from ray import exceptions, job_submission

    for name in ("ray.dashboard", "ray._private"):  # progress and advice for other commands
        logging.getLogger(name).setLevel(logging.ERROR)
    for name in ("dashboard_sdk", "job.sdk"):
        logging.getLogger(f"ray.dashboard.modules.{name}").setLevel(logging.ERROR)
    os.environ["RAY_API_SERVER_ADDRESS"] = address  # else RAY_ADDRESS goes before what is passed
    try:
        return job_submission.JobSubmissionClient(address)
    except exceptions.AuthenticationError as error:
        if "Authentication failed" in str(error):  # 403; all else means that none was sent
            raise NotSubmitted(
                f"the cluster at {address} does not take the token of this machine "
                f"(RAY_AUTH_TOKEN, RAY_AUTH_TOKEN_PATH or ~/.ray/auth_token, the first that is "
                f"set). Copy its head's ~/.ray/auth_token here."
            ) from error
        raise NotSubmitted(
            f"the cluster at {address} wants a token and got none from here. Copy its head's "
            f"~/.ray/auth_token to this machine (chmod 600), or name the file with "
            f"RAY_AUTH_TOKEN_PATH."
        ) from error
    except (RuntimeError, OSError, ValueError, KeyError) as error:
        raise NotSubmitted(f"{address} is no Ray dashboard: {short(error)}") from error


def _probe(address: str) -> None:
    """Fail in seconds when no dashboard answers, and when one lets anybody in.

    Raises:
        NotSubmitted: In a line.
    """
    import requests

    try:
        answer = requests.get(f"{address}/api/version", timeout=ANSWER)  # without a token
    except requests.RequestException as error:
        late = isinstance(error, requests.Timeout)
        why = f"not in {ANSWER} s" if late else cause(error) or "what listens there is no web page"
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
            f"what answers at {address} is no Ray dashboard (HTTP {answer.status_code})."
        )


def _code(say: Say) -> dict[str, Any]:
    """The part of the job's runtime environment that is this program.

    A working tree goes there as it stands; what is installed goes as its packages.

    Raises:
        NotSubmitted: For more than Ray takes, naming the largest folder.
    """
    from ray._private.runtime_env.packaging import GCS_STORAGE_MAX_SIZE

    excludes = list(EXCLUDES)
    tree = (ROOT / "pyproject.toml").exists()
    folders = [ROOT] if tree else [ROOT / name for name in environment.PACKAGES]
    sizes: dict[str, int] = {}
    for folder in folders:
        for name, size in _sizes(folder, excludes).items():
            where = name if tree else folder.name
            sizes[where] = sizes.get(where, 0) + size
    total = sum(sizes.values())
    if total >= GCS_STORAGE_MAX_SIZE:
        largest = max(sizes, key=lambda name: sizes[name])
        raise NotSubmitted(
            f"this code and what lies beside it are {_size(total)}, and Ray ships less than "
            f"{_size(GCS_STORAGE_MAX_SIZE)}: {ROOT / largest} alone is {_size(sizes[largest])}. "
            f"Move it elsewhere, or name it in .gitignore or .rayignore."
        )
    say(f"ships this code: {_size(total)} of {folders[0] if tree else 'the installed packages'}")
    shipped = {"working_dir": str(ROOT)} if tree else {"py_modules": list(map(str, folders))}
    return {**shipped, "excludes": excludes}


def _sizes(folder: Path, excludes: list[str]) -> dict[str, int]:
    """Bytes of what Ray would ship of a folder, by what lies directly in it."""
    from ray._private.runtime_env import packaging

    found: dict[str, int] = {}

    def add(path: Path) -> None:
        if path.is_file():
            name = path.relative_to(folder).parts[0]
            found[name] = found.get(name, 0) + path.stat().st_size

    left_out = [packaging._get_excludes(folder, excludes)]
    packaging._dir_travel(folder, left_out, add, include_gitignore=True)
    return found


def _size(size: float) -> str:
    return f"{size / 2**20:.1f} MiB" if size < 2**30 else f"{size / 2**30:.1f} GiB"
