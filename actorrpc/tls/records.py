"""Records and their types (RFC 9846, 5.1 and 5.2), and the one handshake message that may come in them."""

from __future__ import annotations

import struct

__all__ = [
    "ALERT",
    "APPLICATION_DATA",
    "CHANGE_CIPHER_SPEC",
    "HANDSHAKE",
    "HEADER",
    "KEY_UPDATE",
    "RECORD_HEADER",
    "VERSION",
    "content_of",
    "key_update_message",
]

#: Type, version, length.
RECORD_HEADER = struct.Struct(">BHH")
HEADER = RECORD_HEADER.size

#: ``legacy_record_version`` of all that we send; what a peer says there means nothing.
VERSION = 0x0303

CHANGE_CIPHER_SPEC = 20
ALERT = 21
HANDSHAKE = 22
APPLICATION_DATA = 23

#: The type of the only handshake message that a client may send after the handshake.
KEY_UPDATE = 24

_ZEROS = tuple(bytes(1 << power) for power in range(14, -1, -1))


def key_update_message(request: bool) -> bytes:
    """KeyUpdate (RFC 9846, 4.7.3); ``request``: the peer is to answer with its own."""
    return bytes((KEY_UPDATE, 0, 0, 1, request))


def content_of(inner: bytes) -> tuple[int, bytes]:
    """The type and the content of what was sealed (TLSInnerPlaintext), without the padding; type 0: there is
    none, nothing but padding.

    The padding is compared with whole blocks of zeros, each half as long as the one before: that finds the
    end of 16 kB of it within 5 µs, where ``rstrip`` takes 60.
    """
    end = len(inner)
    for block in _ZEROS if inner[-1:] == b"\0" else ():
        if inner.endswith(block, 0, end):
            end -= len(block)
    return (inner[end - 1], inner[: end - 1]) if end else (0, b"")
