"""The bytes of one connection: a plain socket in gevent's loop. The only recv and send on it are here.

A connection does not know what its bytes go through: with TLS there is another transport around this one
(``actorrpc.hub.securing``).
"""

from __future__ import annotations

import socket
import sys
from contextlib import suppress
from fcntl import ioctl
from termios import TIOCOUTQ
from typing import Any, Protocol

from gevent import get_hub
from gevent.monkey import get_original

from actorrpc.loop.epoll import unregister
from actorrpc.net.sockets import PlainSocket

__all__ = ["Owner", "Transport"]

#: One read. The loop's connections share a buffer, since a read and its decoding are one step of the loop;
#: others wait for the end of that step, so that it may not be long: 64 KiB of small frames take 2 to 7 ms.
READ_BYTES = 64 * 1024
# The thread's own, also in a patched process, where the module's would be each greenlet's.
_PerThread: type = get_original("_thread", "_local")


class _Shared(_PerThread):  # type: ignore[misc]
    """What the connections of a loop, which is a thread's, share. recv_into(2) lets other threads run."""

    def __init__(self) -> None:
        self.buffer = memoryview(bytearray(READ_BYTES))


_shared = _Shared()

_READ, _WRITE = 1, 2

#: Stands for the socket of a transport that has none yet, and behaves as one that has been closed.
_NO_SOCKET = PlainSocket()
_NO_SOCKET.close()


class Owner(Protocol):
    """Whose bytes these are. What is called here is called in the loop."""

    def on_bytes(self, data: bytes) -> None:
        """Something has come."""

    def on_end(self, why: str) -> None:
        """The client has closed, or the socket failed."""

    def on_writable(self) -> None:
        """The client has taken all that waited."""


class Transport:
    """A connected, non-blocking socket; one that is still on its way is given to ``attach``."""

    __slots__ = (
        "_backlog",
        "_buffer",
        "_owner",
        "_reader",
        "_reading",
        "_sock",
        "_writer",
        "ready",
    )

    def __init__(self, sock: socket.socket | None, owner: Owner) -> None:
        self._sock = _NO_SOCKET
        self._buffer: memoryview = _shared.buffer
        self._owner = owner
        self._reader: Any = None
        self._reading = False
        self._writer: Any = None
        #: What the socket has not taken.
        self._backlog: memoryview | None = None
        #: ``send`` may be called: nothing waits.
        self.ready = True
        if sock is not None:
            self.attach(sock)

    def attach(self, sock: socket.socket) -> None:
        """Take the socket, which is the transport's from now on."""
        self._sock = sock
        self._reader = get_hub().loop.io(sock.fileno(), _READ)

    def fileno(self) -> int:
        return self._sock.fileno()

    @property
    def unsent(self) -> int:
        """Bytes that the socket has not taken."""
        return 0 if self._backlog is None else len(self._backlog)

    @property
    def untaken(self) -> int:
        """Bytes that the client's host has not acknowledged, those that the socket has not taken included."""
        queued = bytearray(4)
        with suppress(OSError, ValueError):  # it has been closed
            ioctl(self._sock.fileno(), TIOCOUTQ, queued)
        # A FIN counts as one.
        return self.unsent + max(int.from_bytes(queued, sys.byteorder) - 1, 0)

    def start(self) -> None:
        """Read, and write what waits; nothing if it has been closed."""
        if self._sock.fileno() < 0:
            return
        self._reading = True
        if self._backlog is not None:
            self._wait_writable()
        self._reader.start(self._readable)

    def read(self) -> None:
        """Read now what may have come while nobody read."""
        if self._reading and self._sock.fileno() >= 0:
            self._readable()

    def freeze(self) -> bytes:
        """Read and write nothing until the next ``start``. Returns what waits to be written."""
        self._reading = False
        self._reader.stop()
        if self._writer is not None:
            self._writer.stop()
        return b"" if self._backlog is None else bytes(self._backlog)

    def send(self, data: bytes) -> bool:
        """Write; whether the socket has taken all. If not, the rest waits and ``on_writable`` follows."""
        try:
            sent = self._sock.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError as error:
            self._owner.on_end(str(error))
            return False
        if sent == len(data):
            return True
        self._wait_to_write(memoryview(data)[sent:])
        self._wait_writable()
        return False

    def _wait_to_write(self, backlog: bytes | memoryview) -> None:
        """The socket is to take this first."""
        self._backlog = memoryview(backlog)
        self.ready = False

    def stop_reading(self) -> None:
        """Read nothing until all that waits has been written."""
        self._reader.stop()

    def half_close(self) -> None:
        """Tell the client that nothing more comes."""
        try:
            self._sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            self._owner.on_end(str(error))

    def close(self) -> None:
        """End the connection, also where a dup of the socket is under way to another process."""
        try:
            self._sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the client was faster
        self._release()

    def let_go(self) -> None:
        """Close this process's descriptor only, whatever else fails: another one has the connection."""
        try:
            if self._sock is not _NO_SOCKET:
                unregister(self._sock.fileno())
        finally:
            self._release()

    def detach(self) -> tuple[socket.socket, bytes]:
        """Let go of the socket, which stays open, and of what waits to be written."""
        sock, self._sock = self._sock, _NO_SOCKET
        backlog = b"" if self._backlog is None else bytes(self._backlog)
        unregister(sock.fileno())
        self._release()
        return sock, backlog

    def _release(self) -> None:
        self._owner = _NOBODY
        self._backlog = None
        try:
            for watcher in (self._reader, self._writer):
                if watcher is not None:
                    watcher.close()
        finally:
            self._sock.close()

    def _readable(self) -> None:
        try:
            received = self._sock.recv_into(self._buffer)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._owner.on_end(str(error))
            return
        if received:
            self._owner.on_bytes(bytes(self._buffer[:received]))
        else:
            self._owner.on_end("the client has closed it")

    def _wait_writable(self) -> None:
        if self._writer is None:
            self._writer = get_hub().loop.io(self._sock.fileno(), _WRITE)
        self._writer.start(self._writable)

    def _writable(self) -> None:
        assert self._backlog is not None
        try:
            sent = self._sock.send(self._backlog)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._owner.on_end(str(error))
            return
        if sent < len(self._backlog):
            self._backlog = self._backlog[sent:]
            return
        self._backlog = None
        self.ready = True
        self._writer.stop()
        if self._reading:
            self._reader.start(self._readable)
        self._owner.on_writable()

    def __repr__(self) -> str:
        return f"<Transport fd {self._sock.fileno()}, {self.unsent} bytes wait>"


class _Nobody:
    """Stands for the owner of a transport that has been released."""

    def on_bytes(self, data: bytes) -> None: ...
    def on_end(self, why: str) -> None: ...
    def on_writable(self) -> None: ...


_NOBODY = _Nobody()
