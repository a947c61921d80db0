"""A server's handshake with one client, by OpenSSL in memory: bytes in, bytes out, and its end.

OpenSSL is given one record at a time, and none after the one that the handshake ends with: so everything
that comes after it is opened by the record layer, and what OpenSSL has sealed with its keys are the session
tickets of its last answer.
"""

from __future__ import annotations

import ssl
import sys
from dataclasses import dataclass

from actorrpc.tls.alerts import Alert, alert_message
from actorrpc.tls.handshake.client_hello import ClientHello, other_protocol, parse_client_hello
from actorrpc.tls.handshake.contexts import ALPN, Contexts
from actorrpc.tls.handshake.key_log import CLIENT_SECRET, SERVER_SECRET
from actorrpc.tls.handshake.pinned import PinnedRecords
from actorrpc.tls.limits import MAX_CIPHERTEXT
from actorrpc.tls.record_layer import RecordLayer, take_over
from actorrpc.tls.records import ALERT, APPLICATION_DATA, HANDSHAKE, HEADER, RECORD_HEADER, VERSION
from actorrpc.tls.suites import SUITES_BY_NAME, Octets

__all__ = ["MAX_BYTES", "Established", "Handshake", "Refused"]

#: A client's handshake takes less: a ClientHello, and a chain of certificates.
MAX_BYTES = 64 * 1024

_CLIENT_HELLO = b"\1"

#: What OpenSSL calls what can go wrong, in words of ours. What it calls an alert is one that the client has
#: sent.
_REASONS = {
    "NO_SHARED_CIPHER": "it has no cipher in common with this server",
    "NO_SUITABLE_SIGNATURE_ALGORITHM": "it knows no signature that this server's certificate can make",
    "NO_SUITABLE_KEY_SHARE": "it has no key exchange in common with this server",
    "UNSUPPORTED_PROTOCOL": "it offers no version of TLS that is allowed here",
    "VERSION_TOO_LOW": "it offers no version of TLS that is allowed here",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "it has no certificate, and needs one here",
    "EXCESSIVE_MESSAGE_SIZE": "a message of its handshake is too large",
}


@dataclass(frozen=True)
class Established:
    """A handshake that has come to its end."""

    #: What seals and opens from now on: a RecordLayer, or with TLS 1.2 one that cannot move.
    records: RecordLayer | PinnedRecords
    #: What has come after the handshake: the first that ``records.receive`` is to be given.
    unread: bytes
    version: str
    cipher: str
    alpn: str
    #: The server name that the client has asked for; "": none.
    server_name: str
    #: The client's certificate in DER; b"": it has shown none.
    peer_certificate: bytes
    #: What it has shown with that, in DER: certificates that lead from it to its CA, unless it left them out.
    peer_intermediates: tuple[bytes, ...] = ()
    #: Who admitted it: ``Contexts.admits``, as it was when the handshake began.
    admitted_by: bytes = b""

    @property
    def pinned(self) -> str:
        """Why it cannot move; "": it can."""
        return "" if isinstance(self.records, RecordLayer) else f"it speaks {self.version}"


@dataclass(frozen=True)
class Refused:
    """A handshake that has failed: ``why``, in words that go on from "the client", and what else it
    speaks."""

    why: str
    speaks: str = ""


