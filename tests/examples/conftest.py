"""What the tests of the examples share: a chat server of two hubs, and how its members come and go."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import actorrpc
from examples.chat.demo_server import Server

from .member import Enter, Member

ROOT = Path(actorrpc.__file__).parents[1]


@pytest.fixture(scope="session", autouse=True)
def _tested_package() -> Iterator[None]:
    """Have every process import what is tested, from whichever folder it runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(
            "PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep)
        )
        yield


@pytest.fixture(scope="session")
def server(_tested_package: None) -> Iterator[Server]:
    """A chat server that no test harms."""
    with Server() as server:
        yield server


@pytest.fixture
def enter(server: Server, request: pytest.FixtureRequest) -> Iterator[Enter]:
    """Enter a room of the test's own, unless another is given; all leave at the end of the test."""
    with ExitStack() as members:

        def enter(nick: str, room: str = "", address: str = server.address) -> Member:
            member = members.enter_context(Member(address))
            member.join(nick, room or f"room-{abs(hash(request.node.name)) % 10**9}")
            member.next("welcome")
            return member

        yield enter
