"""The fixtures: servers, clients, and a child that is ended."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.forks.bystander import Bystander
from tests.forks.ways import Child
from tests.support.fixtures import serve

__all__ = ["child", "connect", "serve"]


@pytest.fixture
def connect() -> Iterator[Callable[[str], Bystander]]:
    clients: list[Bystander] = []

    def start(address: str) -> Bystander:
        clients.append(client := Bystander(address))
        return client

    yield start
    for client in clients:
        client.close()


@pytest.fixture
def child(tmp_path: Path) -> Iterator[Child]:
    folder = tmp_path / "child"
    folder.mkdir()
    child = Child(folder)
    yield child
    child.end()
