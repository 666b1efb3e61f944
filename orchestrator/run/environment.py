"""The environment variables that Ray reads, and the token that its processes trust.

Importing this sets the variables; it has to happen before Ray itself is imported.
"""

import json
import os
import secrets
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from orchestrator import OURS, ROOT

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_AIR_NEW_OUTPUT": "0",  # Tune's new output prints a banner even at verbose=0
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",  # each report() waits for one poll
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "TUNE_GLOBAL_CHECKPOINT_S": "5",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # Ctrl-C is ours to answer
    "RAY_AUTH_MODE": "token",
}
"""Ray's environment, unless the user has set it: quiet, authenticated, nothing sent anywhere."""
ON_EVERY_NODE = {"RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1"}
"""What workers need as well: a step that was given no GPU must not see one."""
PACKAGES = ("orchestrator", *OURS)
TOKEN, TOKEN_FILE = "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"


def tell_ray() -> None:
    """Set the variables that the user has not set; a Ray that is imported reads them again."""
    for name, value in {**QUIET, **ON_EVERY_NODE}.items():
        os.environ.setdefault(name, value)
    if "ray" in sys.modules:
        from ray._raylet import Config  # type: ignore[attr-defined]

        Config.initialize("")


tell_ray()


def shipped() -> dict[str, Any]:
    """The ``runtime_env`` with which a cluster's workers run the code of this checkout.

    A Ray job whose own environment brings the code (``castlewalls submit``) needs none of it, and
    Ray refuses two environments that name the same thing.
    """
    job = json.loads(os.environ.get("RAY_JOB_CONFIG_JSON_ENV_VAR") or "{}")
    given: dict[str, Any] = job.get("runtime_env") or {}
    there = given.get("env_vars") or {}
    own = {name: value for name, value in ON_EVERY_NODE.items() if name not in there}
    brought = given.keys() & {"working_dir", "py_modules"}
    code = {} if brought else {"py_modules": [str(ROOT / name) for name in PACKAGES]}
    return {"env_vars": own, **code}


@contextmanager
def trusting_only_this_process() -> Iterator[None]:
    """Let a Ray that is started inside trust a random token, unless the user has set one."""
    if TOKEN in os.environ:
        yield
        return
    from ray._raylet import AuthenticationTokenLoader, Config  # type: ignore[attr-defined]

    os.environ[TOKEN] = secrets.token_hex(32)
    loader = AuthenticationTokenLoader.instance()
    loader.reset_cache()  # of a Ray that was here before
    try:
        yield
    finally:  # threads that are still ending abort if they want a token and find none
        mode = os.environ.pop("RAY_AUTH_MODE")
        Config.initialize("")
        del os.environ[TOKEN]
        loader.reset_cache()
        os.environ["RAY_AUTH_MODE"] = mode
        if loader.has_token(ignore_auth_mode=True):
            Config.initialize("")


def trust_the_user(say: Callable[[str], Any], *, make: bool) -> Path | None:
    """Let Ray use the user's own token; return the file that has it, which only they can read."""
    if TOKEN in os.environ:
        return None
    path = Path(os.environ.get(TOKEN_FILE) or Path.home() / ".ray" / "auth_token")
    if not path.exists() and make:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_name(f".{path.name}.{os.getpid()}")
        fresh.touch(mode=0o600, exist_ok=False)
        fresh.write_text(secrets.token_hex(32))
        fresh.rename(path)
    if not path.exists():
        return None
    if path.stat().st_mode & 0o077:
        try:
            path.chmod(0o600)
            say(f"{path} holds Ray's token and others could read it; its mode is now 0600")
        except OSError as error:
            say(f"{path} holds Ray's token and others can read it ({error.strerror}); chmod 600 it")
    return path
