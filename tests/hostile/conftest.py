"""One hub, so that attacker and bystander share a core's process, for each file of tests."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.hostile.hub import Hub
from tests.support.server_process import served


@pytest.fixture(scope="module")
def options() -> tuple[str, ...]:
    """Options of `actorrpc serve`; a file may have its own."""
    return ()


@pytest.fixture(scope="module")
def hub(options: tuple[str, ...]) -> Iterator[Hub]:
    with served(*options, hubs=1) as server:
        hub = Hub(server)
        try:
            yield hub
        finally:
            hub.close()
            print(server.log[-5000:])  # for tests that fail
