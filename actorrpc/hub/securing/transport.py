"""``SecureTransport``: a socket whose bytes are TLS records, in place of ``net.Transport``.

It stands between the plain transport and the connection: as the owner of the one it opens what comes, and to
the other it is the transport, which seals what goes. In a move it seals nothing from ``freeze`` until
``start``, or until ``own`` in the hub that has taken it (``actorrpc.tls.ownership``).
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Protocol

from gevent import get_hub
from gevent.monkey import get_original

from actorrpc.errors import SnapshotError
from actorrpc.hub.securing.facts import SecureFacts, secure_from
from actorrpc.loop.timers import after
from actorrpc.net.transport import Owner, Transport
from actorrpc.pb import snapshot_pb2, tls_pb2
from actorrpc.tls.handshake.pinned import PinnedRecords
from actorrpc.tls.ownership import Ownership
from actorrpc.tls.record_layer import RecordLayer
from actorrpc.tls.snapshot import freeze_records, thaw_records

__all__ = ["REST", "SecureTransport", "SecureUser", "Secured", "thaw_secured"]

#: What seals and opens is dropped that has been made for so many seconds: two take 5 kB, and to make one
#: again takes less than a microsecond.
REST = 5.0

# The thread's own, also in a patched process, where the module's would be each greenlet's.
_PerThread: type = get_original("_thread", "_local")


class _Warm(_PerThread):  # type: ignore[misc]
    """The transports of a thread that have sealed or opened something since they were last seen to."""

    def __init__(self) -> None:
        self.transports: set[SecureTransport] = set()
        #: Whether that will be.
        self.timed = False

    def rest(self) -> None:
        transports, self.transports = self.transports, set()
        self.timed = False
        for transport in transports:
            transport.rest()


_warm = _Warm()


@dataclass(frozen=True)
class Secured:
    """What a connection begins with whose client speaks TLS."""

    facts: SecureFacts
    records: RecordLayer | PinnedRecords
    #: What has come after the handshake, and what the handshake has said and is not written.
    unread: bytes = b""
    backlog: bytes = b""

    def transport(self, sock: socket.socket | None, user: SecureUser) -> SecureTransport:
        """The connection's way to the socket. Without one, another process has secured it."""
        return SecureTransport(sock, user, self)


def thaw_secured(secure: snapshot_pb2.Secure, tls: tls_pb2.TlsSnapshot) -> Secured:
    """What a snapshot has of a connection. Raises SnapshotError for what cannot be."""
    return Secured(secure_from(secure), thaw_records(tls))


class SecureUser(Owner, Protocol):
    """Whose data it is."""

    def on_work(self, units: int) -> None:
        """The client has had records opened for nothing: so much of the flood budget. It may be closed."""

    def on_broken(self, why: str) -> None:
        """The client has broken TLS, or has said that something is wrong. The alert has been sent, if one
        is to be: what follows is to be a polite end."""


class _Nobody:
    """Stands for the user of a transport that has been released."""

    def on_bytes(self, data: bytes) -> None: ...
    def on_end(self, why: str) -> None: ...
    def on_writable(self) -> None: ...
    def on_work(self, units: int) -> None: ...
    def on_broken(self, why: str) -> None: ...


_NOBODY = _Nobody()


