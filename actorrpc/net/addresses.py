"""How a socket's address is written and read: ``127.0.0.1:50051``, ``[::1]:50051``. Imports no gevent."""

from __future__ import annotations

__all__ = ["address_text", "parse_address"]


def address_text(address: object) -> str:
    """A socket's address as ``parse_address`` reads it; that of a unix socket is its path."""
    if isinstance(address, tuple):
        host, port = address[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return str(address)


def parse_address(text: str) -> tuple[str, int]:
    """Split ``host:port`` or ``[IPv6]:port``. Raises ValueError, which says what to write."""
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"write an IPv6 address as [{host}]:{port}")
    if not (host and colon):
        raise ValueError("write HOST:PORT, such as 127.0.0.1:50051 or [::1]:50051")
    if not (port.isascii() and port.isdigit() and int(port) <= 65_535):
        raise ValueError("the port must be a number from 0 to 65535")
    return host, int(port)