class Handshake:
    """One handshake. Give ``receive`` what comes and write what it returns, until there is an ``outcome``."""

    def __init__(self, contexts: Contexts, max_bytes: int = MAX_BYTES) -> None:
        self.outcome: Established | Refused | None = None
        self._log = contexts.log
        self._admits = contexts.admits
        self._max_bytes = max_bytes
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._tls = contexts.wrap(self._incoming, self._outgoing)
        #: Received, and not given to OpenSSL; and how much was.
        self._unread = bytearray()
        self._given = 0
        #: The ClientHello: what has come of it, and then what it says.
        self._partial_hello = bytearray()
        self._hello: ClientHello | None = None
        self._secrets: dict[bytes, bytes] = {}
        #: What is to be written last.
        self._last = b""

    def receive(self, data: Octets) -> bytes:
        """Take bytes from the client; returns what is to be written, also where it has failed: an alert.

        After the ``outcome`` nothing is to be given to it.
        """
        if self.outcome is not None:
            raise RuntimeError("the handshake is over")
        unread = self._unread
        unread += data
        if not self._given and (speaks := other_protocol(bytes(unread[:14]))):
            self._refuse(f"speaks {speaks}, and not TLS", speaks)
            return b""
        while self.outcome is None and len(unread) >= HEADER:
            type_, _, length = RECORD_HEADER.unpack_from(unread)
            size = HEADER + length if length <= MAX_CIPHERTEXT else HEADER  # which OpenSSL then refuses
            if len(unread) < size:
                break
            record = bytes(unread[:size])
            del unread[:size]
            self._given += size
            if self._given > self._max_bytes:
                self._refuse_size()
                break
            if type_ == HANDSHAKE and self._hello is None:
                self._read_hello(record[HEADER:])
            if self.outcome is None:
                self._step(record)
        return self._outgoing.read() if self.outcome is None else self._last

    def receive_eof(self) -> None:
        """The transport has ended."""
        if self.outcome is None:
            self._refuse("has closed the connection before its handshake was over")

    def abandon(self) -> None:
        """Let go of everything: it takes too long, or is not wanted any more."""
        if self.outcome is None:
            self._refuse("was not waited for")

    def _read_hello(self, content: bytes) -> None:
        """Look at the ClientHello as soon as it has come: what comes of it costs half a millisecond."""
        hello = self._partial_hello
        hello += content
        end = 4 + int.from_bytes(hello[1:4], "big")
        if hello[:1] != _CLIENT_HELLO or len(hello) < end:
            return
        self._hello = parse_client_hello(bytes(hello[:end]))
        if self._hello is None:
            self._refuse_with(Alert.DECODE_ERROR, "has sent a malformed ClientHello")
        elif ALPN.encode() not in self._hello.protocols:
            self._refuse_with(Alert.NO_APPLICATION_PROTOCOL, f"does not offer {ALPN} (ALPN)")
        hello.clear()

    def _take_secrets(self) -> None:
        """Read the key log, which is empty but after a step of this handshake."""
        self._secrets |= self._log.take(b"" if self._hello is None else self._hello.random)

    def _step(self, record: bytes) -> None:
        self._incoming.write(record)
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._take_secrets()
        except ssl.SSLError as error:
            self._take_secrets()
            self._last = self._outgoing.read()
            self._refuse(_reason(error))
        else:
            self._take_secrets()
            self._finish()

    def _finish(self) -> None:
        tls = self._tls
        name, version, _ = tls.cipher() or ("", "", 0)
        output = self._outgoing.read()
        certificate = tls.getpeercert(binary_form=True) or b""
        assert self._hello is not None
        records: RecordLayer | PinnedRecords
        if tls.version() == "TLSv1.3":
            records = take_over(
                SUITES_BY_NAME[name],
                self._secrets[SERVER_SECRET],
                self._secrets[CLIENT_SECRET],
                sealed=_records_in(output),
                max_content=self._hello.max_fragment,
            )
        else:
            records = PinnedRecords(tls, self._incoming, self._outgoing)
        self._last = output
        self.outcome = Established(
            records,
            bytes(self._unread),
            tls.version() or version,
            name,
            tls.selected_alpn_protocol() or "",
            tls.server_name,
            certificate,
            _intermediates(tls) if certificate else (),  # Python 3.13 fails where there is none
            self._admits,
        )
        self._let_go()

    def _refuse(self, why: str, speaks: str = "") -> None:
        self.outcome = Refused(why, speaks)
        self._let_go()

    def _refuse_with(self, alert: int, why: str) -> None:
        """Before there are keys."""
        self._last = RECORD_HEADER.pack(ALERT, VERSION, 2) + alert_message(alert)
        self._refuse(why)

    def _refuse_size(self) -> None:
        why = f"has sent more than {self._max_bytes} bytes in its handshake"
        if self._hello is None:
            self._refuse_with(Alert.ILLEGAL_PARAMETER, why)  # as OpenSSL says it of what is too large for it
        else:
            self._refuse(why)  # only OpenSSL could seal an alert

    def _let_go(self) -> None:
        self._secrets.clear()
        self._unread.clear()
        del self._tls


def _intermediates(tls: ssl.SSLObject) -> tuple[bytes, ...]:
    """What has come behind the client's certificate. Before Python 3.13 only the object of the binding says
    it."""
    if sys.version_info >= (3, 13):
        return tuple(tls.get_unverified_chain()[1:])
    chain = tls._sslobj.get_unverified_chain() or ()  # type: ignore[attr-defined]
    return tuple(ssl.PEM_cert_to_DER_cert(each.public_bytes()) for each in chain[1:])


def _records_in(output: bytes) -> int:
    """How many protected records these bytes are."""
    count = at = 0
    while at < len(output):
        type_, _, length = RECORD_HEADER.unpack_from(output, at)
        count += type_ == APPLICATION_DATA
        at += HEADER + length
    return count


def _reason(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"has a certificate that is not admitted: {error.verify_message}"
    # Python has not all names of OpenSSL's reasons; then its text has them, between where it is from.
    words = (error.reason or str(error).partition("] ")[2].partition(" (")[0]).lower().replace("_", " ")
    _, alert, said = words.partition("alert ")
    if alert:
        return f"has ended its handshake: {said}"
    return f"has failed in its handshake: {_REASONS.get(error.reason or '', words)}"
