"""What is known of a client that speaks TLS: of its connection, and of the certificate that it has shown.

It is plain data, which travels with the connection; what handlers see of it (``auth_context``) is made when
it is first asked for.
"""

from __future__ import annotations

import base64
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from actorrpc.net.proxy_header import ProxyFacts
from actorrpc.pb import snapshot_pb2
from actorrpc.tls.handshake.handshake import Established

__all__ = ["AuthContext", "SecureFacts", "auth_context_of_proxied", "secure_from", "secure_message"]

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


def auth_context_of_proxied(facts: ProxyFacts) -> AuthContext:
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
