"""What a session reports: events, in the order in which the peer caused them."""

from __future__ import annotations

from dataclasses import dataclass

from actorrpc.errors import ConnectionFault, StatusCode
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


# Not frozen: each call makes two of them, and a frozen one takes three times as long to make.
@dataclass(slots=True, eq=False)
class RequestReceived(Event):
    """A call has begun: ``stream.head`` and ``stream.timeout`` say which."""

    stream: Stream


@dataclass(slots=True, eq=False)
class MessageReceived(Event):
    """A whole message of a call; ``payload`` is ``Compressed`` if its flag says so.

    Say ``session.inbound.consumed(stream, len(payload))`` when it has been taken.

    ``last``: the client has half-closed with it, as ``StreamEnded`` would say, which does not follow.
    """

    stream: Stream
    payload: bytes
    last: bool


@dataclass(slots=True, eq=False)
class StreamEnded(Event):
    """The client has half-closed, after all its messages."""

    stream: Stream


@dataclass(slots=True, eq=False)
class StreamReset(Event):
    """The call is over: the client cancelled it, or broke the protocol on its stream."""

    stream: Stream
    code: int


@dataclass(slots=True, eq=False)
class StreamRefused(Event):
    """The call is over: its client broke gRPC's framing, or a limit. Nothing more of it is reported.

    Say ``outbound.cut_off`` with this status, unless you have ended the call for something that came earlier
    in the same bytes: then that is what the client is told.
    """

    stream: Stream
    status: StatusCode
    message: str


@dataclass(slots=True, eq=False)
class Drained(Event):
    """All that was sent on the call has gone out, after some of it had to wait."""

    stream: Stream


@dataclass(slots=True, eq=False)
class Faulted(Event):
    """The connection cannot go on. Send what is left in ``data_to_send`` and close it."""

    error: ConnectionFault
