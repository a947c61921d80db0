"""What a server's certificate says: which names it is for, and until when."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timezone

from actorrpc.errors import ConfigError

__all__ = ["Certificate", "read_authorities", "read_certificate"]


@dataclass(frozen=True)
class Certificate:
    """The first certificate of a file. ``names`` are in lower case, and may begin with ``*.``."""

    file: str
    names: tuple[str, ...]
    begins: datetime
    ends: datetime

    def is_for(self, name: str) -> bool:
        """Whether it has this server name, or a wildcard for its first label (RFC 9525, 6.3)."""
        name = name.lower()
        _, dot, rest = name.partition(".")
        return name in self.names or bool(dot and rest and f"*.{rest}" in self.names)


def read_certificate(file: str) -> Certificate:
    """Raises ConfigError for a file that has none, or that cannot be read."""
    try:
        from cryptography import x509
    except ImportError as error:
        raise ConfigError("TLS needs the package cryptography: pip install 'actorrpc[tls]'") from error
    try:
        with open(file, "rb") as opened:
            found = x509.load_pem_x509_certificate(opened.read())
    except OSError as error:
        raise ConfigError(f"the certificate {file} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"{file} has no certificate in PEM") from error
    try:
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        hosts = names.value.get_values_for_type(x509.DNSName)
    except x509.ExtensionNotFound:
        common = found.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        hosts = [str(each.value) for each in common]
    except ValueError as error:
        raise ConfigError(f"the names in the certificate {file} cannot be read: {error}") from error
    return _certificate(file, found, tuple(host.lower() for host in hosts))


def read_authorities(file: str) -> tuple[Certificate, ...]:
    """What a file of CAs has of certificates, as far as it can be read: OpenSSL says what is wrong with
    one."""
    from cryptography import x509

    try:
        with open(file, "rb") as opened:
            found = x509.load_pem_x509_certificates(opened.read())
    except (OSError, ValueError):
        return ()
    return tuple(_certificate(file, each, ()) for each in found)


def _certificate(file: str, found: object, names: tuple[str, ...]) -> Certificate:
    # Not the properties with a time zone: they are younger than the oldest version that is supported.
    return Certificate(file, names, _utc(found, "not_valid_before"), _utc(found, "not_valid_after"))


def _utc(certificate: object, name: str) -> datetime:
    found = getattr(certificate, f"{name}_utc", None) or getattr(certificate, name)
    assert isinstance(found, datetime)
    return found if found.tzinfo is not None else found.replace(tzinfo=timezone.utc)
