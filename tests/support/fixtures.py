"""Fixtures of several suites: the ``conftest`` of each imports those that it wants."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.counting_client import CountingClient
from tests.support.server_process import ServerProcess

__all__ = ["Connect", "Follow", "Serve", "connect", "follow", "serve", "server"]

#: What ``serve`` is: the arguments are ``ServerProcess``'s, and whether it is to be ``ready``.
Serve = Callable[..., ServerProcess]
#: What ``follow`` is: the arguments are the broker before, those of ``ServerProcess``, and ``ready``.
Follow = Callable[..., ServerProcess]
#: What ``connect`` is: the argument is an address.
Connect = Callable[[str], CountingClient]


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Serve]:
    """Start servers, each in a folder of its own; nothing may be left of them when their broker has ended."""
    servers: list[ServerProcess] = []

    def start(*options: object, ready: bool = True, **named: Any) -> ServerProcess:
        folder = tmp_path / f"server-{len(servers)}"
        folder.mkdir()
        servers.append(server := ServerProcess(*options, folder=folder, **named))
        if ready:
            server.until_ready()
        return server

    yield start
    left = [server.close() for server in servers]
    assert left == [[] for _ in servers]


@pytest.fixture
def follow() -> Iterator[Follow]:
    """Has another broker take over what one has left, and waits until it is ready."""
    brokers: list[ServerProcess] = []

    def follow(before: ServerProcess, *options: object, ready: bool = True, **named: Any) -> ServerProcess:
        brokers.append(broker := before.successor(*options, **named))
        if ready:
            broker.until_ready()
        return broker

    yield follow
    for broker in reversed(brokers):
        broker.close()


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
def connect() -> Iterator[Connect]:
    """Makes clients, which are closed at the end."""
    clients: list[CountingClient] = []

    def start(address: str) -> CountingClient:
        clients.append(client := CountingClient(address))
        return client

    yield start
    for client in clients:
        client.close()
