"""What is made of a machine's facts: every ill is found, and has its cure."""

from dataclasses import replace

import pytest

from orchestrator.cli import findings
from orchestrator.cli.findings import GIB, Finding
from orchestrator.cli.machine import Listener, Space, Token
from tests.orchestrator.machines import WANTED, WELL


def amiss(facts):
    """What is not good about a machine."""
    return [finding for finding in findings.judge(facts, WANTED) if finding.level != "good"]


AMISS = [
    ({"python": "3.10.4"}, "wrong", "Python is 3.10.4, expected >=3.11", "make run PYTHON="),
    (
        {"versions": {"torch": "2.13.0", "ray": None}},
        "wrong",
        "torch is 2.13.0, expected >=2.14,<2.15; ray is not installed, expected >=2.60,<2.61",
        "python -m pip install 'torch>=2.14,<2.15' 'ray[data]>=2.60,<2.61'",
    ),
    ({"cores": 4, "quota": 2.5}, "note", "may use 2.5 at a time", "taskset -c 0-1 castlewalls"),
    ({"threads": {"OMP_NUM_THREADS": "8"}}, "note", "OMP_NUM_THREADS=8", "unset OMP_NUM_THREADS"),
    (
        {"gpus": ("A100, 40960 MiB",), "gpu_trouble": "torch 2.14.1 sees 0 of 1 (CUDA none)"},
        "wrong",
        "sees 0 of 1",
        "pytorch.org",
    ),
    ({"memory": Space(5 * GIB // 2, 16 * GIB)}, "note", "holds 1 step(s) at a time", "top -o %MEM"),
    ({"memory": Space(3 * GIB // 2, 16 * GIB)}, "wrong", "1.5 of 16.0 GiB free", "top -o %MEM"),
    ({"memory": Space(40 * GIB, 1000 * GIB)}, "wrong", "95 % full", "top -o %MEM"),
    (
        {"temporary_disk": Space(5 * GIB, 100 * GIB)},
        "wrong",
        "5.0 GiB free in /tmp, of 100.0 GiB",
        "export RAY_TMPDIR=",
    ),
    (
        {"shared_memory": Space(64 * 2**20, 64 * 2**20)},
        "note",
        "64 MiB of 64 MiB of /dev/shm",
        "--shm-size=2g",
    ),
    ({"authentication": "disabled"}, "wrong", "RAY_AUTH_MODE is 'disabled'", "unset RAY_AUTH_MODE"),
    ({"token": Token("/a b", 0o644)}, "wrong", "has mode 0644", "chmod 600 '/a b'"),
    ({"token": Token("/a", 0o640)}, "wrong", "has mode 0640", "chmod 600 /a"),
    ({"token": Token("/a", 0o600, empty=True)}, "wrong", "/a is empty", "ray get-auth-token"),
    ({"token": Token("/a")}, "wrong", "names /a, which cannot be read", "RAY_AUTH_TOKEN_PATH"),
    (
        {"listening": (Listener("MLflow", "0.0.0.0:5000", 7, False),)},
        "wrong",
        "MLflow is open to other machines at 0.0.0.0:5000 (process 7); it lets everybody in",
        "mlflow server --host 127.0.0.1",
    ),
    ({"listening": (Listener("MLflow", "0.0.0.0:5000", 7, True),)}, "note", "encrypts", "ssh -L"),
    ({"listening": (Listener("TensorBoard", "[::]:6006", 7, None),)}, "wrong", "6006", "bind_all"),
    (
        {"listening": (Listener("Ray's dashboard", "10.0.0.1:8265", 7, True),)},
        "note",
        "8265",
        "--dashboard-host=127.0.0.1",
    ),
    ({"listening": (Listener("Ray", "[::]:6379", 7, True),)}, "note", "for a token", "firewall"),
    (
        {"listening": (Listener("Ray", "[::]:1", 7, None), Listener("Ray", "[::]:2", 8, False))},
        "wrong",
        "asks for no token",
        "RAY_AUTH_MODE=token",
    ),
]


@pytest.mark.parametrize(("changes", "level", "says", "cure"), AMISS, ids=[a[2] for a in AMISS])
def test_what_is_amiss_is_found_alone_and_has_its_cure(changes, level, says, cure):
    [finding] = amiss(replace(WELL, **changes))
    assert finding.level == level
    assert says in finding.says
    assert cure in finding.cure


FINE = [
    {},
    {"quota": 2.0},
    {"memory": Space(int(3.5 * GIB), 16 * GIB)},
    {"temporary_disk": Space(6 * GIB, 100 * GIB)},
    {"shared_memory": None},
    {"shared_memory": Space(300 * 2**20, 300 * 2**20)},
    {"authentication": ""},
    {"token": None},
    {"token": Token("RAY_AUTH_TOKEN")},
    {"gpus": ("A100, 40960 MiB",)},
]


@pytest.mark.parametrize("changes", FINE, ids=str)
def test_a_machine_that_is_well_is_told_so(changes):
    assert amiss(replace(WELL, **changes)) == []


def test_what_is_not_good_cannot_be_said_without_a_cure():
    for level, cure in (("note", ""), ("wrong", ""), ("good", "rm -rf /")):
        with pytest.raises(AssertionError):
            Finding(level, "store", "it is gone", cure)


@pytest.mark.parametrize(
    ("free", "level"), [(3 * GIB, "good"), (10**9, "note"), (10**8 - 1, "wrong")]
)
def test_a_disk_that_fills_up_is_noted_and_a_full_one_is_wrong(free, level):
    assert findings.disk("store", "/data", Space(free, 100 * GIB)).level == level


def test_another_version_of_what_decides_no_result_is_a_note():
    here, there = ({"torch": "2.14.1", "rich": version} for version in ("14", "15"))
    finding = findings.compared(
        replace(WELL, versions=there), replace(WELL, versions=here), ("ray", "torch")
    )
    assert (finding.level, finding.says) == ("note", "rich is 15, here 14")


def test_gpus_that_ray_does_not_count_are_noted():
    finding = findings.counted(replace(WELL, gpus=("A100", "A100")), {"CPU": 8.0, "GPU": 1.0})
    assert finding.says == "Ray counts 8 CPUs of 2: its steps slow each other down and 1 GPUs of 2"
    assert "--num-cpus=2 --num-gpus=2" in finding.cure
