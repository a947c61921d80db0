"""Who is at the other end of a connection, as far as its socket tells, or a proxy."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from typing import Any

from actorrpc.net.addresses import address_text, without_mapping
from actorrpc.net.proxy_header import ProxyFacts

__all__ = ["Remote", "Unserved", "peer_text"]

#: struct ucred (unix(7)): process, user, group.
_CREDENTIALS = struct.Struct("=iII")


def peer_text(sock: socket.socket, address: Any) -> str:
    """What ``call.peer`` is for an accepted socket, whose client has this address.

    A client of IPv4 is shown as such, also where a socket of IPv6 has accepted it. A unix socket's client has
    no address, in general; it is ``unix:pid=4242,uid=1000``, as it was when it connected.
    """
    if sock.family == socket.AF_UNIX:
        if address:
            return address_text(address)
        return _credentials(sock)
    host, port = address[:2]
    return address_text((without_mapping(host), port))


def _credentials(sock: socket.socket) -> str:
    told = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid, uid, _ = _CREDENTIALS.unpack(told)
    return f"unix:pid={pid},uid={uid}"


@dataclass(frozen=True)
class Remote:
    """The client of a new connection: what is known of it before its first byte."""

    #: Its address, as handlers see it (``call.peer``).
    peer: str
    #: What a proxy has said of it; None: nothing.
    proxied: ProxyFacts | None = None
    #: It came to an address of which clients speak TLS.
    tls: bool = False
    #: It is a proxy's, whose PROXY header is still to come.
    header_due: bool = False
    #: What the hub calls it that has accepted it, and awaits something before it can be served; 0: it has no
    #: number yet.
    number: int = 0


@dataclass(frozen=True, slots=True)
class Unserved:
    """A new connection that a hub has accepted, and does not serve yet."""

    remote: Remote
    #: When it was accepted, on the monotonic clock.
    since: float
    #: What is awaited, in a word or two, and in a clause.
    awaits: str
    why: str
