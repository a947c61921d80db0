"""Fixtures that start servers, and see to it that nothing of them is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.support.counting_client import CountingClient
from tests.support.fixtures import follow, serve
from tests.support.server_process import ServerProcess

__all__ = ["connect", "follow", "serve", "server"]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One server of two hubs for the tests of a module that do it no harm."""
    server = ServerProcess(folder=tmp_path_factory.mktemp("server"))
    try:
        server.until_ready()
        yield server
    finally:
        left = server.close()
    assert left == []


@pytest.fixture
def connect() -> Iterator[Callable[[str], CountingClient]]:
    clients: list[CountingClient] = []

    def start(address: str) -> CountingClient:
        clients.append(client := CountingClient(address))
        return client

    yield start
    for client in clients:
        client.close()
