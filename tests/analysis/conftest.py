from collections.abc import Callable

import pytest

from tests.analysis import made_up


@pytest.fixture(scope="session")
def row() -> Callable[..., dict]:
    return made_up.make_row


@pytest.fixture(scope="session")
def sweep() -> list[dict]:
    return made_up.amplification_sweep()


@pytest.fixture(scope="session")
def composition_sweep() -> list[dict]:
    return made_up.composition_sweep()


@pytest.fixture(scope="session")
def groups(sweep) -> dict:
    return made_up.groups_of(sweep)
