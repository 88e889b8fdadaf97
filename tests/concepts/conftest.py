"""What the tests of concepts share."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext

import pytest


@pytest.fixture(scope="module", autouse=True)
def experiments_as_a_user_runs_them(
    request: pytest.FixtureRequest, as_a_user: Callable[[], AbstractContextManager[None]]
) -> Iterator[None]:
    """They train models, and name no shapes: the type checker would take a third of the time for nothing."""
    with as_a_user() if request.path.name == "test_experiments.py" else nullcontext():
        yield
