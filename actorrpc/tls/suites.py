"""The cipher suites of TLS 1.3 (RFC 9846, B.5), each with its AEAD of the package `cryptography`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Protocol

from actorrpc.errors import ConfigError

__all__ = ["SUITES", "SUITES_BY_NAME", "TAG", "Aead", "Octets", "Suite"]

Octets = bytes | bytearray | memoryview

#: Bytes that each of these AEADs adds to what it seals.
TAG = 16


class Aead(Protocol):
    """A cipher with its key. It takes 2.5 kB of memory."""

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes) -> bytes: ...
    def decrypt(self, nonce: bytes, data: Octets, associated_data: Octets) -> bytes:
        """Raises ``cryptography.exceptions.InvalidTag`` for what was not sealed with this key and nonce."""


@dataclass(frozen=True, slots=True)
class Suite:
    """A cipher suite, by the name and the number that TLS gives it."""

    number: int
    name: str
    key_length: int
    #: The hash of HKDF, by hashlib's name, and the length of its output, which is that of a traffic secret.
    hash: str
    hash_length: int
    #: The class of its AEAD in ``cryptography.hazmat.primitives.ciphers.aead``.
    cipher: str

    def aead(self, key: bytearray) -> Aead:
        """The cipher with this key. It takes a microsecond."""
        return _cipher(self.cipher)(key)


@cache
def _cipher(name: str) -> Callable[[bytearray], Aead]:
    try:
        from cryptography.hazmat.primitives.ciphers import aead
    except ImportError as error:
        raise ConfigError("TLS needs the package cryptography: pip install 'actorrpc[tls]'") from error
    found: Callable[[bytearray], Aead] = getattr(aead, name)
    return found


#: By number.
SUITES = {
    suite.number: suite
    for suite in (
        Suite(0x1301, "TLS_AES_128_GCM_SHA256", 16, "sha256", 32, "AESGCM"),
        Suite(0x1302, "TLS_AES_256_GCM_SHA384", 32, "sha384", 48, "AESGCM"),
        Suite(0x1303, "TLS_CHACHA20_POLY1305_SHA256", 32, "sha256", 32, "ChaCha20Poly1305"),
    )
}
SUITES_BY_NAME = {suite.name: suite for suite in SUITES.values()}
