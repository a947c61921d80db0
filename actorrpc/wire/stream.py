"""One HTTP/2 stream: the state of a call on the wire. Plain data; only the session changes it."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from actorrpc.wire.fields import malformed
from actorrpc.wire.head import RequestHead

__all__ = ["MESSAGE_PREFIX", "Stream"]

#: Compressed-Flag and Message-Length (PROTOCOL-HTTP2, "Length-Prefixed-Message").
MESSAGE_PREFIX = 5


@dataclass(slots=True, eq=False, repr=False)
class Stream:
    """State of one stream. It leaves ``session.streams`` when both sides are closed, or at a reset."""

    id: int
    head: RequestHead
    #: The text of ``grpc-timeout``; "" if there was none.
    timeout: str
    send_window: int
    receive_window: int
    #: The size of the receive window, which each WINDOW_UPDATE restores.
    window: int
    #: How many bytes of DATA are still to come by the client's ``content-length``; None if it sent none.
    body_left: int | None = None
    receive_unacknowledged: int = 0
    #: The price of its header blocks, in the flood budget's units: to be paid if no handler has the call.
    work: int = 0
    #: The bytes of the messages that have been reported and not consumed, with an overhead for each.
    held: int = 0
    #: The pieces of the message that is being received, and how many bytes it must have before it is
    #: looked at again. There is no list while there are no pieces: most messages come whole.
    partial: list[bytes] | tuple[()] = ()
    partial_size: int = 0
    wanted: int = MESSAGE_PREFIX
    #: DATA that is not split into messages yet (``actorrpc.wire.unsplit``); None if there is none.
    unsplit: bytearray | None = None
    #: gRPC-framed messages that wait for a window or for the transport; None until one has to wait.
    unsent: deque[bytes | memoryview] | None = None
    unsent_bytes: int = 0
    #: The header block that ends the stream, once all is sent.
    trailers: bytes | None = None
    headers_sent: bool = False
    #: The ``grpc-encoding`` of our messages, to go out with the headers; "" is identity.
    encoding: str = ""
    remote_closed: bool = False
    #: The stream is over, on both sides: what is sent on it is dropped.
    closed: bool = False

    def count_body(self, length: int, end: bool) -> None:
        """Count DATA of a request that has a ``content-length``; ``end``: it is the last.

        Raises StreamFault if the body is longer or shorter than that (RFC 9113, 8.1.1).
        """
        assert self.body_left is not None
        self.body_left -= length
        if self.body_left < 0 or (end and self.body_left):
            raise malformed(f"content-length leaves {self.body_left} bytes at the end of the body")

    def wait_to_send(self, framed: bytes) -> None:
        """Queue a gRPC-framed message behind those that wait already."""
        if self.unsent is None:
            self.unsent = deque()
        self.unsent.append(framed)
        self.unsent_bytes += len(framed)

    @classmethod
    def over(cls, id: int, head: RequestHead) -> Stream:
        """A stream that has ended elsewhere: nothing but its request's head is known of it."""
        stream = cls(id, head, "", 0, 0, 0)
        stream.closed = stream.remote_closed = stream.headers_sent = True
        return stream

    def __repr__(self) -> str:
        return (
            f"<Stream {self.id} {self.head.path} windows {self.send_window}/{self.receive_window}"
            f"{', half-closed' if self.remote_closed else ''}{', closed' if self.closed else ''}"
            f"{'' if self.unsplit is None else f', {len(self.unsplit)} bytes not split'}"
            f", {self.partial_size} bytes partial, {self.unsent_bytes} unsent>"
        )
