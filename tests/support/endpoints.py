"""Where a server is, and with TLS what its clients trust and show, for each in its own form."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio

from tests.support.certificates import Authority, Pair

__all__ = ["NAME", "Endpoint", "Identity"]

#: Who a client is by its certificate.
NAME = "ann.example"


class Identity:
    """An authority, the server's certificate, which is for 127.0.0.1, and the clients'. ``made``: they are in
    this folder already."""

    def __init__(self, folder: Path, *, made: bool = False) -> None:
        if not made:
            authority = Authority(folder)
            authority.sign("server", ["127.0.0.1", "localhost"])
            authority.sign("ann", [NAME])
        self.folder = folder
        self.ca = str(folder / "ca.pem")
        self.server = Pair(folder, "server")
        self.client = Pair(folder, "ann")

    @property
    def options(self) -> tuple[str, ...]:
        """What `actorrpc serve` gets. Clients may show a certificate: h2load has no option for one."""
        return (
            "--tls-bind", "127.0.0.1:0", "--tls-cert", self.server.cert, "--tls-key", self.server.key,
            "--tls-client-ca", self.ca, "--tls-client", "optional",
        )  # fmt: skip


@dataclass(frozen=True)
class Endpoint:
    """A server. Without an ``identity`` it speaks plaintext."""

    address: str
    identity: Identity | None = None

    def url(self, path: str) -> str:
        return f"{'https' if self.identity else 'http'}://{self.address}/{path}"

    def channel(self, options: Any = ()) -> grpc.Channel:
        if credentials := self._credentials():
            return grpc.secure_channel(self.address, credentials, options=options)
        return grpc.insecure_channel(self.address, options=options)

    def aio_channel(self, options: Any = ()) -> grpc.aio.Channel:
        if credentials := self._credentials():
            return grpc.aio.secure_channel(self.address, credentials, options=options)
        return grpc.aio.insecure_channel(self.address, options=options)

    def _credentials(self) -> grpc.ChannelCredentials | None:
        if self.identity is None:
            return None
        key, *certificates = (
            Path(file).read_bytes() for file in (self.identity.client.key, self.identity.client.cert)
        )
        return grpc.ssl_channel_credentials(Path(self.identity.ca).read_bytes(), key, *certificates)

    def context(self) -> ssl.SSLContext | None:
        """For clients whose TLS is Python's."""
        if self.identity is None:
            return None
        context = ssl.create_default_context(cafile=self.identity.ca)
        context.load_cert_chain(self.identity.client.cert, self.identity.client.key)
        context.set_alpn_protocols(["h2"])
        return context

    @property
    def files(self) -> tuple[str, ...]:
        """The authority's file, and the client's certificate and key; nothing without TLS."""
        identity = self.identity
        return (identity.ca, identity.client.cert, identity.client.key) if identity else ()
