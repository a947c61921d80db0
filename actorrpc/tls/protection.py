"""The protection of records in one direction (RFC 9846, 5.2 and 5.3): a secret, and how many records it has
had."""

from __future__ import annotations

from dataclasses import dataclass, field

from actorrpc.errors import TlsFault
from actorrpc.tls.alerts import Alert
from actorrpc.tls.hkdf import IV_LENGTH, next_secret, traffic_iv, traffic_key
from actorrpc.tls.records import ALERT, APPLICATION_DATA, HANDSHAKE, RECORD_HEADER, VERSION
from actorrpc.tls.suites import TAG, Aead, Octets, Suite

__all__ = ["Protection"]

#: The last byte of what is sealed.
_TYPES = {type: bytes((type,)) for type in (ALERT, HANDSHAKE, APPLICATION_DATA)}


@dataclass(slots=True, eq=False, repr=False)
class Protection:
    """Seals or opens one record after the other.

    A sequence number is used up before its record is sealed: whatever fails then, it is not used again.
    """

    suite: Suite
    #: The traffic secret, which is the protection's own from now on: it is overwritten.
    secret: bytearray
    #: The number of the next record of this secret.
    sequence: int = 0
    #: How often the secret has been replaced.
    epoch: int = 0
    _key: bytearray = field(default_factory=bytearray)
    _iv: int = 0
    _aead: Aead | None = None

    def seal(self, type: int, content: Octets) -> bytes:
        """The next record."""
        header, sealed = self.seal_parts(type, content)
        return header + sealed

    def seal_parts(self, type: int, content: Octets) -> tuple[bytes, bytes]:
        """The same as its header and what it seals, for who has more to put together."""
        aead = self._aead or self.prepare()
        sequence = self.sequence
        self.sequence = sequence + 1
        inner = b"".join((content, _TYPES[type]))
        header = RECORD_HEADER.pack(APPLICATION_DATA, VERSION, len(inner) + TAG)
        return header, aead.encrypt((self._iv ^ sequence).to_bytes(IV_LENGTH, "big"), inner, header)

    def open(self, header: Octets, sealed: Octets) -> bytes:
        """What the next record has sealed: content, type and padding. Raises TlsFault."""
        aead = self._aead or self.prepare()
        try:
            inner = aead.decrypt((self._iv ^ self.sequence).to_bytes(IV_LENGTH, "big"), sealed, header)
        except Exception as error:
            from cryptography.exceptions import InvalidTag

            if not isinstance(error, InvalidTag):
                raise
            fault = TlsFault(Alert.BAD_RECORD_MAC, "a record that was not sealed with the connection's key")
            raise fault from None
        self.sequence += 1
        return inner

    def renew(self) -> None:
        """Go on with the next secret (RFC 9846, 7.2). The old one is overwritten."""
        secret = bytearray(next_secret(self.secret, self.suite))
        self.wipe()
        self.secret = secret
        self.sequence = 0
        self.epoch += 1

    def rest(self) -> None:
        """Let go of the cipher, which is made again for the next record."""
        self._aead = None

    def wipe(self) -> None:
        """Overwrite secret and key: it seals and opens nothing any more."""
        for secret in (self.secret, self._key):
            secret[:] = bytes(len(secret))
        self.secret = bytearray()
        self._key = bytearray()
        self._iv = 0
        self._aead = None

    def prepare(self) -> Aead:
        """Make key and cipher now. Raises ConfigError where there is no package that has them."""
        if not self._key:
            if not self.secret:
                raise RuntimeError("the keys of this connection are gone")
            self._key = bytearray(traffic_key(self.secret, self.suite))
            self._iv = int.from_bytes(traffic_iv(self.secret, self.suite), "big")
        self._aead = self.suite.aead(self._key)
        return self._aead

    def __repr__(self) -> str:
        return f"<Protection {self.suite.name}, record {self.sequence} of key {self.epoch}>"
