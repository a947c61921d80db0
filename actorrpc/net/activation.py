"""The listening socket that a service manager has opened for this process: systemd's socket activation.

The protocol is that of sd_listen_fds(3): $LISTEN_FDS descriptors from 3 on are for the process $LISTEN_PID.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from actorrpc.errors import ConfigError
from actorrpc.forks import serves
from actorrpc.net.sockets import PlainSocket

__all__ = ["activated"]

log = logging.getLogger("actorrpc")

#: SD_LISTEN_FDS_START.
_FIRST = 3
#: What tells of the sockets; no other process is to see it, since they are not its own.
_VARIABLES = ("LISTEN_FDS", "LISTEN_PID", "LISTEN_PIDFDID", "LISTEN_FDNAMES")


@contextmanager
def activated() -> Iterator[socket.socket | None]:
    """The socket, which is closed at the end of the block; None if this process was given none.

    The environment forgets it. Raises ConfigError, which says what to write in the ``.socket`` unit, if it is
    not exactly one TCP socket that listens.
    """
    told = {name: os.environ.pop(name, "") for name in _VARIABLES}
    if not _given(told):
        yield None
        return
    with _socket() as sock:
        sock.set_inheritable(False)
        if complaint := _complaint(sock):
            raise ConfigError(f"the socket of the service manager (LISTEN_FDS) {complaint}")
        serves(sock)
        yield sock


def _given(told: Mapping[str, str]) -> bool:
    """Whether there is a socket for this process. Raises ConfigError if there are several."""
    count, pid, names = told["LISTEN_FDS"], told["LISTEN_PID"], told["LISTEN_FDNAMES"]
    if not count:
        return False
    if pid != str(os.getpid()):
        log.warning("LISTEN_FDS is ignored: it is for process %s, and this one is %d", pid, os.getpid())
        return False
    if not (count.isascii() and count.isdigit()):
        raise ConfigError(f"LISTEN_FDS is not a number: {count!r}")
    if int(count) > 1:
        named = f" ({names})" if names else ""
        raise ConfigError(
            f"the service manager has opened {count} sockets{named}, and one is needed, from which the "
            "acceptor accepts for all hubs: write one ListenStream="
        )
    return int(count) == 1


def _socket() -> socket.socket:
    try:
        return PlainSocket(fileno=_FIRST)
    except OSError as error:
        why = error.strerror
        raise ConfigError(f"LISTEN_FDS names descriptor {_FIRST}, which is no socket: {why}") from error


def _complaint(sock: socket.socket) -> str:
    if sock.family not in (socket.AF_INET, socket.AF_INET6):
        return "is not of TCP: write ListenStream=PORT or ADDRESS:PORT"
    if sock.type != socket.SOCK_STREAM:
        return "is not of TCP: write ListenStream=, not ListenDatagram="
    if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        return "does not listen: write Accept=no"
    return ""
