"""How much the handlers of one hub hold of parsed requests, and whether there is room for one more.

A message is counted with the bytes that came for it, and those that it may take once it is parsed
(``hub.metering.weight``). If that is much, it is parsed as soon as the hub has room for so much, and counted
with what it does take. It is counted until the handler that got it has returned, or the iterable that the
handler returned is exhausted or closed, whatever becomes of the call meanwhile. A message that takes less
than the stack of its handler is not counted.

Calls that find no room end, and do not wait: who has the room may be waiting for just them. Of the hub's room
a connection may have as much as it leaves to the others (a dynamic threshold, as in switches whose ports
share a buffer: Choudhury and Hahne, 1998). So one alone never has more than half, ten that take all they can
get leave an eleventh for the next, and the limit holds all the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from google.protobuf.message import Message

from actorrpc.config import Config
from actorrpc.errors import RpcError, StatusCode
from actorrpc.hub.metering import allocator
from actorrpc.hub.metering.weight import Scale

__all__ = ["Counted", "Parsed", "Parsing", "Weighed"]

#: A message that may take so much is measured: to parse it takes a hundred times as long.
_MEASURED = 1024 * 1024


class Counted(Protocol):
    """A connection, or one of its calls: it keeps how many bytes are counted for it."""

    parsed: int


class Weighed(Protocol):
    """The route of a call: how its messages are parsed, and what they take then."""

    @property
    def scale(self) -> Scale: ...
    @property
    def parse(self) -> Callable[[bytes], Message]: ...


class Parsing(Counted, Protocol):
    """A call whose message is to be parsed."""

    @property
    def route(self) -> Weighed: ...


class Parsed:
    """The sum of one hub. Connections and calls keep their own parts of it."""

    def __init__(self, config: Config) -> None:
        self._connection_limit = config.max_parsed_bytes
        self._hub_limit = config.max_parsed_hub_bytes
        #: Bytes, of all connections.
        self.held = 0

    def parse(self, connection: Counted, call: Parsing, payload: bytes, received: int) -> Message:
        """Parse the message of a call that came as so many bytes, and count it until ``release``.

        Raises RpcError if there is no room for it, and DecodeError.
        """
        route = call.route
        if call.parsed:  # it came with its connection from another hub
            return route.parse(payload)
        weight = route.scale.weigh(payload)
        if weight < _MEASURED or allocator.used is None:
            self.hold(connection, call, received + weight)
            return route.parse(payload)
        # The weight is what it takes if each byte that may be an object is one; mostly it takes a tenth. So
        # the hub must have that much left, but the connection's share is looked at once it has been measured.
        if 0 < self._hub_limit < self.held + received + weight:
            raise RpcError(
                StatusCode.RESOURCE_EXHAUSTED,
                f"this message may take {weight} bytes, parsed, and the messages that handlers have take "
                f"{self.held} of the hub's {self._hub_limit}",
            )
        before = allocator.used()
        message = route.parse(payload)
        taken = (allocator.used() - before) % (1 << 32)
        self.hold(connection, call, received + min(weight, max(taken, len(payload))))
        return message

    def hold(self, connection: Counted, call: Counted, size: int) -> None:
        """Count so much for a call. Raises RpcError if there is no room."""
        mine = connection.parsed + size
        if 0 < self._connection_limit < mine:
            raise RpcError(
                StatusCode.RESOURCE_EXHAUSTED,
                f"with this message, what handlers have of its connection may take {mine} bytes, parsed: "
                f"{self._connection_limit} is the limit",
            )
        if not self.has_room(mine, size):
            raise RpcError(
                StatusCode.RESOURCE_EXHAUSTED,
                f"the messages that handlers have may take {self.held} of the hub's {self._hub_limit} bytes, "
                f"parsed; with this one, those of its connection would take {mine}, more than is left",
            )
        self.take(connection, call, size)

    def has_room(self, mine: int, size: int) -> bool:
        """Whether a connection that has ``mine`` with ``size`` more leaves as much of the hub's room."""
        return not self._hub_limit or mine <= self._hub_limit - self.held - size

    def take(self, connection: Counted, call: Counted, size: int) -> None:
        """Count so much for a call, whether there is room or not."""
        call.parsed = size
        connection.parsed += size
        self.held += size

    def release(self, connection: Counted, call: Counted) -> None:
        """The call's message is not held any more."""
        size, call.parsed = call.parsed, 0
        connection.parsed -= size
        self.held -= size

    def __repr__(self) -> str:
        return f"<Parsed {self.held} bytes of {self._hub_limit}>"
