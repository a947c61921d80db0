"""What is known of a client that speaks TLS: of its connection, and of the certificate that it has shown.

It is plain data, which travels with the connection; what handlers see of it (``auth_context``) is made when
it is first asked for. Calls that actors get from others know it as well: within a hub as it is, and over a
link, and in snapshots, as much of it as handlers see (``client_written``).
"""

from __future__ import annotations

import base64
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from actorrpc.net.proxy_header import ProxyFacts
from actorrpc.pb import snapshot_pb2

if TYPE_CHECKING:
    from actorrpc.tls.handshake.handshake import Established

__all__ = [
    "AuthContext",
    "ClientFacts",
    "SecureFacts",
    "auth_context_of",
    "client_from",
    "client_written",
    "secure_from",
    "secure_message",
]

#: As gRPC has it: https://grpc.github.io/grpc/core/group__grpc__tsi__transport__security__type.html
AuthContext = Mapping[str, Sequence[bytes]]


@dataclass(slots=True)
class SecureFacts:
    """Of one connection."""

    #: Such as ``TLSv1.3``.
    version: str
    cipher: str
    #: The host name that the client has asked for; "": none.
    server_name: str = ""
    #: In DER; b"": it has shown none.
    peer_certificate: bytes = b""
    #: Those that lead from it to its CA, as it has shown them.
    intermediates: tuple[bytes, ...] = ()
    #: Who has admitted it: ``Contexts.admits``.
    admitted_by: bytes = b""
    _auth_context: AuthContext | None = field(default=None, repr=False, compare=False)
    #: What ``client_written`` has made of it.
    written: bytes = field(default=b"", repr=False, compare=False)

    @classmethod
    def of(cls, established: Established) -> SecureFacts:
        return cls(
            established.version,
            established.cipher,
            established.server_name,
            established.peer_certificate,
            established.peer_intermediates,
            established.admitted_by,
        )

    @property
    def chain(self) -> tuple[bytes, ...]:
        """All certificates that it has shown, its own first."""
        return (self.peer_certificate, *self.intermediates) if self.peer_certificate else ()

    @property
    def auth_context(self) -> AuthContext:
        if self._auth_context is None:
            self._auth_context = {
                "transport_security_type": (b"ssl",),
                "security_level": (b"TSI_PRIVACY_AND_INTEGRITY",),
                "ssl_version": (self.version.encode(),),
                "ssl_cipher": (self.cipher.encode(),),
                **(_of_certificate(self.peer_certificate) if self.peer_certificate else {}),
            }
        return self._auth_context


def secure_message(facts: SecureFacts) -> snapshot_pb2.Secure:
    return snapshot_pb2.Secure(
        version=facts.version,
        cipher=facts.cipher,
        server_name=facts.server_name,
        peer_certificate=facts.peer_certificate,
        intermediates=facts.intermediates,
        admitted_by=facts.admitted_by,
    )


def secure_from(message: snapshot_pb2.Secure) -> SecureFacts:
    return SecureFacts(
        message.version,
        message.cipher,
        message.server_name,
        message.peer_certificate,
        tuple(message.intermediates),
        message.admitted_by,
    )


#: What is known of a client for certain: by its connection, or by its proxy.
ClientFacts = SecureFacts | ProxyFacts

#: So many clients are known at once as calls from other hubs have told of them; of others it is read again.
_KNOWN = 256


def client_written(client: ClientFacts | None) -> bytes:
    """As much of it as handlers see; b"" for nothing."""
    if isinstance(client, SecureFacts):
        if not client.written:
            secure = snapshot_pb2.Secure(
                version=client.version, cipher=client.cipher, peer_certificate=client.peer_certificate
            )
            client.written = snapshot_pb2.ClientFacts(secure=secure).SerializeToString()
        return client.written
    if client is None or not client.tls:
        return b""
    proxied = snapshot_pb2.Proxied(
        tls=True,
        tls_version=client.tls_version,
        cipher=client.cipher,
        verified=client.verified,
        common_name=client.common_name,
    )
    return snapshot_pb2.ClientFacts(proxied=proxied).SerializeToString()


@lru_cache(_KNOWN)
def client_from(written: bytes) -> ClientFacts:
    """What ``client_written`` has made: the same for all calls of a client, which may wait by the thousand.

    Raises DecodeError for what is none.
    """
    message = snapshot_pb2.ClientFacts.FromString(written)
    if message.HasField("secure"):
        return secure_from(message.secure)
    proxied = message.proxied
    return ProxyFacts(
        tls=proxied.tls,
        tls_version=proxied.tls_version,
        cipher=proxied.cipher,
        verified=proxied.verified,
        common_name=proxied.common_name,
    )


def auth_context_of(client: ClientFacts | None) -> AuthContext:
    """What handlers see of it."""
    if client is None:
        return {}
    return client.auth_context if isinstance(client, SecureFacts) else _of_proxied(client)


def _of_proxied(facts: ProxyFacts) -> AuthContext:
    """What a proxy that ends TLS says of its client, in the same names."""
    if not facts.tls:
        return {}
    context = {"transport_security_type": (b"ssl",), "ssl_version": (facts.tls_version.encode(),)}
    if facts.cipher:
        context["ssl_cipher"] = (facts.cipher.encode(),)
    if facts.verified and facts.common_name:
        context["x509_common_name"] = (facts.common_name.encode(),)
    return context


def _of_certificate(der: bytes) -> dict[str, tuple[bytes, ...]]:
    from cryptography import x509

    certificate = x509.load_der_x509_certificate(der)
    common = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    found = {
        "x509_common_name": tuple(str(each.value).encode() for each in common),
        "x509_subject_alternative_name": _alternative_names(certificate),
        "x509_pem_cert": (_pem(der),),
    }
    return {name: values for name, values in found.items() if values}


def _alternative_names(certificate: object) -> tuple[bytes, ...]:
    """Host names, addresses, URIs and addresses of mail, in the certificate's order; others are left out."""
    from cryptography import x509

    assert isinstance(certificate, x509.Certificate)
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return ()
    shown = (x509.DNSName, x509.IPAddress, x509.UniformResourceIdentifier, x509.RFC822Name)
    return tuple(str(name.value).encode() for name in names if isinstance(name, shown))


def _pem(der: bytes) -> bytes:
    lines = textwrap.wrap(base64.b64encode(der).decode(), 64)
    return "\n".join(["-----BEGIN CERTIFICATE-----", *lines, "-----END CERTIFICATE-----", ""]).encode()
