"""Telling a client that there is no room for it, in a way that all clients understand.

Each call that it makes is answered with UNAVAILABLE and the reason, then GOAWAY follows. A GOAWAY alone, with
any error code, is not enough: to grpcio it is the end of a connection that was good, and it connects again at
once. It made 100 to 650 connections in four seconds, and its call ended with DEADLINE_EXCEEDED. A GOAWAY
without SETTINGS before it is reported as broken HTTP/2.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from time import monotonic

from actorrpc.config import Config
from actorrpc.errors import StatusCode
from actorrpc.loop.timers import Timer
from actorrpc.net.peers import Remote
from actorrpc.net.proxy_header import ProxyHeader, ProxyHeaderError
from actorrpc.net.pump import Pump
from actorrpc.net.transport import Transport
from actorrpc.wire.events import Faulted, RequestReceived
from actorrpc.wire.server import ServerSession

__all__ = ["Refusal"]

log = logging.getLogger("actorrpc.hub")

#: How long a client may take to make its first call. Most have one ready when they connect.
FIRST_CALL = 1.0
#: Seconds between the first answer and GOAWAY: calls that come meanwhile are answered too. And grpclib, when
#: it reads both at once, reports the lost connection and not the answer.
ANSWERING = 0.1


class Refusal:
    """A connection that is not served. ``over(self)`` is called once, when the socket has been closed."""

    def __init__(
        self, sock: socket.socket, remote: Remote, why: str, config: Config, over: Callable[[Refusal], None]
    ) -> None:
        self._why = why
        self._over = over
        self._peer = remote.peer
        #: What a proxy says first, until all of it has come.
        self._header = ProxyHeader() if remote.header_due else None
        self._session = ServerSession(config)
        self._pump = Pump(Transport(sock, self), self._session)
        self._spoken = False
        self._answered = False
        self._closing = False
        self._closed = False
        self._timer = Timer()

    def start(self) -> None:
        """Begin to answer. ``over`` may be called before this returns."""
        log.debug("the connection from %s is refused: %s", self._peer, self._why)
        self._timer.set(FIRST_CALL, self._send_goaway)
        self._pump.transport.start()

    @property
    def silent(self) -> bool:
        """Whether the client has said nothing so far, and may still do so."""
        return not (self._spoken or self._closing or self._closed)

    def hurry(self) -> None:
        """Since others wait, send a silent client away. ``over`` may be called before this returns."""
        self._pump.transport.read()  # what has come since the loop looked
        if self.silent:
            self._send_goaway()

    def close(self) -> None:
        """End it now."""
        if not self._closed:
            self._closed = True
            self._timer.stop()
            self._pump.close()
            self._over(self)

    def on_bytes(self, data: bytes) -> None:
        self._spoken = True
        if self._closing:
            return
        if self._header is not None:
            data = self._after_header(self._header, data)
        session = self._session
        for event in session.receive_data(data, monotonic()):
            if isinstance(event, RequestReceived):
                session.refuse(event.stream, StatusCode.UNAVAILABLE, self._why)
                self._send_goaway_soon()
            elif isinstance(event, Faulted):
                self._part()
        self._flush()

    def _after_header(self, header: ProxyHeader, data: bytes) -> bytes:
        """What the client itself has said."""
        try:
            data = data[header.feed(data) :]
        except ProxyHeaderError:  # then it is refused for what it says
            self._header = None
        if header.done:
            self._header = None
        return data

    def on_writable(self) -> None:
        self._flush()

    def on_end(self, why: str) -> None:
        self.close()

    def _flush(self) -> None:
        self._pump.flush()
        if self._closing and not self._spoken and self._session.outbound.idle:
            self.close()

    def _send_goaway_soon(self) -> None:
        if not self._answered:
            self._answered = True
            self._timer.set(ANSWERING, self._send_goaway)

    def _send_goaway(self) -> None:
        """Its calls have been answered, or it makes none: send GOAWAY and part."""
        self._session.shutdown(self._why.encode())
        self._session.end_shutdown()
        self._part()
        self._flush()

    def _part(self) -> None:
        self._closing = True
        self._timer.stop()
        self._pump.part(self.close)
