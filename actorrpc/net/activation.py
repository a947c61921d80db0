"""The listening sockets that a service manager has opened for this process: systemd's socket activation.

The protocol is that of sd_listen_fds(3): $LISTEN_FDS descriptors from 3 on are for the process $LISTEN_PID,
and $LISTEN_FDNAMES has their names, which is how a unit (``FileDescriptorName=``) says whose clients speak
TLS.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager

from actorrpc.errors import ConfigError
from actorrpc.forks import serves
from actorrpc.net.listening import Bound
from actorrpc.net.sockets import PlainSocket

__all__ = ["TLS", "activated"]

log = logging.getLogger("actorrpc")

#: The name of sockets whose clients speak TLS. Those of a unit that says nothing have the unit's name.
TLS = "tls"

#: SD_LISTEN_FDS_START.
_FIRST = 3
#: What tells of the sockets; no other process is to see it, since they are not its own.
_VARIABLES = ("LISTEN_FDS", "LISTEN_PID", "LISTEN_PIDFDID", "LISTEN_FDNAMES")


@contextmanager
def activated() -> Iterator[list[Bound]]:
    """The sockets, in the units' order, those of TLS last, which are closed at the end of the block; none if
    this process was given none.

    The environment forgets them. Raises ConfigError, which says what to write in the ``.socket`` unit, if one
    is not of TCP and not a unix socket, or does not listen.
    """
    told = {name: os.environ.pop(name, "") for name in _VARIABLES}
    with ExitStack() as opened:
        sockets = [opened.enter_context(_socket(fd)) for fd in range(_FIRST, _FIRST + _count(told))]
        names = told["LISTEN_FDNAMES"].split(":") if told["LISTEN_FDNAMES"] else []
        if names and len(names) != len(sockets) and sockets:
            raise ConfigError(f"LISTEN_FDNAMES has {len(names)} names, and LISTEN_FDS is {len(sockets)}")
        for sock in sockets:
            sock.set_inheritable(False)
            if complaint := _complaint(sock):
                which = f"socket {sock.fileno() - _FIRST + 1}" if len(sockets) > 1 else "the socket"
                raise ConfigError(f"{which} of the service manager (LISTEN_FDS) {complaint}")
            serves(sock)
        names = names or [""] * len(sockets)
        bounds = [Bound.given(sock, tls=name == TLS) for sock, name in zip(sockets, names, strict=False)]
        yield sorted(bounds, key=lambda bound: bound.tls)


def _count(told: Mapping[str, str]) -> int:
    """How many sockets there are for this process. Raises ConfigError if that is not a number."""
    count, pid = told["LISTEN_FDS"], told["LISTEN_PID"]
    if not count:
        return 0
    if pid != str(os.getpid()):
        log.warning("LISTEN_FDS is ignored: it is for process %s, and this one is %d", pid, os.getpid())
        return 0
    if not (count.isascii() and count.isdigit()):
        raise ConfigError(f"LISTEN_FDS is not a number: {count!r}")
    return int(count)


def _socket(fd: int) -> socket.socket:
    try:
        return PlainSocket(fileno=fd)
    except OSError as error:
        why = error.strerror
        raise ConfigError(f"LISTEN_FDS names descriptor {fd}, which is no socket: {why}") from error


def _complaint(sock: socket.socket) -> str:
    if sock.family not in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX):
        return "is neither of TCP nor a unix socket: write ListenStream=PORT, ADDRESS:PORT or PATH"
    if sock.type != socket.SOCK_STREAM:
        return "has no connections: write ListenStream=, not ListenDatagram="
    if not sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        return "does not listen: write Accept=no"
    return ""
