"""The records of a connection that stays with OpenSSL, since its version of TLS is one that cannot move."""

from __future__ import annotations

import ssl
from contextlib import suppress

from actorrpc.errors import TlsFault
from actorrpc.tls.alerts import Alert
from actorrpc.tls.suites import Octets

__all__ = ["PinnedRecords"]

_READ = 1 << 16


class PinnedRecords:
    """What ``RecordLayer`` is, for everything but moves."""

    #: It is to be asked for work, faults and its end whatever has come.
    quiet = False

    def __init__(self, tls: ssl.SSLObject, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> None:
        self._tls = tls
        self._incoming = incoming
        self._outgoing = outgoing
        self._closed = False
        self.ended = False
        self.truncated = False
        self.fault: TlsFault | None = None

    def receive(self, data: Octets) -> bytes:
        if self.ended or self.fault is not None:
            return b""
        self._incoming.write(data)
        pieces = []
        try:
            while piece := self._tls.read(_READ):
                pieces.append(piece)
            self.ended = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.ended = True
        except ssl.SSLError as error:
            text = (error.reason or str(error)).lower().replace("_", " ")
            self.fault = TlsFault(Alert.INTERNAL_ERROR, text, received="alert" in text)
        return b"".join(pieces)

    def receive_eof(self) -> None:
        self.truncated = not self.ended and self.fault is None

    def send(self, data: bytes = b"") -> bytes:
        if data and not self._closed and self.fault is None:
            self._tls.write(data)
        return self._outgoing.read()

    def close(self) -> bytes:
        if not self._closed and self.fault is None:
            self._closed = True
            with suppress(ssl.SSLError):  # it waits for the peer's, which nobody does here
                self._tls.unwrap()
        return self._outgoing.read()

    def fail(self, fault: TlsFault) -> None:
        """OpenSSL has no way to send an alert of one's own: the connection just ends."""
        self.fault = self.fault or fault

    def take_work(self) -> int:
        return 0

    def rest(self) -> None: ...

    def release(self) -> None: ...
