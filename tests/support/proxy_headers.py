"""PROXY headers, as proxies write them."""

from __future__ import annotations

import struct

__all__ = ["LINE", "SIGNATURE", "binary", "tls", "value"]

LINE = b"PROXY %b\r\n"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"


def binary(command: int, family: int, rest: bytes) -> bytes:
    """A header of version 2, with its addresses and values."""
    return SIGNATURE + struct.pack(">BBH", command, family, len(rest)) + rest


def value(kind: int, data: bytes) -> bytes:
    """One of its values."""
    return struct.pack(">BH", kind, len(data)) + data


def tls(flags: int, verify: int, *, version: bytes = b"", name: bytes = b"", cipher: bytes = b"") -> bytes:
    """What it says of TLS."""
    told = b"".join(
        value(kind, data) for kind, data in ((0x21, version), (0x22, name), (0x23, cipher)) if data
    )
    return value(0x20, struct.pack(">BI", flags, verify) + told)
