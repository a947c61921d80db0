"""Connections whose clients would not be admitted any more: they end.

A client's certificate is verified in its handshake, and the connection remembers by which CAs. Where they
are others now, since a hub has read new files, or since the connection has come from a hub that has not, it
is verified again, one connection after the other in a greenlet of its own: it takes about as long as a
handshake. One that is frozen is left alone: where it goes on, that is seen again (``look``).
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING, Protocol

import gevent

from actorrpc.errors import StatusCode
from actorrpc.hub.calls.open_calls import OpenCalls
from actorrpc.hub.phase import CLOSED, CLOSING, FROZEN, Phase
from actorrpc.log import about

if TYPE_CHECKING:
    from actorrpc.tls.handshake.admission import Admission

__all__ = ["Admitted", "Client", "Readmission"]

log = logging.getLogger("actorrpc.hub")

#: Verdicts that are remembered while connections are looked at: many may be of one client.
_REMEMBERED = 1024


class Admitted(Protocol):
    """What is known of a client that speaks TLS."""

    #: ``Contexts.admits`` of those who have admitted it.
    admitted_by: bytes

    @property
    def chain(self) -> tuple[bytes, ...]:
        """The certificates that it has shown, in DER, its own first; none: it has shown none."""


class Client(Protocol):
    """A connection."""

    id: str
    peer: str
    phase: Phase
    calls: OpenCalls

    @property
    def secure(self) -> Admitted | None:
        """None: it does not speak TLS."""

    def close_politely(self, until: float | None = 0.0) -> None: ...


class Readmission:
    """Of one hub. ``admission`` says whom it admits; None: it does not serve TLS."""

    def __init__(self, admission: Admission | None) -> None:
        self._admission = admission
        #: Connections that are still to be looked at, by id.
        self._due: dict[str, Client] = {}
        self._verdicts: dict[tuple[bytes, ...], str] = {}
        self._greenlet: gevent.Greenlet[[], None] | None = None

    def use(self, admission: Admission | None, connections: Iterable[Client]) -> None:
        """Another one says it from now on, and of these connections, too."""
        self._admission = admission
        self._verdicts.clear()
        for connection in connections:
            self.look(connection)

    def look(self, connection: Client) -> None:
        """A connection is here, and may have been admitted by others; or it stays here although it was to
        move. If it is not admitted here, it ends soon. Never blocks."""
        secure = connection.secure
        if secure is None or secure.admitted_by == self._fingerprint:
            return
        self._due[connection.id] = connection
        if self._greenlet is None:
            self._greenlet = gevent.spawn(self._run)

    def _run(self) -> None:
        try:
            while self._due:
                _, connection = self._due.popitem()
                try:
                    self._verify(connection)
                except Exception:  # the others are to be looked at all the same
                    ids = about(connection=connection.id)
                    log.exception("connection %s could not be ended", connection.id, extra=ids)
                gevent.sleep(0)
        finally:
            self._greenlet = None
            self._verdicts.clear()  # what was admitted may expire

    def _verify(self, connection: Client) -> None:
        secure = connection.secure
        if secure is None or connection.phase.left or connection.phase.state in (CLOSING, CLOSED, FROZEN):
            return
        why = self._why_not(secure.chain)
        if not why:
            secure.admitted_by = self._fingerprint
            return
        ids = about(connection=connection.id)
        log.info("connection %s from %s ends: %s", connection.id, connection.peer, why, extra=ids)
        connection.calls.end_all(StatusCode.UNAUTHENTICATED, f"the client is not admitted any more: {why}")
        connection.close_politely(until=None)

    def _why_not(self, chain: tuple[bytes, ...]) -> str:
        why = self._verdicts.get(chain)
        if why is None:
            if len(self._verdicts) >= _REMEMBERED:
                self._verdicts.clear()
            why = self._verdicts[chain] = self._ask(chain)
        return why

    @property
    def _fingerprint(self) -> bytes:
        return b"" if self._admission is None else self._admission.fingerprint

    def _ask(self, chain: tuple[bytes, ...]) -> str:
        try:
            return "" if self._admission is None else self._admission.why_not(chain)
        except Exception:
            log.exception("a client's certificate could not be verified")
            return "its certificate could not be verified"

    def close(self) -> None:
        """Look at no more."""
        self._due.clear()
        if self._greenlet is not None:
            self._greenlet.kill(block=False)

    def __repr__(self) -> str:
        return f"<Readmission by {self._admission!r}, {len(self._due)} to be looked at>"
