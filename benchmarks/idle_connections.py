"""Connections that repeat what a grpcio client sent: thousands of them for the price of their sockets.

A real client is heard as it talks to the very server that is measured. What it sent from the preface to the
end of its first request is sent again on each connection, metadata and all; what HTTP/2 wants answered
(SETTINGS and PING) is answered as it comes.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache

from hpack import Decoder
from hyperframe.frame import (
    DataFrame,
    Frame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
)

from actorrpc.net.addresses import parse_address
from benchmarks.conversation import Conversation, conversation
from benchmarks.http2 import PREFACE, answer, split
from benchmarks.processes import BenchmarkError, python, run

__all__ = ["IdleConnection", "crowd", "grpcio_opening"]

#: Seconds without a byte after which a connection counts as lost.
_TIMEOUT = 10.0
_READ_BYTES = 65536


def grpcio_opening(server: str) -> bytes:
    """What a grpcio client sends to a server until its first call, to Counter.Add, is on its way."""
    with conversation(server) as heard:
        command = python("benchmarks.clients.grpcio_calls", heard.address, "--service=Counter")
        run(command, timeout=30)
    return _opening(heard)


def _opening(heard: Conversation) -> bytes:
    opening = PREFACE
    for frame in heard.frames():
        if "ACK" in frame.flags:
            continue  # said live
        opening += frame.serialize()
        if "END_STREAM" in frame.flags:
            return opening
    raise BenchmarkError("the client sent no whole request")


class IdleConnection:
    """A connection that has made one call and keeps quiet. Raises BenchmarkError if the call fails.

    With ``tls`` it speaks TLS, and takes any certificate.
    """

    def __init__(self, server: str, opening: bytes, *, tls: bool = False) -> None:
        self._sock = socket.create_connection(parse_address(server), _TIMEOUT)
        self._partial = b""
        self._decoder = Decoder()
        self._opening = opening
        self._stream = 1
        self._ended = False
        #: The DATA of the last reply.
        self.reply = b""
        try:
            if tls:
                self._sock = _context().wrap_socket(self._sock)
            self._sock.sendall(opening)
            while not self._ended:
                self._receive()
        except OSError as error:
            self.close()
            raise BenchmarkError(f"a connection was lost before its reply: {error!r}") from error
        except BaseException:
            self.close()
            raise

    def answer(self) -> None:
        """Answer what has come since the reply, without waiting for more.

        Raises BenchmarkError if the server has closed the connection.
        """
        self._sock.setblocking(False)
        try:
            while True:
                self._receive()
        except (BlockingIOError, ssl.SSLWantReadError):
            pass
        except OSError as error:
            raise BenchmarkError(f"an idle connection was lost: {error!r}") from error

    def call(self) -> None:
        """Make the first call once more, as the next one. Raises BenchmarkError if it fails."""
        self._stream += 2
        self._ended, self.reply = False, b""
        self._sock.setblocking(True)
        self._sock.settimeout(_TIMEOUT)
        frames, _ = split(self._opening[len(PREFACE) :])
        request = [frame for frame in frames if isinstance(frame, (HeadersFrame, DataFrame))]
        for frame in request:
            frame.stream_id = self._stream
        try:
            self._sock.sendall(b"".join(frame.serialize() for frame in request))
            while not self._ended:
                self._receive()
        except OSError as error:
            raise BenchmarkError(f"an idle connection was lost: {error!r}") from error

    def close(self) -> None:
        self._sock.close()

    def _receive(self) -> None:
        data = self._sock.recv(_READ_BYTES)
        if not data:
            raise BenchmarkError("the server has closed a connection that should stay")
        frames, self._partial = split(self._partial + data)
        for frame in frames:
            self._take(frame)

    def _take(self, frame: Frame) -> None:
        if isinstance(frame, (SettingsFrame, PingFrame)) and "ACK" not in frame.flags:
            self._sock.sendall(answer(frame).serialize())
        elif isinstance(frame, (GoAwayFrame, RstStreamFrame)):
            raise BenchmarkError(f"the server ended a connection or its call: {frame!r}")
        elif isinstance(frame, DataFrame):
            self.reply += frame.data
        elif isinstance(frame, HeadersFrame):
            if "END_HEADERS" not in frame.flags:
                raise BenchmarkError("a header block in several frames, which this client does not read")
            fields = dict(self._decoder.decode(frame.data, raw=True))
            if "END_STREAM" in frame.flags:
                if fields.get(b"grpc-status") != b"0":
                    raise BenchmarkError(f"the call failed: {fields}")
                self._ended = True


@cache
def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    return context


@contextmanager
def crowd(server: str, count: int, tls_address: str = "") -> Iterator[list[IdleConnection]]:
    """Connections that have made one call, as grpcio does, and are idle: over TLS, if an address for that
    is given."""
    opening = grpcio_opening(server)
    with ExitStack() as opened:
        connections = []
        for _ in range(count):
            connections.append(IdleConnection(tls_address or server, opening, tls=bool(tls_address)))
            opened.callback(connections[-1].close)
        for connection in connections:
            connection.answer()
        yield connections
