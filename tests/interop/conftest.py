"""The servers of these tests: two hubs, once left alone, and once with a move after every turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.interop.served import Served, served


@pytest.fixture(scope="module")
def app() -> str:
    """What is served. A module that wants another app has a fixture of this name."""
    return "tests.apps.shapes:app"


@pytest.fixture(scope="module", params=[(), ("--move-every", "1")], ids=["still", "moved-every-turn"])
def server(request: pytest.FixtureRequest, app: str) -> Iterator[Served]:
    with served(*request.param, app=app) as server:
        yield server
        assert bool(server.status()["moves"]["done"]) == bool(request.param)


@pytest.fixture(scope="module")
def address(server: Served) -> str:
    return server.address


@pytest.fixture
def logged(server: Served) -> Callable[[], str]:
    return server.log.read_text
