"""The servers of these tests: two hubs, left alone or with a move after every turn, plaintext or TLS."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager

import pytest

from tests.support.endpoints import Endpoint, Identity
from tests.support.server_process import ServerProcess, served

MODES: dict[str, tuple[str, ...]] = {"still": (), "moved-every-turn": ("--move-every", "1")}
SECURE: dict[str, bool] = {"plaintext": False, "TLS": True}

#: Starts a server.
Start = Callable[[], AbstractContextManager[ServerProcess]]

#: Marks a test that has a meaning for one of them only.
plaintext_only, tls_only = (
    pytest.mark.parametrize("secure", [secure], ids=[name], indirect=True) for name, secure in SECURE.items()
)


@pytest.fixture(scope="module")
def app() -> str:
    """What is served. A module that wants another app has a fixture of this name."""
    return "tests.apps.shapes:app"


@pytest.fixture(scope="module", params=list(MODES.values()), ids=list(MODES))
def mode(request: pytest.FixtureRequest) -> tuple[str, ...]:
    """The options that `actorrpc serve` gets."""
    options: tuple[str, ...] = request.param
    return options


@pytest.fixture(scope="session")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    return Identity(tmp_path_factory.mktemp("interop") / "ca")


@pytest.fixture(scope="module", params=list(SECURE.values()), ids=list(SECURE))
def secure(request: pytest.FixtureRequest) -> bool:
    """Whether clients speak TLS, and show who they are."""
    found: bool = request.param
    return found


@pytest.fixture(scope="module")
def start(mode: tuple[str, ...], app: str, secure: bool, identity: Identity) -> Start:
    """Starts another server like the module's."""
    options, bind = ((*mode, *identity.options), None) if secure else (mode, "127.0.0.1:0")
    return lambda: served(*options, app=app, bind=bind)


@pytest.fixture(scope="module")
def server(start: Start, mode: tuple[str, ...]) -> Iterator[ServerProcess]:
    with start() as server:
        yield server
        assert bool(server.status()["moves"]["done"]) == bool(mode)


@pytest.fixture(scope="module")
def endpoint(server: ServerProcess, secure: bool, identity: Identity) -> Endpoint:
    return Endpoint(server.address, identity if secure else None)


@pytest.fixture(scope="module")
def address(server: ServerProcess) -> str:
    return server.address


@pytest.fixture
def logged(server: ServerProcess) -> Callable[[], str]:
    return lambda: server.log
