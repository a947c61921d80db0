"""Unary calls over HTTP/2 as it is, for clients that should take little of the cores that servers need.

A call of grpcio takes 0.3 ms of CPU, one of this about 0.05.
"""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Iterator
from functools import cache

from hpack import Decoder, Encoder, NeverIndexedHeaderTuple

from actorrpc.net.addresses import parse_address
from benchmarks.http2 import ACK, END_HEADERS, END_STREAM, PREFACE, Frame, Type, split

__all__ = ["CallFailed", "Connection", "Method"]

#: Seconds in which a connection is made, and answered as long as it blocks.
_TIMEOUT = 10.0
_READ_BYTES = 65536

#: RFC 9113, 6.5.2 and 6.9.
_HEADER_TABLE_SIZE, _MAX_CONCURRENT_STREAMS = 0x1, 0x3
_WINDOW, _LARGEST_WINDOW = 65_535, 2**31 - 1

#: Without a table equal header blocks mean equal fields. The window is larger than all that any run receives.
_SETTINGS = Frame(Type.SETTINGS, 0, 0, _HEADER_TABLE_SIZE.to_bytes(2, "big") + bytes(4))
_OPEN_WIDE = Frame(Type.WINDOW_UPDATE, 0, 0, (_LARGEST_WINDOW - _WINDOW).to_bytes(4, "big"))
_OPENING = PREFACE + _SETTINGS.to_bytes() + _OPEN_WIDE.to_bytes()


class CallFailed(Exception):
    """A call, or its connection, has not ended well."""


class Method:
    """A request, but for its stream."""

    def __init__(self, path: str, message: bytes) -> None:
        fields = [
            (":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "hub"),
            ("content-type", "application/grpc"), ("te", "trailers"),
        ]  # fmt: skip
        self._block = Encoder().encode([NeverIndexedHeaderTuple(*field) for field in fields])
        self._body = b"\0" + len(message).to_bytes(4, "big") + message
        #: What it takes of the connection's window.
        self.size = len(self._body)

    def on(self, stream: int) -> bytes:
        headers = Frame(Type.HEADERS, END_HEADERS, stream, self._block)
        return headers.to_bytes() + Frame(Type.DATA, END_STREAM, stream, self._body).to_bytes()


class Connection:
    """A connection, and what is under way on it: for each call a moment that the caller gives."""

    def __init__(self, address: str) -> None:
        self._sock = socket.create_connection(parse_address(address), _TIMEOUT)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._partial = b""
        self._stream = -1
        self._window = _WINDOW
        self._most = _LARGEST_WINDOW
        self._open: dict[int, float] = {}
        #: More than the server takes at a time.
        self._waiting: deque[tuple[Method, float]] = deque()
        #: The last message received.
        self.message = b""
        self._send(_OPENING)

    def fileno(self) -> int:
        return self._sock.fileno()

    def close(self) -> None:
        self._sock.close()

    def block(self, wait: bool) -> None:
        """Whether ``receive`` waits; it does at first."""
        self._sock.settimeout(_TIMEOUT if wait else 0.0)

    def call(self, method: Method, since: float) -> None:
        """Begin a call, now or when the server takes more. Raises CallFailed if it takes no more bytes."""
        if len(self._open) >= self._most:
            self._waiting.append((method, since))
            return
        self._stream += 2
        self._open[self._stream] = since
        self._window -= method.size
        if self._window < 0:
            raise CallFailed("the server does not open its window")
        self._send(method.on(self._stream))

    def under_way(self) -> Iterator[float]:
        """The moments of those calls that have not ended."""
        yield from self._open.values()
        yield from (since for _, since in self._waiting)

    def receive(self) -> list[float]:
        """Read what has come. Returns the moments of those calls that have ended with OK.

        Raises CallFailed for any other end, of a call or of the connection, and OSError.
        """
        data = self._sock.recv(_READ_BYTES)
        if not data:
            raise CallFailed("the server has closed a connection")
        data = self._partial + data
        position = 0
        ended: list[float] = []
        for frame in split(data):
            position += 9 + len(frame.payload)
            self._take(frame, ended)
        self._partial = data[position:]
        while self._waiting and len(self._open) < self._most:
            self.call(*self._waiting.popleft())
        return ended

    def _take(self, frame: Frame, ended: list[float]) -> None:
        if frame.type == Type.HEADERS:
            if not frame.flags & END_HEADERS:
                raise CallFailed("a header block in several frames, which this client does not read")
            if frame.flags & END_STREAM:
                if (status := _status(frame.payload)) != b"0":
                    raise CallFailed(f"a call ended with status {status!r}")
                ended.append(self._open.pop(frame.stream))
        elif frame.type == Type.DATA:
            self.message = frame.payload[5:]  # one message in one frame: they are small
        elif frame.type == Type.WINDOW_UPDATE:
            self._window += 0 if frame.stream else int.from_bytes(frame.payload, "big")
        elif frame.type in (Type.SETTINGS, Type.PING):
            if not frame.flags & ACK:
                self._answer(frame)
        elif frame.type in (Type.GOAWAY, Type.RST_STREAM):
            raise CallFailed(f"the server ended a connection or a call: {frame!r}")

    def _answer(self, frame: Frame) -> None:
        if frame.type == Type.PING:
            self._send(frame._replace(flags=ACK).to_bytes())
            return
        settings = frame.payload
        for at in range(0, len(settings), 6):
            if int.from_bytes(settings[at : at + 2], "big") == _MAX_CONCURRENT_STREAMS:
                self._most = int.from_bytes(settings[at + 2 : at + 6], "big")
        self._send(Frame(Type.SETTINGS, ACK, 0, b"").to_bytes())

    def _send(self, data: bytes) -> None:
        try:
            sent = self._sock.send(data)
        except BlockingIOError:
            sent = 0
        if sent < len(data):  # some MB wait in the kernel
            raise CallFailed("the server does not read")


@cache
def _status(block: bytes) -> bytes | None:
    """The gRPC status in a header block. It refers to no table, since the server may keep none."""
    decoder = Decoder()
    decoder.max_allowed_table_size = decoder.header_table_size = 0
    status: bytes | None = dict(decoder.decode(block, raw=True)).get(b"grpc-status")
    return status
