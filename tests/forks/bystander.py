"""A client that finds out whether its actor has been copied, and who answers it."""

from __future__ import annotations

from tests.apps.shapes_pb2 import Item
from tests.support.counting_client import CountingClient
from tests.support.waiting import PATIENCE

__all__ = ["Bystander"]


class Bystander(CountingClient):
    """A client whose actor, of ``tests.forks.app``, says in which process it is."""

    def answered_by(self) -> int:
        """Call once. Returns the pid of the process that has answered."""
        return int(self.call().text)

    def ask(self, text: str, *body: object) -> str:
        item = Item(text=text, body="\n".join(map(str, body)).encode())
        return str(self.stub.Beside(item, timeout=PATIENCE, wait_for_ready=True).text)
