"""grpcio's client against two hubs whose calls go through interceptors and move after every turn."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

import pytest

from tests.interop.served import Served
from tests.shapes_contract import ShapesContract


@pytest.fixture(scope="module")
def server() -> Iterator[Served]:
    server = Served("--move-every", "1", app="tests.apps.intercepted:app")
    try:
        yield server
        assert server.status()["moves"]["done"]
    finally:
        log = server.close()
    ended = Counter(re.findall(r"ended (\S+): ", log))
    assert set(ended.values()) == {1}, "each call ends once, in whichever hub"
    assert "AssertionError" not in log


class TestIntercepted(ShapesContract):
    """Its tests are the contract's."""
