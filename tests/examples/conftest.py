"""What the tests of the examples share: a chat server of two hubs, and how its members come and go."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import count

import pytest

from examples.demo_server import Server
from tests.support.processes import ROOT

from .member import Enter, Member

#: The chat.
APP = "examples.chat.server:app"

_rooms = count(1)


@pytest.fixture(scope="session", autouse=True)
def _tested_package() -> Iterator[None]:
    """Have every process import what is tested, from whichever folder it runs."""
    with pytest.MonkeyPatch.context() as patch:
        paths = [str(ROOT), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, paths)))
        yield


@pytest.fixture(scope="session")
def server(_tested_package: None) -> Iterator[Server]:
    """A chat server that no test harms."""
    with Server(APP) as server:
        yield server


@pytest.fixture
def enter(server: Server) -> Iterator[Enter]:
    """Enter a room of the test's own, unless another is given; all leave at the end of the test."""
    own = f"room-{next(_rooms)}"
    with ExitStack() as members:

        def enter(nick: str, room: str = "", address: str = server.address) -> Member:
            member = members.enter_context(Member(address))
            member.enter(nick, room or own)
            return member

        yield enter
