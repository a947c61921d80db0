"""One HTTP/2 stream: the state of a call on the wire. Plain data; only the session changes it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from itertools import chain

from actorrpc.pb import snapshot_pb2
from actorrpc.wire.fields import malformed
from actorrpc.wire.head import RequestHead

__all__ = ["Stream", "freeze_fields", "thaw_fields"]

#: Compressed-Flag and Message-Length (PROTOCOL-HTTP2, "Length-Prefixed-Message").
MESSAGE_PREFIX = 5


class Stream:
    """State of one stream. It leaves ``session.streams`` when both sides are closed, or at a reset."""

    __slots__ = (
        "body_left",
        "closed",
        "encoding",
        "head",
        "headers_sent",
        "held",
        "id",
        "partial",
        "partial_size",
        "receive_unacknowledged",
        "receive_window",
        "remote_closed",
        "send_window",
        "timeout",
        "trailers",
        "unsent",
        "unsent_bytes",
        "unsplit",
        "wanted",
        "window",
        "work",
    )

    def __init__(
        self, id: int, head: RequestHead, timeout: str, send_window: int, receive_window: int
    ) -> None:
        self.id = id
        self.head = head
        #: The text of ``grpc-timeout``; "" if there was none.
        self.timeout = timeout
        self.send_window = send_window
        self.receive_window = receive_window
        #: What the receive window is opened to again and again.
        self.window = receive_window
        self.receive_unacknowledged = 0
        #: Bytes of DATA that are to come by the client's ``content-length``; None if it has named none.
        self.body_left = head.content_length
        #: What its header blocks have cost the hub, in the flood budget's units: paid if it is not served.
        self.work = 0
        #: Bytes of whole messages that have been reported and not consumed.
        self.held = 0
        #: Pieces of the message being received, and how many bytes the pieces must come to.
        self.partial: list[bytes] = []
        self.partial_size = 0
        self.wanted = MESSAGE_PREFIX
        #: DATA that is not split into messages yet (``actorrpc.wire.unsplit``); None if there is none.
        self.unsplit: bytearray | None = None
        #: gRPC-framed messages that wait for a window or for the transport; None until one has to.
        self.unsent: deque[bytes | memoryview] | None = None
        self.unsent_bytes = 0
        #: The header block that ends the stream, once all is sent.
        self.trailers: bytes | None = None
        self.headers_sent = False
        #: The ``grpc-encoding`` of our messages, to go out with the headers; "" is identity.
        self.encoding = ""
        self.remote_closed = False
        #: The stream is over, on both sides: what is sent on it goes nowhere.
        self.closed = False

    def count_body(self, length: int, end: bool) -> None:
        """So many bytes of a body whose length the client has named have come, ``end`` with the last of them.

        Raises StreamFault if that is not what it has named (RFC 9113, 8.1.1).
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

    def drop_unsent(self) -> None:
        """Forget what waits."""
        self.unsent = None
        self.unsent_bytes = 0

    def freeze(self, head: int) -> snapshot_pb2.StreamSnapshot:
        """``head`` is the number of its head among those of the session's snapshot."""
        return snapshot_pb2.StreamSnapshot(
            id=self.id,
            head=head,
            remote_closed=self.remote_closed,
            headers_sent=self.headers_sent,
            send_window=self.send_window,
            receive_window=self.receive_window,
            receive_unacknowledged=self.receive_unacknowledged,
            held=self.held,
            window=self.window,
            partial_message=b"".join(self.partial) if self.unsplit is None else bytes(self.unsplit),
            unsent=b"".join(self.unsent or ()),
            trailers=self.trailers or b"",
            encoding=self.encoding,
            body_left=self.body_left,
            work=self.work,
        )

    @classmethod
    def thaw(cls, snapshot: snapshot_pb2.StreamSnapshot, heads: Sequence[RequestHead]) -> Stream:
        """``heads`` are those of the session's snapshot. Raises ValueError for one that is not there."""
        if snapshot.head >= len(heads):
            raise ValueError(f"stream {snapshot.id} without its head")
        head = heads[snapshot.head]
        stream = cls(snapshot.id, head, "", snapshot.send_window, snapshot.receive_window)
        stream.receive_unacknowledged = snapshot.receive_unacknowledged
        stream.held = snapshot.held
        stream.window = snapshot.window
        stream.remote_closed = snapshot.remote_closed
        stream.headers_sent = snapshot.headers_sent
        stream.trailers = snapshot.trailers or None
        stream.encoding = snapshot.encoding
        stream.body_left = snapshot.body_left if snapshot.HasField("body_left") else None
        stream.work = snapshot.work
        if snapshot.unsent:
            stream.wait_to_send(snapshot.unsent)
        if snapshot.partial_message:
            stream._restore_partial(snapshot.partial_message)
        return stream

    @classmethod
    def over(cls, id: int, head: RequestHead) -> Stream:
        """What is left of a stream that the session has forgotten: what the client said at its beginning."""
        stream = cls(id, head, "", 0, 0)
        stream.closed = stream.remote_closed = stream.headers_sent = True
        return stream

    def _restore_partial(self, data: bytes) -> None:
        if len(data) >= MESSAGE_PREFIX:
            self.wanted = MESSAGE_PREFIX + int.from_bytes(data[1:5], "big")
        if len(data) < self.wanted and not self.remote_closed:
            self.partial.append(data)
            self.partial_size = len(data)
        else:
            self.unsplit = bytearray(data)

    def __repr__(self) -> str:
        return (
            f"<Stream {self.id} {self.head.path} windows {self.send_window}/{self.receive_window}"
            f"{', half-closed' if self.remote_closed else ''}{', closed' if self.closed else ''}"
            f"{'' if self.unsplit is None else f', {len(self.unsplit)} bytes not split'}"
            f", {self.partial_size} bytes partial, {self.unsent_bytes} unsent>"
        )


def freeze_fields(fields: Iterable[tuple[str, str]]) -> list[str]:
    """Names and values in turn: a message for each field would take four times as long."""
    return list(chain.from_iterable(fields))


def thaw_fields(fields: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Raises ValueError for a name without a value."""
    each = iter(fields)
    return tuple(zip(each, each, strict=True))
