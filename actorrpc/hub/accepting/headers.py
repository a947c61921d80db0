"""PROXY headers that are awaited: of connections that have been accepted, and that no hub serves before it is
known whose they are.

A header is taken to its last byte and no further, so that what is given to another hub afterwards is a socket
from which the client's own first byte is still to be read.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any

from gevent import get_hub

from actorrpc.loop.epoll import unregister
from actorrpc.loop.timers import after
from actorrpc.net.peers import Remote, Unserved
from actorrpc.net.proxy_header import LONGEST, ProxyHeader, ProxyHeaderError

__all__ = ["MOST", "Headers"]

log = logging.getLogger("actorrpc.hub")

#: How many are awaited at once, before no more connections are accepted.
MOST = 512


class Headers:
    """All of one hub. ``timeout`` is for how many seconds one is awaited; 0: for ever. ``changed()`` is
    called when there is one less."""

    def __init__(self, timeout: float, changed: Callable[[], None]) -> None:
        self._timeout = timeout
        self._changed = changed
        self._awaited: set[_Awaited] = set()

    def __len__(self) -> int:
        return len(self._awaited)

    def unserved(self) -> Iterator[Unserved]:
        """Those connections, in no order."""
        for awaited in self._awaited:
            yield Unserved(awaited.remote, awaited.since, "proxy header", "its PROXY header has not come")

    def read(self, sock: socket.socket, remote: Remote, then: Callable[[ProxyHeader], None]) -> None:
        """Read the header of a connection from a proxy, ``remote``; ``then`` gets it, perhaps at once.

        If it is wrong, or does not come in time, the socket is closed.
        """
        awaited = _Awaited(sock, remote, then, self._awaited.discard, self._changed)
        self._awaited.add(awaited)
        awaited.start(self._timeout)

    def close(self) -> None:
        """Await none any more."""
        for awaited in list(self._awaited):
            awaited.close()

    def __repr__(self) -> str:
        return f"<Headers {len(self)} awaited>"


class _Awaited:
    """One connection."""

    def __init__(
        self,
        sock: socket.socket,
        remote: Remote,
        then: Callable[[ProxyHeader], None],
        over: Callable[[_Awaited], None],
        changed: Callable[[], None],
    ) -> None:
        self._sock = sock
        self.remote = remote
        self.since = monotonic()
        self._then = then
        self._over = over
        self._changed = changed
        self._header = ProxyHeader()
        self._watcher: Any = None
        self._timer: Any = None

    def start(self, timeout: float) -> None:
        """It has most often come already."""
        self._read()
        if self._sock.fileno() < 0 or self._header.done:
            return
        self._watcher = get_hub().loop.io(self._sock.fileno(), 1)
        self._watcher.start(self._on_readable)
        if timeout:
            self._timer = after(timeout, self._fail, f"no PROXY header within {timeout:g} s")

    def _on_readable(self) -> None:
        try:
            self._read()
        except Exception:  # gevent would stop the watcher, and the client wait for ever
            log.exception("the connection from %s is closed", self.remote.peer)
            self.close()
            self._changed()

    def _read(self) -> None:
        try:
            # What is not the header's stays in the socket.
            data = self._sock.recv(LONGEST, socket.MSG_PEEK)
            if not data:
                self._fail("it was closed before its PROXY header had come")
                return
            self._sock.recv(self._header.feed(data))
        except (BlockingIOError, InterruptedError):
            return
        except ProxyHeaderError as error:
            self._fail(f"no PROXY header, which --proxy-protocol asks for: {error}")
            return
        except OSError as error:
            self._fail(str(error))
            return
        if self._header.done:
            self._end()
            self._then(self._header)
            self._changed()

    def _fail(self, why: str) -> None:
        log.info("the connection from %s is closed: %s", self.remote.peer, why)
        self.close()
        self._changed()

    def close(self) -> None:
        """End the connection."""
        self._end()
        self._sock.close()

    def _end(self) -> None:
        self._over(self)
        if self._timer is not None:
            self._timer.close()
        if self._watcher is not None:
            self._watcher.close()
            unregister(self._sock.fileno())
