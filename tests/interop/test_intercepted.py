"""grpcio's client against two hubs whose calls go through interceptors and move after every turn."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.support.server_process import ServerProcess, served
from tests.support.shapes_contract import ShapesContract


@pytest.fixture(scope="module")
def server() -> Iterator[ServerProcess]:
    with served("--move-every", "1", app="tests.apps.intercepted:app") as server:
        yield server
        assert server.status()["moves"]["done"]
    ended = Counter(re.findall(r"ended (\S+): ", server.log))
    assert set(ended.values()) == {1}, "each call ends once, in whichever hub"
    assert "AssertionError" not in server.log


class TestIntercepted(ShapesContract):
    """Its tests are the contract's."""
