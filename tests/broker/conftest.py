"""Fixtures that start servers, and see to it that nothing of them is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.broker.servers import Client, ServerProcess


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., ServerProcess]]:
    """Start servers, each in a folder of its own; nothing may be left of them when their broker has ended."""
    servers: list[ServerProcess] = []

    def start(*options: object, ready: bool = True, **named: Any) -> ServerProcess:
        folder = tmp_path / f"server-{len(servers)}"
        folder.mkdir()
        servers.append(server := ServerProcess(folder, *options, **named))
        if ready:
            server.until_ready()
        return server

    yield start
    left = [server.clean() for server in servers]
    assert left == [[] for _ in servers]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """One server of two hubs for the tests of a module that do it no harm."""
    server = ServerProcess(tmp_path_factory.mktemp("server"))
    try:
        server.until_ready()
        yield server
    finally:
        left = server.clean()
    assert left == []


@pytest.fixture
def connect() -> Iterator[Callable[[str], Client]]:
    clients: list[Client] = []

    def start(address: str) -> Client:
        clients.append(client := Client(address))
        return client

    yield start
    for client in clients:
        client.close()
