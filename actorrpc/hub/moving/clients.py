"""What is known of clients in whose calls actors were called, as it travels with these: once each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from google.protobuf.message import DecodeError

from actorrpc.errors import SnapshotError
from actorrpc.hub.exchange.incoming import IncomingCall
from actorrpc.hub.securing.facts import client_from, client_written

if TYPE_CHECKING:
    from actorrpc.hub.calls.call import ServerCall

__all__ = ["Clients"]


class Clients:
    """Those of one snapshot. A call has its client's place among them, from 1 on; 0: nothing is known."""

    def __init__(self, written: Iterable[bytes] = ()) -> None:
        self.written = [*written]
        self._places: dict[bytes, int] = {}

    def place(self, call: ServerCall[Any]) -> int:
        """Where the client of a call is; it gets a place if need be. One on the client's own connection has
        none: that knows it."""
        if not isinstance(call, IncomingCall) or not (written := client_written(call.client_facts)):
            return 0
        place = self._places.get(written)
        if place is None:
            self.written.append(written)
            place = self._places[written] = len(self.written)
        return place

    def tell(self, call: ServerCall[Any], place: int) -> None:
        """Have a call know its client. Raises SnapshotError for what cannot be."""
        if not place or not isinstance(call, IncomingCall):
            return
        if place > len(self.written):
            raise SnapshotError("a call of a client that is not told")
        try:
            call.client_facts = client_from(self.written[place - 1])
        except DecodeError as error:
            raise SnapshotError("a call of a client that cannot be") from error
