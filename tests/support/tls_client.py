"""The other side of a record layer, a client that can do anything: it shares no code with
``actorrpc.tls``."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from actorrpc.tls.record_layer import RecordLayer, take_over
from actorrpc.tls.suites import SUITES

__all__ = ["AES_128", "AES_256", "ALERT", "CCS", "CHACHA", "DATA", "HANDSHAKE", "Client", "Key", "joined"]

AES_128, AES_256, CHACHA = 0x1301, 0x1302, 0x1303
CCS, ALERT, HANDSHAKE, DATA = 20, 21, 22, 23

KEY_LENGTH = {AES_128: 16, AES_256: 32, CHACHA: 32}


class Key:
    """One direction's secret: what TLS 1.3 makes of it, in the words of RFC 8446."""

    def __init__(self, suite: int, secret: bytes, sequence: int = 0) -> None:
        self.suite = suite
        self.hash = hashes.SHA384() if suite == AES_256 else hashes.SHA256()
        self.update(secret)
        self.sequence = sequence

    def update(self, secret: bytes | None = None) -> None:
        """The secret after a KeyUpdate, or this one."""
        self.secret = secret or self.expand("traffic upd", self.hash.digest_size)
        self.key = self.expand("key", KEY_LENGTH[self.suite])
        self.iv = self.expand("iv", 12)
        self.aead = (ChaCha20Poly1305 if self.suite == CHACHA else AESGCM)(self.key)
        self.sequence = 0

    def expand(self, label: str, length: int) -> bytes:
        name = f"tls13 {label}".encode()
        info = struct.pack(">HB", length, len(name)) + name + b"\0"
        return HKDFExpand(self.hash, length, info).derive(self.secret)

    def nonce(self) -> bytes:
        number = self.sequence.to_bytes(12, "big")
        self.sequence += 1
        return bytes(one ^ other for one, other in zip(self.iv, number, strict=True))

    def seal(self, inner: bytes, outer: int = DATA, version: int = 0x0303) -> bytes:
        header = struct.pack(">BHH", outer, version, len(inner) + 16)
        return header + self.aead.encrypt(self.nonce(), inner, header)

    def open(self, record: bytes) -> tuple[int, bytes]:
        inner = self.aead.decrypt(self.nonce(), record[5:], record[:5]).rstrip(b"\0")
        return inner[-1], inner[:-1]


class Client:
    """What a client seals, and what it has read of what the server has sent."""

    def __init__(self, suite: int = AES_128, *, sealed: int = 0, opened: int = 0) -> None:
        length = 48 if suite == AES_256 else 32
        self.suite = suite
        self.secret, self.server_secret = bytes(range(length)), bytes(range(100, 100 + length))
        self.sending = Key(suite, self.secret, sealed)
        self.receiving = Key(suite, self.server_secret, opened)
        #: Of all records that have come: their types and contents; and bytes that are no whole record.
        self.records: list[tuple[int, bytes]] = []
        self.unread = b""

    def server(self) -> RecordLayer:
        """The record layer of its server, from where this client stands."""
        return take_over(
            SUITES[self.suite],
            self.server_secret,
            self.secret,
            sealed=self.receiving.sequence,
            opened=self.sending.sequence,
        )

    def record(self, type: int, content: bytes, padding: int = 0) -> bytes:
        return self.sending.seal(content + bytes((type,)) + bytes(padding))

    def data(self, content: bytes, padding: int = 0) -> bytes:
        return self.record(DATA, content, padding)

    def alert(self, description: int, level: int = 2) -> bytes:
        return self.record(ALERT, bytes((level, description)))

    def key_update(self, request: int = 0) -> bytes:
        record = self.record(HANDSHAKE, bytes((24, 0, 0, 1, request)))
        self.sending.update()
        return record

    def read(self, data: bytes) -> list[tuple[int, bytes]]:
        """The records that end in these bytes. KeyUpdates are followed. Raises InvalidTag."""
        self.unread += data
        new = [self._open(record) for record in self._whole()]
        self.records += new
        return new

    @property
    def data_read(self) -> bytes:
        return joined(self.records)

    def _whole(self) -> Iterator[bytes]:
        while len(self.unread) >= 5 and len(self.unread) >= (
            end := 5 + int.from_bytes(self.unread[3:5], "big")
        ):
            record, self.unread = self.unread[:end], self.unread[end:]
            yield record

    def _open(self, record: bytes) -> tuple[int, bytes]:
        type_, content = self.receiving.open(record)
        if type_ == HANDSHAKE and content[0] == 24:
            self.receiving.update()
        return type_, content


def joined(records: list[tuple[int, bytes]]) -> bytes:
    """The data of records."""
    return b"".join(content for type_, content in records if type_ == DATA)
