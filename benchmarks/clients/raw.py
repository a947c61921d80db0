"""Unary calls over HTTP/2 as it is, for clients that should take little of the cores that servers need.

A call of grpcio takes 0.3 ms of CPU, one of this about 0.05. That is why the frames of calls are written and
read here: hyperframe would take 37 µs for those of one call, and this takes 2.
"""

from __future__ import annotations

import socket
import struct
from collections import deque
from collections.abc import Iterator
from functools import cache

from hpack import Decoder, Encoder, NeverIndexedHeaderTuple
from hyperframe.frame import (
    DataFrame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)

from actorrpc.net.addresses import parse_address
from benchmarks.http2 import PREFACE, answer, split

__all__ = ["CallFailed", "Connection", "Method"]

#: Seconds in which a connection is made, and answered as long as it blocks.
_TIMEOUT = 10.0
_READ_BYTES = 65536

#: RFC 9113, 6.9.
_WINDOW, _LARGEST_WINDOW = 65_535, 2**31 - 1

#: Without a table equal header blocks mean equal fields. The window is larger than all that any run receives.
_SETTINGS = SettingsFrame(0, {SettingsFrame.HEADER_TABLE_SIZE: 0})
_OPEN_WIDE = WindowUpdateFrame(0, _LARGEST_WINDOW - _WINDOW)
_OPENING = PREFACE + _SETTINGS.serialize() + _OPEN_WIDE.serialize()

#: A frame's length and, in the lowest byte of the same number, its type; flags; stream (RFC 9113, 4.1).
_FRAME = struct.Struct(">LBL")
_DATA, _HEADERS = DataFrame.type, HeadersFrame.type
_END_STREAM, _END_HEADERS = 0x1, 0x4


class CallFailed(Exception):
    """A call, or its connection, has not ended well."""


class Method:
    """A request, but for its stream."""

    def __init__(self, path: str, message: bytes) -> None:
        fields = [
            (":method", "POST"), (":scheme", "http"), (":path", path), (":authority", "hub"),
            ("content-type", "application/grpc"), ("te", "trailers"),
        ]  # fmt: skip
        block = Encoder().encode([NeverIndexedHeaderTuple(*field) for field in fields])
        body = b"\0" + len(message).to_bytes(4, "big") + message
        headers = HeadersFrame(1, block, flags=["END_HEADERS"]).serialize()
        data = DataFrame(1, body, flags=["END_STREAM"]).serialize()
        #: What stands between the numbers of the stream.
        self._parts = (headers[:5], headers[9:] + data[:5], data[9:])
        #: What it takes of the connection's window.
        self.size = len(body)

    def on(self, stream: int) -> bytes:
        return stream.to_bytes(4, "big").join(self._parts)


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
        begin = 0
        ended: list[float] = []
        while len(data) - begin >= 9:
            length, flags, stream = _FRAME.unpack_from(data, begin)
            end = begin + 9 + (length >> 8)
            if end > len(data):
                break
            if length & 0xFF == _HEADERS:
                self._take_headers(flags, stream, data[begin + 9 : end], ended)
            elif length & 0xFF == _DATA:
                self.message = data[begin + 14 : end]  # one message in one frame: they are small
            else:
                self._take_control(data[begin:end])
            begin = end
        self._partial = data[begin:]
        while self._waiting and len(self._open) < self._most:
            self.call(*self._waiting.popleft())
        return ended

    def _take_headers(self, flags: int, stream: int, block: bytes, ended: list[float]) -> None:
        if not flags & _END_HEADERS:
            raise CallFailed("a header block in several frames, which this client does not read")
        if flags & _END_STREAM:
            if (status := _status(block)) != b"0":
                raise CallFailed(f"a call ended with status {status!r}")
            ended.append(self._open.pop(stream))

    def _take_control(self, data: bytes) -> None:
        for frame in split(data)[0]:
            if isinstance(frame, WindowUpdateFrame):
                self._window += 0 if frame.stream_id else frame.window_increment
            elif isinstance(frame, (SettingsFrame, PingFrame)) and "ACK" not in frame.flags:
                if isinstance(frame, SettingsFrame):
                    self._most = frame.settings.get(SettingsFrame.MAX_CONCURRENT_STREAMS, self._most)
                self._send(answer(frame).serialize())
            elif isinstance(frame, (GoAwayFrame, RstStreamFrame)):
                raise CallFailed(f"the server ended a connection or a call: {frame!r}")

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
