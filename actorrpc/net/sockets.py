"""Sockets that are the standard library's own, also in a process that gevent has patched."""

from __future__ import annotations

import socket

from gevent.monkey import get_original

from actorrpc.loop.descriptors import close_now

__all__ = ["PlainSocket", "socket_of"]

#: The plain class: a gevent socket would bring two watchers of its own, and close later than ``close()``.
PlainSocket: type[socket.socket] = get_original("socket", "socket")


def socket_of(fd: int, family: int = -1, kind: int = -1, protocol: int = -1) -> socket.socket:
    """Make a descriptor a plain socket, which owns it and never blocks, whatever default timeout the app has
    set. If that fails, the descriptor is closed.

    The kernel is asked for what is -1.
    """
    try:
        sock = PlainSocket(family, kind, protocol, fd)
        sock.setblocking(False)
        return sock
    except BaseException:
        close_now(fd)
        raise
