"""A client of raw frames on a real socket, for what no well-behaved client does."""

from __future__ import annotations

import socket
from contextlib import suppress
from types import TracebackType
from typing import TypeVar

from actorrpc.net.addresses import address_text, parse_bind
from tests.support import raw
from tests.support.waiting import PATIENCE

__all__ = ["RawClient"]

Self = TypeVar("Self", bound="RawClient")


class RawClient:
    """One connection, on which the test says what is sent, and when is read. It has two manners.

    Silent: it says nothing beside that. ``polite``: it answers what it reads as clients do, PING and SETTINGS
    by an ACK, and DATA by as much of the connection's window.
    """

    def __init__(
        self, address: str, begin: bytes = raw.OPEN, *, polite: bool = False, receive_buffer: int = 0
    ) -> None:
        name = parse_bind(address)
        self.sock = socket.socket(socket.AF_INET if isinstance(name, tuple) else socket.AF_UNIX)
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(name)
        #: As the server names this client.
        self.name = address_text(self.sock.getsockname())
        #: What has come and was not asked for yet.
        self.frames: list[raw.Frame] = []
        #: The server has closed, or reset, the TCP connection.
        self.ended = False
        self._polite = polite
        self._splitter = raw.Splitter()
        try:
            self.send(begin)
        except BaseException:
            self.close()
            raise

    def send(self: Self, data: bytes) -> Self:
        self.sock.sendall(data)
        return self

    def receive(self) -> None:
        """Read once. Raises TimeoutError if nothing comes."""
        try:
            data = self.sock.recv(1 << 18)
        except ConnectionError:
            data = b""
        self.ended = not data
        for frame in self._splitter.split(data):
            self._take(frame)

    def _take(self, frame: raw.Frame) -> None:
        self.frames.append(frame)
        if self._polite and (answer := _answer(frame)):
            with suppress(OSError):  # who reads on will see that it has gone
                self.sock.sendall(answer)

    def wait_for(self, type_: int, flags: int = 0) -> raw.Frame:
        """The first frame of a type with these flags that has not been asked for yet."""
        while True:
            for frame in self.frames:
                if frame[0] == type_ and frame[1] & flags == flags:
                    self.frames.remove(frame)
                    return frame
            assert not self.ended, f"the server closed; it had sent {self.frames}"
            self.receive()

    def wait_for_end(self) -> None:
        """Read until the server closes."""
        while not self.ended:
            self.receive()

    def close(self) -> None:
        self.sock.close()

    def __enter__(self: Self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}{', ended' * self.ended}, {len(self.frames)} frames>"


def _answer(frame: raw.Frame) -> bytes:
    type_, flags, _, payload = frame
    if type_ == raw.DATA and payload:
        return raw.window_update(0, len(payload))
    if type_ in (raw.PING, raw.SETTINGS) and not flags & raw.ACK:
        return raw.frame(type_, raw.ACK, 0, payload if type_ == raw.PING else b"")
    return b""
