"""A spy on the ciphers of record layers: what was sealed with which key and nonce."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers import aead

from actorrpc.tls import suites

__all__ = ["NonceUsedTwice", "Nonces"]


class NonceUsedTwice(Exception):
    """Two records have been sealed with one key and one nonce."""


class Nonces:
    """Watches all record layers of this process, from ``watch`` to ``stop``."""

    def __init__(self) -> None:
        #: What was sealed, by key and nonce.
        self.sealed: dict[tuple[bytes, bytes], bytes] = {}
        #: What was sealed a second time: whoever sealed it may have kept the exception to himself.
        self.repeated: list[str] = []
        self._patch = pytest.MonkeyPatch()

    def watch(self) -> Nonces:
        self._patch.setattr(suites, "_cipher", self._cipher)
        return self

    def stop(self) -> None:
        self._patch.undo()

    def _cipher(self, name: str) -> Callable[[bytearray], Any]:
        return lambda key: Watched(self, bytes(key), getattr(aead, name)(key))

    def seal(self, key: bytes, nonce: bytes, data: bytes) -> None:
        if (key, nonce) in self.sealed:
            self.repeated.append(what := f"{self.sealed[key, nonce]!r} and {data!r}")
            raise NonceUsedTwice(what)
        self.sealed[key, nonce] = data


class Watched:
    """A cipher that tells what it seals."""

    def __init__(self, nonces: Nonces, key: bytes, cipher: Any) -> None:
        self.nonces, self.key, self.cipher = nonces, key, cipher

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes) -> bytes:
        self.nonces.seal(self.key, nonce, data)
        sealed: bytes = self.cipher.encrypt(nonce, data, associated_data)
        return sealed

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes) -> bytes:
        opened: bytes = self.cipher.decrypt(nonce, data, associated_data)
        return opened
