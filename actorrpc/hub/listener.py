"""Accepting connections from a listening socket, until the hub has as many as it may."""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Callable
from typing import Any

from gevent import get_hub
from gevent.monkey import get_original

__all__ = ["Listener", "PlainSocket", "address_text"]

log = logging.getLogger("actorrpc.hub")

#: The plain class also in a patched process: a gevent socket would bring two watchers of its own.
PlainSocket: type[socket.socket] = get_original("socket", "socket")

#: Connections accepted in one step of the loop.
_BATCH = 32

#: Out of file descriptors: how long to leave the queue alone.
_CROWDED_PAUSE = 0.1

#: A connection that has gone before it was accepted, and other troubles of one connection (accept(2)).
_IGNORED = (errno.ECONNABORTED, errno.EPROTO, errno.EINTR, errno.EPERM, errno.ENETDOWN, errno.EHOSTUNREACH)


class Listener:
    """Gives each accepted socket, non-blocking and without delay, to ``accepted(sock, peer)``."""

    def __init__(
        self, sock: socket.socket, accepted: Callable[[socket.socket, str], None], room: Callable[[], bool]
    ) -> None:
        self._sock = PlainSocket(fileno=sock.detach())
        self._sock.setblocking(False)
        self._accepted = accepted
        self._room = room
        self._crowded = False
        loop = get_hub().loop
        self._watcher: Any = loop.io(self._sock.fileno(), 1)
        self._pause: Any = loop.timer(_CROWDED_PAUSE)
        self._watcher.start(self._on_readable)

    @property
    def address(self) -> str:
        """Where it listens, such as ``127.0.0.1:50051``."""
        return address_text(self._sock.getsockname())

    def resume(self) -> None:
        """There may be room again."""
        if not self._watcher.active and not self._pause.active:
            self._watcher.start(self._on_readable)

    def close(self) -> None:
        self._watcher.close()
        self._pause.close()
        self._sock.close()

    def _on_readable(self) -> None:
        for _ in range(_BATCH):
            if not self._room():
                self._watcher.stop()
                return
            try:
                # accept() would make a socket of whatever class the patched module has.
                fd, address = self._sock._accept()  # type: ignore[attr-defined]
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno not in _IGNORED:
                    self._rest(error)
                return
            self._crowded = False
            sock = PlainSocket(fileno=fd)
            sock.setblocking(False)
            if sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._accepted(sock, address_text(address))

    def _rest(self, error: OSError) -> None:
        """Accept nothing for a moment: the queue keeps those who wait."""
        if not self._crowded:
            log.error("cannot accept connections: %s", error)
        self._crowded = True
        self._watcher.stop()
        self._pause.start(self.resume)

    def __repr__(self) -> str:
        return f"<Listener {self.address}{'' if self._watcher.active else ', full'}>"


def address_text(address: object) -> str:
    """A socket address for people: ``127.0.0.1:4242``, ``[::1]:4242``."""
    if isinstance(address, tuple):
        host, port = address[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return str(address)
