"""The servers of these tests: two hubs, once left alone, and once with a move after every turn."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.support.server_process import ServerProcess, served

MODES: dict[str, tuple[str, ...]] = {"still": (), "moved-every-turn": ("--move-every", "1")}


@pytest.fixture(scope="module")
def app() -> str:
    """What is served. A module that wants another app has a fixture of this name."""
    return "tests.apps.shapes:app"


@pytest.fixture(scope="module", params=list(MODES.values()), ids=list(MODES))
def mode(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """The options that `actorrpc serve` gets."""
    options: tuple[str, ...] = request.param
    return options


@pytest.fixture(scope="module")
def server(mode: tuple[str, ...], app: str) -> Iterator[ServerProcess]:
    with served(*mode, app=app) as server:
        yield server
        assert bool(server.status()["moves"]["done"]) == bool(mode)


@pytest.fixture(scope="module")
def address(server: ServerProcess) -> str:
    return server.address


@pytest.fixture
def logged(server: ServerProcess) -> Callable[[], str]:
    return lambda: server.log
