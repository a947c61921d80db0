"""What a client says first, before OpenSSL has it: whether it speaks TLS, and what has to be known of it."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ClientHello", "other_protocol", "parse_client_hello"]

# Extensions (RFC 6066, 4; RFC 7301, 3.1).
_MAX_FRAGMENT_LENGTH = 1
_ALPN = 16

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
        at = 4 + 2
        random = message[at : at + 32]
        at += 32
        for size in (1, 2, 1):  # session id, cipher suites, compression methods
            at = _after(message, at, size)
        end = _after(message, at, 2) if at < len(message) else at
        if end != len(message):
            return None
        at += 2
        extensions: dict[int, bytes] = {}
        while at < end:
            after = _after(message, at + 2, 2, end)
            extensions[int.from_bytes(message[at : at + 2], "big")] = message[at + 4 : after]
            at = after
        offered = extensions.get(_ALPN)
        protocols = () if offered is None else tuple(_protocols(offered))
    except ValueError:
        return None
    fragment = extensions.get(_MAX_FRAGMENT_LENGTH, b"")
    asked = len(fragment) == 1 and 1 <= fragment[0] <= 4
    return ClientHello(random, protocols, 1 << (8 + fragment[0]) if asked else 0)


def other_protocol(first: bytes) -> str:
    """What a client speaks that sends this first, in words; "" for TLS."""
    if first[:1] == b"\x16" or not first:
        return ""
    if b"PRI * HTTP/2.0".startswith(first[:14]):
        return "HTTP/2"
    if first.startswith(_HTTP1):
        return "HTTP/1"
    return "something else"


def _after(message: bytes, at: int, size: int, end: int | None = None) -> int:
    """Where a vector ends whose length has ``size`` bytes at ``at``. Raises ValueError if it is cut short."""
    after = at + size + int.from_bytes(message[at : at + size], "big")
    if after > (len(message) if end is None else end):
        raise ValueError("a vector that is cut short")
    return after


def _protocols(offered: bytes) -> list[bytes]:
    if _after(offered, 0, 2) != len(offered):
        raise ValueError("bytes behind the protocols")
    at, found = 2, []
    while at < len(offered):
        after = _after(offered, at, 1)
        found.append(offered[at + 1 : after])
        at = after
    return found
