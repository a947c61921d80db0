"""Accepting connections from a listening socket, while there is room for them."""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Callable
from time import monotonic
from typing import Any

from gevent import get_hub

from actorrpc.forks import serves
from actorrpc.hub.accepting.queue_age import QueueAge
from actorrpc.loop.epoll import unregister
from actorrpc.loop.timers import Timer
from actorrpc.net.addresses import address_text
from actorrpc.net.peers import Remote, peer_text
from actorrpc.net.queue_length import queue_length
from actorrpc.net.sockets import socket_of
from actorrpc.net.trusted import Trusted

__all__ = ["Listener"]

log = logging.getLogger("actorrpc.hub")

#: Connections accepted in one step of the loop.
_BATCH = 32

#: How long to accept nothing when accepting has failed, for want of descriptors, say.
_CROWDED_PAUSE = 0.1

#: A connection that has gone before it was accepted, and other faults of one connection (accept(2)).
_IGNORED = (errno.ECONNABORTED, errno.EPROTO, errno.EINTR, errno.EPERM, errno.ENETDOWN, errno.EHOSTUNREACH)


class Listener:
    """Gives each accepted socket, non-blocking and without delay, to ``accepted(sock, remote, waited)``.

    ``waited`` is for how many seconds at least the client has been in the queue: 0 unless the listener was
    resting and ``look`` was called from time to time. ``room()`` says whether one more may come. If not,
    ``full()`` is called, and nobody is accepted until ``resume``. ``failed(error)`` is called each time
    that this process has no room for one. ``trusted`` are the proxies that send PROXY headers; ``tls``:
    clients speak TLS.
    """

    def __init__(
        self,
        sock: socket.socket,
        accepted: Callable[[socket.socket, Remote, float], None],
        room: Callable[[], bool],
        full: Callable[[], None],
        failed: Callable[[OSError], None],
        trusted: Trusted | None = None,
        *,
        tls: bool = False,
    ) -> None:
        self._sock = socket_of(sock.detach())
        self._sock.setblocking(False)
        serves(self._sock)
        self._accepted = accepted
        self._room = room
        self._full = full
        self._failed = failed
        self._trusted = trusted
        self._tls = tls
        self._closed = False
        #: How long clients have been in the queue; None when it has been found empty.
        self._age: QueueAge | None = None
        self._watcher: Any = get_hub().loop.io(self._sock.fileno(), 1)
        #: The timer of a pause after a failure.
        self._pause = Timer()
        self._watcher.start(self._on_readable)

    @property
    def resting(self) -> bool:
        """Whether nobody is accepted for now."""
        return not self._watcher.active

    def fileno(self) -> int:
        return self._sock.fileno()

    def look(self) -> None:
        """See who waits in the queue, while it rests."""
        if self._age is None:
            self._age = QueueAge()
        self._age.look(monotonic(), queue_length(self._sock))

    def overdue(self, patience: float) -> int:
        """How many have waited for at least ``patience`` seconds, as far as ``look`` has seen."""
        return 0 if self._age is None else self._age.overdue(monotonic(), patience)

    def pick(self) -> tuple[socket.socket, Remote] | None:
        """Accept the oldest of the queue, whether there is room or not; None if there is nobody."""
        try:
            picked = self._take()[:2]
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno not in _IGNORED:
                self._failed(error)
            return None  # the next attempt may succeed
        return picked

    def resume(self) -> None:
        """There may be room again."""
        if not (self._watcher.active or self._pause.active):
            self._watcher.start(self._on_readable)

    def close(self) -> None:
        self._closed = True
        self._watcher.close()
        self._pause.stop()
        unregister(self._sock.fileno())
        self._sock.close()

    def _on_readable(self) -> None:
        try:
            self._accept_some()
        except Exception:  # gevent would stop the watcher for good
            log.exception("%r: a connection could not be accepted", self)
            if not self._closed:
                self._rest()

    def _accept_some(self) -> None:
        for _ in range(_BATCH):
            if not self._room():
                self._watcher.stop()
                self._full()
                return
            try:
                sock, remote, waited = self._take()
            except BlockingIOError:
                self._age = None
                return
            except OSError as error:
                if error.errno not in _IGNORED:
                    self._failed(error)
                    self._rest()
                return
            self._accepted(sock, remote, waited)
            if not self._watcher.active:  # closed meanwhile, or full
                return

    def _take(self) -> tuple[socket.socket, Remote, float]:
        """Accept one, and say how long it has waited. Raises what accept() raises."""
        # accept() would make a socket of the class that gevent has patched in.
        fd, address = self._sock._accept()  # type: ignore[attr-defined]
        sock = socket_of(fd)
        try:
            sock.setblocking(False)
            if sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            remote = self._remote(sock, address)
        except BaseException:
            sock.close()
            raise
        waited = 0.0
        if self._age is not None:
            waited = self._age.waited(monotonic())
            self._age.take()
        return sock, remote, waited

    def _remote(self, sock: socket.socket, address: Any) -> Remote:
        due = self._trusted is not None and (sock.family, address) in self._trusted
        return Remote(peer_text(sock, address), tls=self._tls, header_due=due)

    def _rest(self) -> None:
        """Accept nothing for a moment. Clients stay in the queue."""
        self._watcher.stop()
        self._pause.set(_CROWDED_PAUSE, self._go_on)

    def _go_on(self) -> None:
        self._pause.stop()
        self.resume()

    def __repr__(self) -> str:
        return f"<Listener {address_text(self._sock.getsockname())}{', full' * self.resting}>"
