"""What more than one folder of tests shares: the tiny study made once, and one Ray."""

import shutil
from pathlib import Path

import pytest

from orchestrator.local import run_in_process
from orchestrator.store import Store
from orchestrator.studies import AMPLIFICATION
from orchestrator.studies.scales import TINY


@pytest.fixture(scope="session")
def tiny_points():
    return AMPLIFICATION.points(TINY, TINY.axes)


@pytest.fixture(scope="session")
def tiny_store(tiny_points, tmp_path_factory):
    """The whole tiny study, made in this process.  Copy it before changing anything in it."""
    store = Store(tmp_path_factory.mktemp("tiny"))
    run_in_process([point.measure for point in tiny_points], store)
    return store


@pytest.fixture(scope="session")
def copied(tmp_path_factory):
    """A function that copies a store and returns the copy."""

    def copy(store: Store) -> Store:
        root = tmp_path_factory.mktemp("copy") / "store"
        shutil.copytree(store.root, root)
        return Store(root)

    return copy


@pytest.fixture(scope="session")
def local_ray():
    """One Ray for all tests, started as the program starts it."""
    from orchestrator import cluster

    with cluster.connected(None, dashboard=False, verbose=False):
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
