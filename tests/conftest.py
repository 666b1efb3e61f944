"""What more than one folder of tests shares: the tiny study made once, and one Ray."""

import fcntl
import os
import shutil
import uuid
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import pytest

from analysis.page.page import write
from bench.local import run_in_process
from orchestrator.cli.parsing import find_study
from orchestrator.process import environment_kept
from orchestrator.run.report import page_of
from orchestrator.store.store import Store, open_store
from orchestrator.studies import AMPLIFICATION
from orchestrator.studies.scales import TINY
from tests import made_up
from tests.orchestrator.conducted import MARK, POISON

CREDENTIALS = {"AWS_ACCESS_KEY_ID": "made-up-name", "AWS_SECRET_ACCESS_KEY": "made-up-secret"}
NO_OTHERS = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL", "CASTLEWALLS_STORE")


def pytest_runtest_setup(item):
    """Skip what needs a GPU where there is none."""
    if item.get_closest_marker("gpu"):
        import torch

        if not torch.cuda.is_available():
            pytest.skip("no CUDA device")


@pytest.fixture(scope="session", autouse=True)
def nobody_s_own_storage(tmp_path_factory):
    """Credentials that open nothing, and copies that nobody misses; set before Ray starts."""
    with environment_kept():
        os.environ |= CREDENTIALS | {"CASTLEWALLS_CACHE": str(tmp_path_factory.mktemp("cache"))}
        for name in NO_OTHERS:
            os.environ.pop(name, None)
        yield


@pytest.fixture(scope="session")
def object_storage():
    """A server on loopback that speaks S3: its host and port."""
    from moto.server import ThreadedMotoServer
    from pyarrow import fs

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    options = f"endpoint_override={host}:{port}&scheme=http&region=us-east-1"
    files, bucket = fs.FileSystem.from_uri(f"s3://castle?{options}&allow_bucket_creation=true")
    files.create_dir(bucket)
    yield f"{host}:{port}"
    server.stop()


@pytest.fixture
def remote_address(object_storage):
    """The address of a store of its own for each test."""
    options = f"endpoint_override={object_storage}&scheme=http&region=us-east-1"
    return f"s3://castle/{uuid.uuid4().hex[:8]}?{options}"


@pytest.fixture
def node(remote_address, tmp_path, monkeypatch):
    """A function that opens the store as a node of its own does."""

    def opened(name, address=remote_address):
        monkeypatch.setenv("CASTLEWALLS_CACHE", str(tmp_path / name))
        return open_store(address)

    return opened


@pytest.fixture
def pair(node):
    """Two nodes with one store."""
    return node("one"), node("two")


@pytest.fixture(scope="session")
def tiny_points():
    return AMPLIFICATION.points(TINY, AMPLIFICATION.chosen(TINY))


@pytest.fixture(scope="session")
def shared(tmp_path_factory):
    """A function that makes a folder once for all test processes."""
    own = tmp_path_factory.getbasetemp()
    root = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own

    def made(name, make):
        folder, done = root / name, root / f"{name}.done"
        with (root / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                make(folder)
                done.touch()
        return folder

    return made


@pytest.fixture(scope="session")
def tiny_store(tiny_points, shared):
    """The whole tiny study, made without Ray.  Copy it before changing anything in it."""

    def make(folder):
        run_in_process([point.measure for point in tiny_points], Store(folder))

    return Store(shared("tiny-store", make))


@pytest.fixture(scope="session")
def poisoned_store(shared):
    """The digits, poisoned and marked.  Copy it before changing anything in it."""
    return Store(shared("poisoned", lambda folder: run_in_process([POISON, MARK], Store(folder))))


@pytest.fixture(scope="session")
def copied(tmp_path_factory):
    """A function that copies a store and returns the copy."""

    def copy(store: Store) -> Store:
        root = tmp_path_factory.mktemp("copy") / "store"
        shutil.copytree(store.root, root)
        return Store(root)

    return copy


@pytest.fixture(scope="session")
def decoys(tmp_path_factory):
    """A folder with modules of the names of ours, as any checkout of research code has."""
    folder = tmp_path_factory.mktemp("checkout")
    for name in ("models/__init__.py", "analysis/__init__.py", "tasks.py"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("raise ImportError('this one is not ours')\n")
    return folder


@pytest.fixture(scope="session")
def local_ray(decoys):
    """One Ray for all tests, beside others' packages of our names and too deep for sockets."""
    from orchestrator.run import cluster

    deep = decoys / ("deep" * 20)
    deep.mkdir()
    with pytest.MonkeyPatch.context() as patch, ExitStack() as lasting:
        patch.chdir(decoys)
        patch.setenv("TMPDIR", str(deep))
        lasting.enter_context(cluster.connected(None, dashboard=False, verbose=False))
        patch.undo()
        yield cluster


@pytest.fixture(scope="session")
def contents():
    """A function that reads what a store published: each file's bytes but the records'."""

    def read(store: Store, *steps) -> dict[str, bytes]:
        folders = [store.folder(step) for step in steps] if steps else [store.root]
        return {
            path.relative_to(store.root).as_posix(): path.read_bytes()
            for folder in folders
            for path in sorted(Path(folder).rglob("*"))
            if path.is_file() and path.name != "record.json"
        }

    return read


@pytest.fixture(scope="session")
def written(shared):
    """A function that gives the folder of a study's page, made of made-up rows."""

    def make(study, folder):
        report = made_up.REPORTS[study]()
        write(folder, report, page_of(find_study(study), report))

    return lambda study: shared(f"page-of-{study}", partial(make, study))


@pytest.fixture(scope="session")
def html_of(written):
    return lambda study: (written(study) / "index.html").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def row():
    return made_up.make_row


@pytest.fixture(scope="session")
def sweep() -> list[dict]:
    return made_up.amplification_sweep()


@pytest.fixture(scope="session")
def composition_sweep() -> list[dict]:
    return made_up.composition_sweep()
