"""Between a session and its transport: writes as fast as the client takes it, and stops reading while more
than a megabyte of frames waits. One that is parted with gets the last bytes. How a handler is held back whose
client does not read: ``hub.calls.call``.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Protocol

from actorrpc.net.linger import LINGER, Linger
from actorrpc.net.transport import Transport

__all__ = ["Pump", "Source"]

#: With more than this to write and a client that does not read, nothing is read from it either.
OUTPUT_HIGH = 1024 * 1024


class Outbound(Protocol):
    """What waits in a session to be written."""

    #: There is nothing to write.
    @property
    def idle(self) -> bool: ...

    #: Bytes that are to be written as soon as the transport takes them, and those that wait for more.
    @property
    def pending(self) -> int: ...
    @property
    def unsent_bytes(self) -> int: ...


class Source(Protocol):
    """A session."""

    @property
    def outbound(self) -> Outbound: ...
    def data_to_send(self) -> bytes:
        """The next bytes for the transport; b"" if there are none."""


class Pump:
    """A session's way to its transport."""

    __slots__ = ("_linger", "_parting", "_source", "transport")

    def __init__(self, transport: Transport, source: Source) -> None:
        self.transport = transport
        self._source = source
        #: Nothing more comes from the session than what it has.
        self._parting = False
        self._linger: Linger | None = None

    def flush(self) -> None:
        """Write what there is, as far as the client takes it. ``Owner.on_end`` may be called meanwhile."""
        source, transport = self._source, self.transport
        while transport.ready and (data := source.data_to_send()):
            if not transport.send(data):
                break
        if not transport.ready:
            if source.outbound.pending > OUTPUT_HIGH:
                transport.stop_reading()  # until the client has taken what waits
        elif self._parting and source.outbound.idle:
            transport.half_close()

    @property
    def waiting(self) -> int:
        """Bytes that the socket has not taken."""
        outbound = self._source.outbound
        return self.transport.unsent + outbound.pending + outbound.unsent_bytes

    @property
    def untaken(self) -> int:
        """Bytes that are to be written, and those that the client's host has not acknowledged."""
        outbound = self._source.outbound
        return self.transport.untaken + outbound.pending + outbound.unsent_bytes

    def part(self, close: Callable[[], None], until: float | None = 0.0) -> None:
        """Write what is left, say that no more comes, and call ``close`` when the client has taken it and had
        the time to close itself: unread input would take our words with it.

        It waits for a second, or longer, ``until`` that time, while the client goes on taking bytes; with
        None for as long as it does.
        """
        self._parting = True
        self.stop_waiting()
        if until is not None:
            until = max(until, monotonic() + LINGER)
        self._linger = Linger(close, lambda: self.untaken, until)

    def close(self) -> None:
        """End the connection."""
        self.stop_waiting()
        self.transport.close()

    def stop_waiting(self) -> None:
        """Wait no more for the client to take what is left."""
        if self._linger is not None:
            self._linger.stop()
            self._linger = None

    def __repr__(self) -> str:
        return f"<Pump {self.waiting} bytes wait{', parting' * self._parting}, {self.transport!r}>"
