"""A client that finds out whether its actor has been copied, and who answers it."""

from __future__ import annotations

import grpc

from tests.apps.shapes_actorrpc import StatefulStub
from tests.apps.shapes_pb2 import Item

PATIENCE = 30.0


class Bystander:
    """A client of a connection of its own. Its actor counts its calls, and so does it."""

    def __init__(self, address: str) -> None:
        self.channel = grpc.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])
        self.stub = StatefulStub(self.channel)
        self._calls = 0

    def call(self) -> int:
        """Call once. Returns the pid of the process that has answered."""
        self._calls += 1
        reply = self.stub.Unary(Item(), timeout=PATIENCE, wait_for_ready=True)
        assert reply.number == self._calls, "the call was counted by another copy of the actor"
        return int(reply.text)

    def ask(self, text: str, *body: object) -> str:
        item = Item(text=text, body="\n".join(map(str, body)).encode())
        return str(self.stub.Beside(item, timeout=PATIENCE, wait_for_ready=True).text)
