"""What an operator should know of certificates and keys, a line each."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone

from actorrpc.tls.handshake.certificates import Certificate

__all__ = ["NEAR_END", "warnings_of"]

#: A certificate that ends so soon is warned of.
NEAR_END = timedelta(days=14)


def warnings_of(
    certificates: Iterable[Certificate], keys: Iterable[str], now: datetime | None = None
) -> list[str]:
    """Of certificates that have ended, or will soon, and of files of keys that others can read, or write."""
    now = now or datetime.now(timezone.utc)
    found = [line for key in dict.fromkeys(keys) for line in _permissions(key)]
    return found + [line for certificate in certificates for line in _dates(certificate, now)]


def _permissions(key: str) -> list[str]:
    try:
        mode = os.stat(key).st_mode & 0o777
    except OSError as error:
        return [f"the key {key} cannot be looked at: {error.strerror}"]
    if mode & 0o007:
        return [f"the key {key} can be used by every user of this machine: its mode is {mode:o}"]
    return []


def _dates(certificate: Certificate, now: datetime) -> list[str]:
    file, ends = certificate.file, certificate.ends
    if now < certificate.begins:
        return [f"the certificate {file} is not valid before {certificate.begins:%Y-%m-%d %H:%M} UTC"]
    if ends < now:
        return [f"the certificate {file} has expired, on {ends:%Y-%m-%d}"]
    if ends - now < NEAR_END:
        days = (ends - now).days
        return [f"the certificate {file} expires on {ends:%Y-%m-%d}, in {days} day{'s' * (days != 1)}"]
    return []
