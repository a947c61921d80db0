"""Certificates for tests, made as they are needed: authorities, servers, clients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID

__all__ = ["Authority", "Pair"]

DAY = timedelta(days=1)

PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey

_KEYS: dict[str, Callable[[], PrivateKey]] = {
    "ec": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ed25519": ed25519.Ed25519PrivateKey.generate,
    "rsa": lambda: rsa.generate_private_key(65537, 2048),
    "rsa 1024": lambda: rsa.generate_private_key(65537, 1024),
}
_USAGES = {"server": ExtendedKeyUsageOID.SERVER_AUTH, "client": ExtendedKeyUsageOID.CLIENT_AUTH}


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(host))
    except ValueError:
        return x509.DNSName(host)


class Pair:
    """A certificate's file and its key's."""

    def __init__(self, folder: Path, name: str) -> None:
        self.cert = str(folder / f"{name}.pem")
        self.key = str(folder / f"{name}.key")


class Authority:
    """A CA with a folder of its own, in which it puts what it signs. ``file`` is its own certificate."""

    def __init__(
        self,
        folder: Path,
        name: str = "test CA",
        *,
        signer: Authority | None = None,
        days: float = 365,
        kind: str = "ec",
    ) -> None:
        """``signer``: the CA that signs its certificate; None: it does so itself."""
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        self.key = _KEYS[kind]()
        self.file = str(folder / "ca.pem")
        signer = signer or self
        made = signer._made(self.name, self.key, days).add_extension(x509.BasicConstraints(True, None), True)
        made = made.add_extension(x509.SubjectKeyIdentifier.from_public_key(self.key.public_key()), False)
        # Python 3.13 insists on it.
        usage = dict.fromkeys(
            (
                "digital_signature",
                "content_commitment",
                "key_encipherment",
                "data_encipherment",
                "key_agreement",
                "encipher_only",
                "decipher_only",
            ),
            False,
        )
        made = made.add_extension(x509.KeyUsage(key_cert_sign=True, crl_sign=True, **usage), True)
        Path(self.file).write_bytes(made.sign(signer.key, hashes.SHA256()).public_bytes(Encoding.PEM))

    def sign_authority(self, folder: Path, name: str) -> Authority:
        """A CA whose own certificate this one signs."""
        return Authority(folder, name, signer=self)

    def sign(
        self,
        name: str,
        hosts: Sequence[str] = (),
        *,
        days: float = 100,
        begins: float = -1,
        padding: int = 0,
        password: bytes = b"",
        kind: str = "ec",
        usage: str = "",
    ) -> Pair:
        """A certificate with this common name, for these hosts; ``padding``: so many bytes of no use.
        ``usage``: it is for servers only, or for clients only."""
        key = _KEYS[kind]()
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        made = self._made(subject, key, days, begins)
        if hosts:
            names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
            made = made.add_extension(names, critical=False)
        if usage:
            made = made.add_extension(x509.ExtendedKeyUsage([_USAGES[usage]]), critical=False)
        if padding:
            oid = x509.ObjectIdentifier("1.3.6.1.4.1.99999.1")
            made = made.add_extension(x509.UnrecognizedExtension(oid, bytes(padding)), critical=False)
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        made = made.add_extension(authority, critical=False)
        pair = Pair(self.folder, name.replace(" ", "-"))
        Path(pair.cert).write_bytes(made.sign(self.key, hashes.SHA256()).public_bytes(Encoding.PEM))
        sealing = BestAvailableEncryption(password) if password else NoEncryption()
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, sealing)
        Path(pair.key).touch(0o600)
        Path(pair.key).write_bytes(secret)
        return pair

    def _made(
        self, subject: x509.Name, key: PrivateKey, days: float, begins: float = -1
    ) -> x509.CertificateBuilder:
        now = datetime.now(timezone.utc)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + begins * DAY)
            .not_valid_after(now + days * DAY)
        )
