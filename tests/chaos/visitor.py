"""A connection that goes to each hub in turn, to ask what only that hub knows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc

from tests.apps.storm_actorrpc import InspectorStub
from tests.apps.storm_pb2 import Number
from tests.support.server_process import ServerProcess

__all__ = ["Visitor", "visitor"]


class Visitor:
    """``inspector`` is answered by the hub that was visited last."""

    def __init__(self, server: ServerProcess, inspector: InspectorStub, connection: str) -> None:
        self.inspector = inspector
        self._server = server
        self._connection = connection

    def hubs(self) -> Iterator[dict[str, Any]]:
        """Go to each hub. Yields its row of ``actorrpc status``."""
        for hub in self._server.status()["hubs"]:
            why = self._server.move(self._connection, hub["id"])
            assert not why, why
            yield hub


@contextmanager
def visitor(server: ServerProcess) -> Iterator[Visitor]:
    """Connect, once all other connections have been closed."""
    with grpc.insecure_channel(server.address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        inspector = InspectorStub(channel)
        inspector.Census(Number())
        server.wait_for(lambda: len(server.connections()) == 1)
        (row,) = server.connections()
        yield Visitor(server, inspector, row["id"])
