"""A machine that is well: what tests of the doctor make ill."""

from pathlib import Path

from orchestrator.cli.findings import GIB, Wanted
from orchestrator.cli.machine import Machine, Space, Token

WANTED = Wanted(">=3.11", {"torch": ">=2.14,<2.15", "ray": ">=2.60,<2.61"}, {"ray": "[data]"})
WELL = Machine(
    python="3.11.9",
    versions={"torch": "2.14.1+cpu", "ray": "2.60.0"},
    cores=2,
    quota=None,
    threads={},
    gpus=(),
    gpu_trouble="",
    memory=Space(8 * GIB, 16 * GIB),
    temporary=Path("/tmp"),
    temporary_trouble="",
    temporary_disk=Space(50 * GIB, 100 * GIB),
    shared_memory=Space(8 * GIB, 8 * GIB),
    open_files=1048576,
    authentication="token",
    token=Token("/home/me/.ray/auth_token", 0o600),
    listening=(),
)
