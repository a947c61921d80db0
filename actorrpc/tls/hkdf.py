"""The key schedule of TLS 1.3 from a traffic secret on (RFC 9846, 7.1 to 7.3): keys, nonces' masks, and the
next secret."""

from __future__ import annotations

from hmac import digest

from actorrpc.tls.suites import Octets, Suite

__all__ = ["IV_LENGTH", "expand_label", "next_secret", "traffic_iv", "traffic_key"]

#: Bytes of a nonce, and of what the sequence number is combined with to make one (RFC 9846, 5.3).
IV_LENGTH = 12


def expand_label(secret: Octets, label: bytes, length: int, hash: str) -> bytes:
    """HKDF-Expand-Label with an empty context (RFC 9846, 7.1; HKDF-Expand: RFC 5869, 2.3)."""
    label = b"tls13 " + label
    info = length.to_bytes(2, "big") + bytes((len(label),)) + label + b"\0"
    output = block = b""
    number = 0
    while len(output) < length:
        number += 1
        block = digest(secret, block + info + bytes((number,)), hash)
        output += block
    return output[:length]


def traffic_key(secret: Octets, suite: Suite) -> bytes:
    return expand_label(secret, b"key", suite.key_length, suite.hash)


def traffic_iv(secret: Octets, suite: Suite) -> bytes:
    return expand_label(secret, b"iv", IV_LENGTH, suite.hash)


def next_secret(secret: Octets, suite: Suite) -> bytes:
    """The secret after a KeyUpdate (RFC 9846, 7.2)."""
    return expand_label(secret, b"traffic upd", suite.hash_length, suite.hash)
