"""How TLS is served: certificates, what clients have to show, and the least version."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from actorrpc.errors import ConfigError

__all__ = ["CLIENTS", "VERSIONS", "Tls"]

#: Whether a client shows a certificate: it is not asked for one, it may, it must.
CLIENTS = ("none", "optional", "required")
VERSIONS = ("1.2", "1.3")


@dataclass(frozen=True)
class Tls:
    """Files of certificates (chains, the server's own first) and of their keys, in PEM.

    Where there are several, a client's server name chooses among them; the first one is for everybody else.
    ``client_ca`` is a file of the CAs whose clients are admitted. Without ``client``, it is "required" if
    there is a ``client_ca``, and else "none". Raises ConfigError for what does not fit together.
    """

    cert: str | Sequence[str]
    key: str | Sequence[str]
    client_ca: str | None = None
    client: str = ""
    minimum: str = "1.3"

    def __post_init__(self) -> None:
        certs, keys = _several(self.cert), _several(self.key)
        if not certs or len(certs) != len(keys):
            raise ConfigError(f"each TLS certificate needs a key: {len(certs)} and {len(keys)} are given")
        if self.minimum not in VERSIONS:
            raise ConfigError(
                f"the least version of TLS is one of {', '.join(VERSIONS)}, not {self.minimum!r}"
            )
        if self.client not in ("", *CLIENTS):
            raise ConfigError(f"clients' certificates are one of {', '.join(CLIENTS)}, not {self.client!r}")
        if self.asks and self.client_ca is None:
            raise ConfigError(f"clients' certificates are {self.client}, and no CA is given that signs them")

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """Each certificate's file, with its key's."""
        return tuple(zip(_several(self.cert), _several(self.key), strict=True))

    @property
    def clients(self) -> str:
        """One of ``CLIENTS``."""
        return self.client or ("none" if self.client_ca is None else "required")

    @property
    def asks(self) -> bool:
        """Whether clients are asked for certificates."""
        return self.clients != "none"


def _several(given: str | Sequence[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)
