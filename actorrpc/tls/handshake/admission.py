"""Whether a client's certificate, which was admitted once, would be admitted now: OpenSSL says so, as it
does of the certificates of new clients.

Python's ``ssl`` has no function for that. So a chain is shown to a server's side of TLS 1.2, where
certificates travel in the clear, as the client's message that follows a ClientHello: OpenSSL verifies it
when that has come, long before the client would have to prove that it has the key. It is the same code, with
the same purpose, CAs and level of security as in a handshake of TLS 1.3; the handshake goes no further.
`cryptography` verifies certificates as well, but by other rules: it refuses clients without alternative
names, say, whom OpenSSL admits.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime, timedelta, timezone
from functools import cache

from actorrpc.errors import ConfigError
from actorrpc.loop.descriptors import close_now
from actorrpc.tls.handshake.contexts import load_authorities
from actorrpc.tls.handshake.settings import Tls
from actorrpc.tls.limits import MAX_CONTENT
from actorrpc.tls.records import HANDSHAKE, RECORD_HEADER, VERSION

__all__ = ["Admission"]

_CLIENT_HELLO, _CERTIFICATE = 1, 11
_TLS12 = b"\3\3"
#: TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256: the throwaway certificate has a key of ECDSA.
_SUITE = b"\xc0\x2b"
_SUPPORTED_GROUPS, _SIGNATURE_ALGORITHMS = 10, 13
_SECP256R1 = b"\x00\x17"
#: All that a client may sign with, as the certificates that it shows are its own.
_SIGNATURES = bytes.fromhex("0403050306030807080808090804080a0805080b0806040105010601")

#: What OpenSSL calls it, where a certificate is asked for.
_NONE_SHOWN = "PEER_DID_NOT_RETURN_A_CERTIFICATE"


class Admission:
    """Whom the CAs of clients admit, as their file is when this is made.

    Raises ConfigError, with the reason, if that is wrong.
    """

    def __init__(self, tls: Tls | None) -> None:
        self._required = tls is not None and tls.clients == "required"
        self._context: ssl.SSLContext | None = None
        #: As ``Contexts.admits``.
        self.fingerprint = b""
        if tls is None or not tls.asks or tls.client_ca is None:
            return
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.verify_mode = ssl.CERT_REQUIRED
        self.fingerprint = load_authorities(context, tls)
        try:
            _load_throwaway(context)
            _show(context, ())
        except ssl.SSLError as error:
            if error.reason != _NONE_SHOWN:  # a build without TLS 1.2, say: else all would be sent away
                told = f"OpenSSL cannot verify clients' certificates again: {_words(error)}"
                raise ConfigError(told) from error
        self._context = context

    def why_not(self, chain: Sequence[bytes]) -> str:
        """Why a client with these certificates, in DER, its own first, is not admitted; "" if it is.

        It takes about as long as a handshake. What cannot be verified is not admitted.
        """
        if self._context is None:
            return ""
        if not chain:
            return "it has no certificate, and needs one here" if self._required else ""
        try:
            _show(self._context, chain)
        except ssl.SSLCertVerificationError as error:
            return f"its certificate is not admitted: {error.verify_message}"
        except ssl.SSLError as error:
            return f"its certificate cannot be verified: {_words(error)}"
        return ""

    def __repr__(self) -> str:
        return f"<Admission of {self.fingerprint.hex() or 'whoever there is'}>"


def _show(context: ssl.SSLContext, chain: Sequence[bytes]) -> None:
    """Show certificates to a server. Raises ssl.SSLError if it does not admit them."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(incoming, outgoing, server_side=True)
    for message in (_client_hello(), _certificate(chain)):
        incoming.write(message)
        with suppress(ssl.SSLWantReadError):
            server.do_handshake()


def _words(error: ssl.SSLError) -> str:
    return (error.reason or str(error).partition(" (")[0]).lower().replace("_", " ")


def _client_hello() -> bytes:
    extensions = _extension(_SUPPORTED_GROUPS, _sized(2, _SECP256R1))
    extensions += _extension(_SIGNATURE_ALGORITHMS, _sized(2, _SIGNATURES))
    body = (
        _TLS12
        + os.urandom(32)
        + _sized(1, b"")
        + _sized(2, _SUITE)
        + _sized(1, b"\0")
        + _sized(2, extensions)
    )
    return _records(_CLIENT_HELLO, body)


def _certificate(chain: Sequence[bytes]) -> bytes:
    """RFC 5246, 7.4.2 and 7.4.6."""
    return _records(_CERTIFICATE, _sized(3, b"".join(_sized(3, each) for each in chain)))


def _extension(kind: int, body: bytes) -> bytes:
    return kind.to_bytes(2, "big") + _sized(2, body)


def _sized(length: int, body: bytes) -> bytes:
    """A vector, with its size in so many bytes."""
    return len(body).to_bytes(length, "big") + body


def _records(kind: int, body: bytes) -> bytes:
    message = bytes([kind]) + _sized(3, body)
    parts = [message[at : at + MAX_CONTENT] for at in range(0, len(message), MAX_CONTENT)]
    return b"".join(RECORD_HEADER.pack(HANDSHAKE, VERSION, len(part)) + part for part in parts)


def _load_throwaway(context: ssl.SSLContext) -> None:
    """Give it a certificate, as a server has one: nobody ever sees it. Python's ``ssl`` reads it from a
    file."""
    fd = os.memfd_create("certificate", os.MFD_CLOEXEC)
    try:
        os.write(fd, _throwaway())
        context.load_cert_chain(f"/proc/self/fd/{fd}")
    finally:
        close_now(fd)


@cache
def _throwaway() -> bytes:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "nobody")])
    now = datetime.now(timezone.utc)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return secret + certificate.public_bytes(Encoding.PEM)
