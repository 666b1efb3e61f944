import pytest

from tests import tiny_pipeline


@pytest.fixture(autouse=True)
def one_thread():
    """Compute as the tasks do."""
    from models.device import one_thread

    with one_thread():
        yield


@pytest.fixture(scope="session", params=[1, 2], ids=["v1", "v2"])
def either(request, tmp_path_factory):
    """A tiny pipeline's folder, of each version; leave it as it is."""
    return tiny_pipeline.write(tmp_path_factory.mktemp("tiny"), version=request.param)


@pytest.fixture
def written(tmp_path):
    """A tiny pipeline's folder, to change."""
    return tiny_pipeline.write(tmp_path / "tiny")
