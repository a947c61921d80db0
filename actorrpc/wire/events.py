"""What a session reports: events, in the order in which the peer caused them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actorrpc.errors import ConnectionFault, StatusCode

if TYPE_CHECKING:
    from actorrpc.wire.stream import Stream

__all__ = [
    "Drained",
    "Event",
    "Faulted",
    "MessageReceived",
    "RequestReceived",
    "StreamEnded",
    "StreamRefused",
    "StreamReset",
]


class Event:
    """Base of all events."""

    __slots__ = ()

    def __repr__(self) -> str:
        values = (f"{name}={getattr(self, name)!r}" for base in type(self).__mro__ for name in _slots(base))
        return f"{type(self).__name__}({', '.join(values)})"


def _slots(cls: type) -> tuple[str, ...]:
    return getattr(cls, "__slots__", ())


class RequestReceived(Event):
    """A call has begun: ``stream.head`` and ``stream.timeout`` say which."""

    __slots__ = ("stream",)

    def __init__(self, stream: Stream) -> None:
        self.stream = stream


class MessageReceived(Event):
    """A whole message of a call; ``payload`` is ``Compressed`` if its flag says so.

    Say ``session.consumed(stream, len(payload))`` when it has been taken.

    ``last``: the client has half-closed with it, as ``StreamEnded`` would say, which does not follow.
    """

    __slots__ = ("last", "payload", "stream")

    def __init__(self, stream: Stream, payload: bytes, last: bool) -> None:
        self.stream = stream
        self.payload = payload
        self.last = last


class StreamEnded(Event):
    """The client has half-closed, after all its messages."""

    __slots__ = ("stream",)

    def __init__(self, stream: Stream) -> None:
        self.stream = stream


class StreamReset(Event):
    """The call is over: the client cancelled it, or broke the protocol on its stream."""

    __slots__ = ("code", "stream")

    def __init__(self, stream: Stream, code: int) -> None:
        self.stream = stream
        self.code = code


class StreamRefused(Event):
    """The call is over: its client broke gRPC's framing, or a limit. Nothing more of it is reported.

    Say ``outbound.cut_off`` with this status. It is for the owner to say, who may have ended the call for
    something that came earlier in the same bytes: then that is what the client is told.
    """

    __slots__ = ("message", "status", "stream")

    def __init__(self, stream: Stream, status: StatusCode, message: str) -> None:
        self.stream = stream
        self.status = status
        self.message = message


class Drained(Event):
    """All that was sent on the call has gone out, after some of it had to wait."""

    __slots__ = ("stream",)

    def __init__(self, stream: Stream) -> None:
        self.stream = stream


class Faulted(Event):
    """The connection cannot go on. Send what is left in ``data_to_send`` and close it."""

    __slots__ = ("error",)

    def __init__(self, error: ConnectionFault) -> None:
        self.error = error
