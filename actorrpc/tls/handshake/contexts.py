"""OpenSSL's contexts, one for each certificate, all alike but for that."""

from __future__ import annotations

import os
import ssl
from collections.abc import Callable
from datetime import datetime
from hashlib import sha256

from actorrpc.errors import ConfigError
from actorrpc.tls.handshake.certificates import read_certificate
from actorrpc.tls.handshake.key_log import KeyLog
from actorrpc.tls.handshake.settings import Tls
from actorrpc.tls.handshake.warnings import warnings_of

__all__ = ["ALPN", "Contexts", "load_authorities"]

#: The only protocol that is spoken in it.
ALPN = "h2"

#: That of Python's own binding of OpenSSL: gevent's subclass has one that needs a socket, and there is none.
_SNI_CALLBACK = next(
    vars(base)["sni_callback"] for base in reversed(ssl.SSLContext.__mro__) if "sni_callback" in vars(base)
)

_VERIFY = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}
_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


class ServerSide(ssl.SSLObject):
    """A server's side of one connection."""

    #: The server name that the client has asked for; "": none.
    server_name = ""
    contexts: Contexts | None = None


class Contexts:
    """What the handshakes of one thread are made with: they share a key log, which only that thread may read.

    Made of files once: new files are taken up by making new ones, and handshakes that are under way go on
    with theirs. Raises ConfigError, with the reason, for a file that is wrong.
    """

    def __init__(self, tls: Tls, log: KeyLog, *, tickets: int = 0) -> None:
        """``log`` is the thread's. ``tickets``: how many session tickets a client is given, which are of use
        with these contexts only."""
        self.tls = tls
        self.log = log
        #: Who is admitted: see ``load_authorities``. b"": whoever comes.
        self.admits = b""
        self.certificates = [read_certificate(cert) for cert, _ in tls.pairs]
        self._contexts = [self._context(cert, key, tickets) for cert, key in tls.pairs]
        _SNI_CALLBACK.__set__(self._contexts[0], _choose)

    def wrap(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO) -> ServerSide:
        """A server's side of one connection."""
        made = self._contexts[0].wrap_bio(incoming, outgoing, server_side=True)
        assert isinstance(made, ServerSide)
        made.contexts = self
        return made

    def named(self, name: str) -> ssl.SSLContext | None:
        """The context whose certificate has this server name."""
        for certificate, context in zip(self.certificates, self._contexts, strict=True):
            if certificate.is_for(name):
                return context
        return None

    def warnings(self, now: datetime | None = None) -> list[str]:
        """What an operator should know, a line each: keys that others can read, certificates that end."""
        return warnings_of(self.certificates, [key for _, key in self.tls.pairs], now)

    def _context(self, cert: str, key: str, tickets: int) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.sslobject_class = ServerSide
        context.minimum_version = _VERSIONS[self.tls.minimum]
        context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_SINGLE_ECDH_USE
        context.set_alpn_protocols([ALPN])
        context.num_tickets = tickets
        if not tickets:
            context.options |= ssl.OP_NO_TICKET
        _load(lambda: context.load_cert_chain(cert, key, _no_password), cert, key)
        if self.tls.client_ca is not None and self.tls.asks:
            self.admits = load_authorities(context, self.tls)
            context.verify_mode = _VERIFY[self.tls.clients]
        context.keylog_filename = self.log.path
        return context


def _choose(connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
    """Change the context for the name that the client has asked for.

    No method of ``Contexts``: a circle of references would keep those that have been replaced, and their
    descriptors, until the garbage collector looks.
    """
    assert isinstance(connection, ServerSide)
    if name is not None and connection.contexts is not None:
        connection.server_name = name
        connection.context = connection.contexts.named(name) or context


def _no_password() -> str:
    raise ConfigError("is encrypted, and nobody can be asked for its password")


def _load(load: Callable[[], None], cert: str, key: str) -> None:
    for file in (cert, key):
        if not os.access(file, os.R_OK, effective_ids=True):  # a capability may let it, say
            what = "cannot be read" if os.path.exists(file) else "is not there"
            raise ConfigError(f"{file} {what}")
    try:
        load()
    except ConfigError as error:
        raise ConfigError(f"the key {key} {error}") from None
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise ConfigError(f"the key {key} is not that of the certificate {cert}") from error
        why = _words(error)
        raise ConfigError(f"the certificate {cert} or its key {key} cannot be used: {why}") from error


def load_authorities(context: ssl.SSLContext, tls: Tls) -> bytes:
    """Have a context admit the clients of the CAs. Returns what is equal for all contexts that admit the
    same, in whatever process.

    Raises ConfigError for a file that is wrong.
    """
    file = tls.client_ca
    assert file is not None
    try:
        before = _content(file)
        context.load_verify_locations(file)
        if _content(file) != before:
            raise ConfigError(f"the CA of clients {file} was changed while it was read")
    except OSError as error:  # ssl.SSLError is one
        why = _words(error) if isinstance(error, ssl.SSLError) else error.strerror
        raise ConfigError(f"the CA of clients {file} cannot be used: {why}") from error
    return sha256(tls.clients.encode() + b"\0" + before).digest()[:16]


def _content(file: str) -> bytes:
    with open(file, "rb") as opened:
        return opened.read()


def _words(error: ssl.SSLError) -> str:
    return (error.reason or "it is not what it should be").lower().replace("_", " ")
