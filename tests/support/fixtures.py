"""Fixtures of several suites: the ``conftest`` of each imports those that it wants."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.server_process import ServerProcess

__all__ = ["Serve", "serve"]

#: What ``serve`` is: the arguments are ``ServerProcess``'s, and whether it is to be ``ready``.
Serve = Callable[..., ServerProcess]


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
