"""How a socket's address is written and read. Imports no gevent.

``127.0.0.1:50051``, ``[::1]:50051``, and gRPC's names of unix sockets: ``unix:PATH``, ``unix:///PATH`` and
``unix-abstract:NAME``. As gRPC's clients do, they take ``%41`` for ``A``.
"""

from __future__ import annotations

import os
from urllib.parse import quote, unquote_to_bytes

__all__ = ["LONGEST_PATH", "SocketAddress", "address_text", "parse_address", "parse_bind", "without_mapping"]

#: As the ``socket`` module has it: host and port, or a unix socket's path; in the abstract namespace
#: ``bytes`` that begin with a NUL.
SocketAddress = tuple[str, int] | str | bytes

#: What ``sun_path`` has room for (unix(7)): of a path's bytes, and of a name's.
LONGEST_PATH = 107

_PATH, _ABSTRACT = "unix:", "unix-abstract:"

#: What need not be escaped in the path of a URI (RFC 3986, 3.3).
_PLAIN = "/:@!$&'()*+,;="

_MAPPED = "::ffff:"


def address_text(address: object) -> str:
    """A socket's address as ``parse_bind`` reads it; ``unix:`` is one without a name."""
    if isinstance(address, tuple):
        host, port = address[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    name = address if isinstance(address, bytes) else os.fsencode(str(address))
    if name[:1] == b"\0":
        return _ABSTRACT + quote(name[1:], _PLAIN)
    return _PATH + quote(name, _PLAIN)


def parse_bind(text: str) -> SocketAddress:
    """Read ``HOST:PORT``, ``[IPv6]:PORT``, ``unix:PATH`` or ``unix-abstract:NAME``; a path becomes absolute.

    Raises ValueError, which says what to write.
    """
    if text.startswith(_PATH):
        return _path(text[len(_PATH) :])
    if text.startswith(_ABSTRACT):
        name = unquote_to_bytes(text[len(_ABSTRACT) :])
        if not name:
            raise ValueError("write unix-abstract:NAME")
        _check_length(name, "a name in the abstract namespace")
        return b"\0" + name
    return parse_address(text)


def _path(text: str) -> str:
    if text.startswith("//"):
        text = text[2:]
        if not text.startswith("/"):
            raise ValueError("write unix:PATH, or unix:///PATH for an absolute one")
    path = unquote_to_bytes(text)
    if not path or b"\0" in path:
        raise ValueError("write unix:PATH")
    path = os.path.abspath(path)
    _check_length(path, "the path of a unix socket")
    return os.fsdecode(path)


def _check_length(name: bytes, what: str) -> None:
    if len(name) > LONGEST_PATH:
        raise ValueError(f"{what} may have {LONGEST_PATH} bytes, and this has {len(name)}")


def parse_address(text: str) -> tuple[str, int]:
    """Split ``host:port`` or ``[IPv6]:port``. Raises ValueError, which says what to write."""
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"write an IPv6 address as [{host}]:{port}")
    if not (host and colon):
        raise ValueError("write HOST:PORT, such as 127.0.0.1:50051 or [::1]:50051, or unix:PATH")
    if not (port.isascii() and port.isdigit() and int(port) <= 65_535):
        raise ValueError("the port must be a number from 0 to 65535")
    return host, int(port)


def without_mapping(host: str) -> str:
    """An IPv4 address that a socket of IPv6 shows as ``::ffff:192.0.2.1`` (RFC 4291, 2.5.5.2), as itself."""
    return host[len(_MAPPED) :] if host.startswith(_MAPPED) and "." in host else host
