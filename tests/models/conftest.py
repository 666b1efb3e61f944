import pytest
from hypothesis import settings

# A busy machine is no failure.
settings.register_profile("patient", deadline=None)
settings.load_profile("patient")


@pytest.fixture(autouse=True)
def one_thread():
    """Compute as the tasks do."""
    from models.device import one_thread

    with one_thread():
        yield
