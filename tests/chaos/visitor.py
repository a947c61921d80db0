"""A connection that goes to each hub in turn, to ask what only that hub knows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc

from actorrpc.ipc.request import request
from actorrpc.pb.admin_pb2 import Reply, Request
from tests.apps.storm_actorrpc import InspectorStub
from tests.apps.storm_pb2 import Number
from tests.interop.served import Served

__all__ = ["Visitor", "visitor"]

#: What the broker may take to answer.
PATIENCE = 60.0


class Visitor:
    """``inspector`` is answered by the hub that was visited last."""

    def __init__(self, server: Served, inspector: InspectorStub, connection: str) -> None:
        self.inspector = inspector
        self._server = server
        self._connection = connection

    def hubs(self) -> Iterator[dict[str, Any]]:
        """Go to each hub. Yields its row of ``actorrpc status``."""
        for hub in json.loads(_ask(self._server, Request(status=Request.Status())).json)["hubs"]:
            move = Request.Move(connection=self._connection, hub=hub["id"])
            answer = _ask(self._server, Request(move=move))
            assert not answer.error, answer.error
            yield hub


@contextmanager
def visitor(server: Served) -> Iterator[Visitor]:
    """Connect, once all other connections have been closed."""
    with grpc.insecure_channel(server.address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        inspector = InspectorStub(channel)
        inspector.Census(Number())
        server.wait_for(lambda: len(_connections(server)) == 1)
        (row,) = _connections(server)
        yield Visitor(server, inspector, row["id"])


def _connections(server: Served) -> list[dict[str, Any]]:
    answer = _ask(server, Request(connections=Request.Connections()))
    return json.loads(answer.json)  # type: ignore[no-any-return]


def _ask(server: Served, question: Request) -> Reply:
    return request(server.socket_path, question, Reply, PATIENCE)