class SecureTransport(Transport):
    """A connection's way to the socket. Without one, it has been ``secured`` by another process."""

    __slots__ = ("_unread", "_user", "_warm", "records")

    def __init__(self, sock: socket.socket | None, user: SecureUser, secured: Secured) -> None:
        self.records = secured.records
        self._user: SecureUser = user
        self._unread = secured.unread
        self._warm = False
        super().__init__(sock, self)
        if secured.backlog:
            self._wait_to_write(secured.backlog)

    # ---- as the owner of the socket's bytes

    def on_bytes(self, data: bytes) -> None:
        records, user = self.records, self._user
        if not self._warm:
            self._warm_up()
        if self._unread:
            data, self._unread = self._unread + data, b""
        plain = records.receive(data)
        if not records.quiet and (work := records.take_work()):
            user.on_work(work)
        if plain and self._user is user:
            user.on_bytes(plain)
        if not records.quiet and self._user is user:  # else it has been closed, or let go
            self._look_for_the_end()

    def _look_for_the_end(self) -> None:
        fault = self.records.fault
        if fault is not None:
            if not fault.received:
                self._send_rest()
            self._user.on_broken(f"{'' if fault.received else 'TLS: '}{fault}")
        elif self.records.ended:
            self._user.on_end("the client has closed it")

    def _send_rest(self) -> None:
        """The alert, if the socket takes it."""
        if self.ready and (data := self.records.send()):
            super().send(data)

    def on_end(self, why: str) -> None:
        self.records.receive_eof()
        cut = " without close_notify" if self.records.truncated else ""
        self._user.on_end(why + cut)

    def on_writable(self) -> None:
        self._user.on_writable()

    # ---- as a transport

    def start(self) -> None:
        records = self.records
        if isinstance(records, RecordLayer) and records.ownership is Ownership.FROZEN:
            records.resume()
        super().start()
        if self._unread or records.ended:
            get_hub().loop.run_callback(self._go_on)  # whoever starts it has more to start

    def _go_on(self) -> None:
        """Take what has come before it was started."""
        if self._reading and (self._unread or self.records.ended):
            self.on_bytes(b"")

    def send(self, data: bytes) -> bool:
        if not self._warm:
            self._warm_up()
        return Transport.send(self, self.records.send(data))

    def half_close(self) -> None:
        if self.ready and super().send(self.records.close()):
            super().half_close()

    def close(self) -> None:
        if self.ready and self._sock.fileno() >= 0 and self.records.fault is None:
            self._say_goodbye()
        super().close()

    def _say_goodbye(self) -> None:
        try:
            self._sock.send(self.records.close())
        except OSError:
            pass  # the client was faster, or does not read

    def freeze_secrets(self) -> tls_pb2.TlsSnapshot:
        """Seal and open nothing until the next ``start``. Returns all of the record layer, with what waits to
        be written. Raises SnapshotError where it cannot move."""
        if not isinstance(self.records, RecordLayer):
            raise SnapshotError(self.pinned)
        if self._unread:
            raise SnapshotError("it has only just come")
        return freeze_records(self.records, super().freeze())

    def freeze(self) -> bytes:
        """As ``Transport.freeze``; what waits is in the ``freeze_secrets``, which follows or has failed."""
        super().freeze()
        return b""

    def own(self, freezes: int) -> None:
        """The socket is here, which another process had. Raises RuntimeError if COMMIT, which says
        ``freezes``, is of another snapshot than this was made of."""
        assert isinstance(self.records, RecordLayer)
        if data := self.records.own(freezes):
            self._wait_to_write(data)

    @property
    def freezes(self) -> int:
        """For COMMIT."""
        return self.records.freezes if isinstance(self.records, RecordLayer) else 0

    @property
    def pinned(self) -> str:
        """Why it cannot move, ever; "" if it can."""
        return "" if isinstance(self.records, RecordLayer) else "it speaks TLS 1.2"

    def rest(self) -> None:
        """Let go of what is made again when it is needed."""
        self._warm = False
        self.records.rest()

    def _warm_up(self) -> None:
        self._warm = True
        if not _warm.timed:
            _warm.timed = True
            after(REST, _warm.rest)
        _warm.transports.add(self)

    def _release(self) -> None:
        self._user = _NOBODY
        _warm.transports.discard(self)  # many may come and go within its time
        try:
            super()._release()
        finally:
            self.records.release()

    def __repr__(self) -> str:
        return f"<SecureTransport fd {self._sock.fileno()}, {self.records!r}>"
