"""The files of certificates, as who serves reads them, to see whether others can: nothing of a key is
kept."""

from __future__ import annotations

import os
import stat
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime

from actorrpc.errors import ConfigError
from actorrpc.tls.handshake.certificates import Certificate, read_authorities
from actorrpc.tls.handshake.contexts import Contexts
from actorrpc.tls.handshake.key_log import KeyLog
from actorrpc.tls.handshake.settings import Tls
from actorrpc.tls.handshake.warnings import warnings_of

__all__ = ["Files", "read_files"]


@dataclass(frozen=True)
class Files:
    """What they said when they were read."""

    certificates: tuple[Certificate, ...]
    authorities: tuple[Certificate, ...]
    keys: tuple[str, ...]

    def warnings(self, now: datetime | None = None) -> list[str]:
        """What an operator should know of them, a line each."""
        return warnings_of((*self.certificates, *self.authorities), self.keys, now)


def read_files(tls: Tls) -> Files:
    """Read all of them, as each hub does. Raises ConfigError, with the reason, for one that is wrong."""
    keys = tuple(key for _, key in tls.pairs)
    asked = tls.client_ca if tls.asks else None
    for file in (*[cert for cert, _ in tls.pairs], *keys, *([asked] if asked is not None else [])):
        _check_regular(file)
    with closing(KeyLog()) as log:
        certificates = tuple(Contexts(tls, log).certificates)
    return Files(certificates, () if asked is None else read_authorities(asked), keys)


def _check_regular(file: str) -> None:
    """A pipe would give what it has to the first who reads it; that others find none would be told too
    late."""
    try:
        mode = os.stat(file).st_mode
    except OSError:
        return  # who reads it says so
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise ConfigError(f"{file} is no file that each hub could read")
