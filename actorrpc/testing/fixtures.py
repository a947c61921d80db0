"""The pytest plugin. Nothing loads it by itself: an app's conftest.py names it.

    pytest_plugins = ["actorrpc.testing.fixtures"]

It is not an entry point, since pytest would then import gevent, and this, for the tests of every project in
whose environment actorrpc is installed, and before a conftest.py could patch anything.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from actorrpc.app import App
from actorrpc.testing.server import Serve, Server, serve

__all__ = ["actorrpc_server"]


@pytest.fixture
def actorrpc_server() -> Iterator[Serve]:
    """Starts servers, which are stopped at the end of the test: ``server = actorrpc_server(app, hubs=3)``.

    Arguments and result are those of ``actorrpc.testing.serve``.
    """
    with ExitStack() as servers:

        def start(app: App, **options: Any) -> Server:
            return servers.enter_context(serve(app, **options))

        yield start
