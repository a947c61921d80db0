"""A real client that finds out whether its actor has been lost, or copied: both count its calls."""

from __future__ import annotations

from typing import Any

import grpc

from tests.apps.shapes_actorrpc import StatefulStub
from tests.apps.shapes_pb2 import Item
from tests.support.waiting import PATIENCE

__all__ = ["CountingClient"]


class CountingClient:
    """A client of grpcio with a connection of its own; with ``credentials`` it speaks TLS, to
    ``localhost``."""

    def __init__(self, address: str, credentials: grpc.ChannelCredentials | None = None) -> None:
        options: list[tuple[str, Any]] = [("grpc.use_local_subchannel_pool", 1)]
        if credentials is None:
            self.channel = grpc.insecure_channel(address, options=options)
        else:
            options.append(("grpc.ssl_target_name_override", "localhost"))
            self.channel = grpc.secure_channel(address, credentials, options=options)
        self.stub = StatefulStub(self.channel)
        self.calls = 0

    def call(self) -> Item:
        """Call once, and return the reply, which the same actor has counted as the client has."""
        self.calls += 1
        reply: Item = self.stub.Unary(Item(), timeout=PATIENCE, wait_for_ready=True)
        assert reply.number == self.calls, "the call was counted by another copy of the actor"
        return reply

    def begin_slow_call(self, seconds: float) -> Any:
        """Begin a call whose handler sleeps. Returns its future once the server has it, if it connects."""
        self.calls += 1
        return self.stub.Unary.future(Item(sleep=seconds), timeout=PATIENCE, wait_for_ready=True)

    def close(self) -> None:
        self.channel.close()
