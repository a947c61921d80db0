"""The listening sockets: one for each hub, all on one port, made and kept by the broker.

The kernel shares the connections out between them (SO_REUSEPORT). A socket's queue of connections is lost
when its last descriptor is closed, so the broker keeps one, for the next process of that hub.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from actorrpc.errors import ConfigError
from actorrpc.forks import serves
from actorrpc.net.addresses import parse_address

__all__ = ["BACKLOG", "open_again", "open_another", "open_queues"]

BACKLOG = 4096


@contextmanager
def open_queues(bind: str, count: int) -> Iterator[list[socket.socket]]:
    """Listen ``count`` times on one address, until the block ends. Port 0: one free port for all.

    Raises ConfigError if the address cannot be used, or is in use by anybody.
    """
    family, address = _resolve(bind)
    with ExitStack() as opened:
        try:
            first = opened.enter_context(_bound(family, address, shared=False))
            address = first.getsockname()
            rest = [opened.enter_context(_bound(family, address, shared=True)) for _ in range(count - 1)]
            for sock in (first, *rest):
                sock.listen(BACKLOG)
                serves(sock)
        except OSError as error:
            raise ConfigError(f"cannot listen on {bind}: {error.strerror}") from error
        yield [first, *rest]


def open_another(first: socket.socket) -> socket.socket:
    """Listen once more on the address of a socket of ``open_queues``. The caller closes it.

    Raises ConfigError if that cannot be.
    """
    try:
        sock = _bound(first.family, first.getsockname(), shared=True)
    except OSError as error:
        raise ConfigError(f"cannot listen on the same address again: {error.strerror}") from error
    sock.listen(BACKLOG)
    serves(sock)
    return sock


def open_again(bind: str) -> socket.socket:
    """Listen on an address where hubs have listened, none of which has its socket any more. The caller closes
    it.

    Raises ConfigError if the address cannot be used, or is in use by anybody.
    """
    family, address = _resolve(bind)
    try:
        sock = _bound(family, address, shared=False)
        sock.listen(BACKLOG)
    except OSError as error:
        raise ConfigError(f"cannot listen on {bind} again: {error.strerror}") from error
    serves(sock)
    return sock


def _resolve(bind: str) -> tuple[socket.AddressFamily, tuple[str, int] | tuple[str, int, int, int]]:
    try:
        host, port = parse_address(bind)
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, ValueError) as error:  # a UnicodeError is a ValueError
        raise ConfigError(f"cannot bind to {bind!r}: {getattr(error, 'strerror', error)}") from error
    family, _, _, _, address = found[0]
    return family, address  # type: ignore[return-value]


def _bound(family: int, address: tuple[object, ...], *, shared: bool) -> socket.socket:
    """Bind a socket for a hub; unless ``shared``, only if nobody else is on the port.

    A port may be shared by whoever set SO_REUSEPORT before binding, any program of the same user. So the
    first socket binds without it and sets it only then, which lets in those that are bound next.
    """
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Connections of an earlier server in TIME_WAIT shall not keep the port.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(address)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    except OSError:
        sock.close()
        raise
    return sock
