"""What the tests of mirroring to MLflow share."""

import shutil

import pytest


@pytest.fixture
def no_server(monkeypatch):
    """MLflow is the database in the store, whatever the environment says."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


@pytest.fixture(scope="session")
def some(tiny_points):
    """Two points of one model, and one of another."""
    return [point for point in tiny_points if point.axes["trigger"] == "badnets1"] + [
        next(point for point in tiny_points if point.axes["trigger"] == "none")
    ]


@pytest.fixture(scope="session")
def database(tmp_path_factory):
    """An empty database of MLflow's, whose making takes seconds."""
    from orchestrator.run.mlflow_runs import make_database

    path = tmp_path_factory.mktemp("database") / "mlflow.db"
    make_database(path)
    return path


@pytest.fixture
def empty(tiny_store, copied, database):
    """The tiny study and a database that knows nothing of it."""
    store = copied(tiny_store)
    shutil.copy(database, store.root / "mlflow.db")
    return store


@pytest.fixture(scope="session")
def sent(tiny_store, copied, some, database):
    from tests.orchestrator.sent import mirrored

    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        store = copied(tiny_store)
        shutil.copy(database, store.root / "mlflow.db")
        folder = store.root / "reports"
        folder.mkdir()
        (folder / "index.html").write_text("a page")
        assert mirrored(store, some, folder) is None
    return store
