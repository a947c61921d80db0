"""What a client says first, before OpenSSL has it: whether it speaks TLS, and what has to be known of it."""

from __future__ import annotations

import struct
from dataclasses import dataclass

__all__ = ["ClientHello", "other_protocol", "parse_client_hello"]

# Extensions (RFC 6066, 4; RFC 7301, 3.1).
_MAX_FRAGMENT_LENGTH = 1
_ALPN = 16

#: Where the client's random ends: it comes after the message's type and length, and a version.
_RANDOM_ENDS = 4 + 2 + 32
_LENGTH = struct.Struct(">H")
#: Type and length.
_EXTENSION = struct.Struct(">HH")

_HTTP1 = (b"GET ", b"POST ", b"PUT ", b"HEAD ", b"DELETE ", b"OPTIONS ", b"CONNECT ", b"PATCH ", b"TRACE ")


@dataclass(frozen=True)
class ClientHello:
    """A ClientHello (RFC 9846, 4.1.2): the random that its key log is found by, and some extensions."""

    random: bytes
    #: The protocols that it offers (ALPN), in its order.
    protocols: tuple[bytes, ...]
    #: The most content that it takes in a record, if it has asked for less than others (RFC 6066, 4): OpenSSL
    #: agrees to that. 0: it has not.
    max_fragment: int


def parse_client_hello(message: bytes) -> ClientHello | None:
    """Read a whole ClientHello, with its type and length; None for one that is malformed.

    What this does not look at, OpenSSL does.
    """
    try:
        at = _RANDOM_ENDS + 1 + message[_RANDOM_ENDS]  # behind the session id
        at += 2 + _LENGTH.unpack_from(message, at)[0]  # the cipher suites
        at += 1 + message[at]  # the compression methods
        extensions = _extensions(message, at)
        offered = extensions.get(_ALPN)
        protocols = () if offered is None else tuple(_protocols(offered))
    except (IndexError, ValueError, struct.error):
        return None
    fragment = extensions.get(_MAX_FRAGMENT_LENGTH, b"")
    asked = len(fragment) == 1 and 1 <= fragment[0] <= 4
    random = message[_RANDOM_ENDS - 32 : _RANDOM_ENDS]
    return ClientHello(random, protocols, 1 << (8 + fragment[0]) if asked else 0)


def _extensions(message: bytes, at: int) -> dict[int, bytes]:
    """By type, from where their length is to the end. Raises ValueError or struct.error if they do not end
    there."""
    end = len(message)
    found: dict[int, bytes] = {}
    if at == end:
        return found
    if at + 2 + _LENGTH.unpack_from(message, at)[0] != end:
        raise ValueError("the extensions end elsewhere")
    at += 2
    unpack = _EXTENSION.unpack_from
    while at < end:
        type_, size = unpack(message, at)
        at += _EXTENSION.size + size
        if at > end:
            raise ValueError("an extension that is cut short")
        found[type_] = message[at - size : at]
    return found


def other_protocol(first: bytes) -> str:
    """What a client speaks that sends this first, in words; "" for TLS."""
    if first[:1] == b"\x16" or not first:
        return ""
    if b"PRI * HTTP/2.0".startswith(first[:14]):
        return "HTTP/2"
    if first.startswith(_HTTP1):
        return "HTTP/1"
    return "something else"


def _protocols(offered: bytes) -> list[bytes]:
    end = len(offered)
    if 2 + _LENGTH.unpack_from(offered)[0] != end:
        raise ValueError("the protocols end elsewhere")
    at, found = 2, []
    while at < end:
        size = offered[at]
        at += 1 + size
        if at > end:
            raise ValueError("a protocol that is cut short")
        found.append(offered[at - size : at])
    return found
