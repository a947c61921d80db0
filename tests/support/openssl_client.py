"""A client of OpenSSL's, in memory, joined with a handshake and what comes of it."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Sequence

from actorrpc.tls.handshake.contexts import Contexts
from actorrpc.tls.handshake.handshake import MAX_BYTES, Established, Handshake, Refused
from tests.support.certificates import Authority, Pair

__all__ = ["OpenSslClient", "client_context", "shake_hands"]


def client_context(
    authority: Authority, pair: Pair | None = None, *, alpn: Sequence[str] = ("h2",), **settings: object
) -> ssl.SSLContext:
    """What trusts this authority; ``settings`` are attributes of it."""
    context = ssl.create_default_context(cafile=authority.file)
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if pair is not None:
        context.load_cert_chain(pair.cert, pair.key)
    for name, value in settings.items():
        setattr(context, name, value)
    return context


class OpenSslClient:
    """One connection of a client: what it wants to write is given by ``output``."""

    def __init__(
        self, context: ssl.SSLContext, name: str = "localhost", session: ssl.SSLSession | None = None
    ) -> None:
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self.incoming, self.outgoing, server_hostname=name, session=session)
        self.established = False

    def feed(self, data: bytes) -> None:
        """Take what the server has written, and go on with the handshake. Raises ssl.SSLError."""
        self.incoming.write(data)
        if not self.established:
            try:
                self.tls.do_handshake()
            except ssl.SSLWantReadError:
                return
            self.established = True

    def output(self) -> bytes:
        return self.outgoing.read()

    def read(self) -> bytes:
        """The data that has come. Raises ssl.SSLError for an alert."""
        data = b""
        try:
            while piece := self.tls.read(65536):
                data += piece
        except ssl.SSLWantReadError:
            pass
        return data

    def write(self, data: bytes) -> bytes:
        """Seal data; returns the records."""
        self.tls.write(data)
        return self.output()


def shake_hands(
    contexts: Contexts, client: OpenSslClient, *, piece: int = 1 << 30, max_bytes: int = MAX_BYTES
) -> Established | Refused:
    """Let both talk until the server is done, in pieces of this size; the client has all that was written."""
    handshake = Handshake(contexts, max_bytes)
    client.feed(b"")
    while handshake.outcome is None:
        sent = client.output()
        assert sent, "both wait for each other"
        for part in pieces(sent, piece):
            if handshake.outcome is None:
                client.feed(handshake.receive(part))
    return handshake.outcome


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))
