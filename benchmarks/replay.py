"""Connections that repeat what a grpcio client sent: thousands of them for the price of their sockets.

A real client is recorded against the very server that is measured. What it sent from the preface to the
end of its first request is sent again on each connection, metadata and all; what HTTP/2 wants answered
(SETTINGS and PING) is answered as it comes.
"""

from __future__ import annotations

import socket

from hpack import Decoder

from benchmarks.conversation import Conversation, overheard
from benchmarks.http2 import ACK, END_HEADERS, END_STREAM, PREFACE, Frame, Type, split
from benchmarks.processes import BenchmarkError, python, run

__all__ = ["IdleConnection", "record_opening"]

#: Seconds without a byte after which a connection counts as lost.
_TIMEOUT = 10.0
_READ_BYTES = 65536

#: Which other frames with END_STREAM's bit mean something else by it (ACK).
_CARRIES_END = (Type.DATA, Type.HEADERS)


def record_opening(server: str) -> bytes:
    """What a grpcio client sends to a server until its first call, to Counter.Add, is on its way."""
    with overheard(server) as conversation:
        command = python("benchmarks.clients.grpcio_calls", conversation.address, "--service=Counter")
        run(command, timeout=30)
    return _opening(conversation)


def _opening(conversation: Conversation) -> bytes:
    opening = PREFACE
    for frame in conversation.frames():
        if frame.type in (Type.SETTINGS, Type.PING) and frame.flags & ACK:
            continue  # said live
        opening += frame.to_bytes()
        if frame.type in _CARRIES_END and frame.flags & END_STREAM:
            return opening
    raise BenchmarkError("the recorded client sent no whole request")


class IdleConnection:
    """A connection that has made one call and keeps quiet. Raises BenchmarkError if the call fails."""

    def __init__(self, server: str, opening: bytes) -> None:
        host, _, port = server.rpartition(":")
        self._sock = socket.create_connection((host, int(port)), _TIMEOUT)
        self._partial = b""
        self._decoder = Decoder()
        self._opening = opening
        self._stream = 1
        self._ended = False
        #: The DATA of the last reply.
        self.reply = b""
        try:
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
            self._receive()
        except BlockingIOError:
            pass
        except OSError as error:
            raise BenchmarkError(f"an idle connection was lost: {error!r}") from error

    def call(self) -> None:
        """Make the first call once more, as the next one. Raises BenchmarkError if it fails."""
        self._stream += 2
        self._ended, self.reply = False, b""
        self._sock.setblocking(True)
        self._sock.settimeout(_TIMEOUT)
        request = (frame for frame in split(self._opening[len(PREFACE) :]) if frame.type in _CARRIES_END)
        try:
            self._sock.sendall(b"".join(frame._replace(stream=self._stream).to_bytes() for frame in request))
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
        data = self._partial + data
        position = 0
        for frame in split(data):
            position += 9 + len(frame.payload)
            self._take(frame)
        self._partial = data[position:]

    def _take(self, frame: Frame) -> None:
        if frame.type in (Type.SETTINGS, Type.PING) and not frame.flags & ACK:
            payload = frame.payload if frame.type == Type.PING else b""
            self._sock.sendall(Frame(frame.type, ACK, 0, payload).to_bytes())
        elif frame.type in (Type.GOAWAY, Type.RST_STREAM):
            raise BenchmarkError(f"the server ended a connection or its call: {frame!r}")
        elif frame.type == Type.DATA:
            self.reply += frame.payload
        elif frame.type == Type.HEADERS:
            if not frame.flags & END_HEADERS:
                raise BenchmarkError("a header block in several frames, which this client does not read")
            fields = dict(self._decoder.decode(frame.payload, raw=True))
            if frame.flags & END_STREAM:
                if fields.get(b"grpc-status") != b"0":
                    raise BenchmarkError(f"the call failed: {fields}")
                self._ended = True
