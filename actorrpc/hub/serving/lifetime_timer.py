"""The timer of a connection, and what is done when something is due (``lifetime``).

Each connection has one timer, set to the next thing that may be due. What happens often, such as reading,
only notes the time; the timer looks at these times when it fires, and is set again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any, Protocol

from actorrpc.errors import StatusCode
from actorrpc.hub.actors.service_host import Carrier
from actorrpc.hub.calls.call import CallHost
from actorrpc.hub.phase import CLOSED, SERVING
from actorrpc.hub.serving.lifetime import Due, Lifetime
from actorrpc.log import about
from actorrpc.loop.timers import after
from actorrpc.net.pump import Pump

__all__ = ["LifetimeTimer", "TimedConnection"]

log = logging.getLogger("actorrpc.hub")

#: How long to wait before looking again at a connection that is busy moving.
_LATER = 0.1


class TimedConnection(Carrier, CallHost, Protocol):
    """What the timer needs of its connection."""

    @property
    def pump(self) -> Pump: ...
    def shutdown(self) -> None:
        """Let open calls end, and the client begin no more of them; then close."""

    def close(self, why: str = "") -> None:
        """End it now."""

    def close_politely(self) -> None:
        """End it when the client has taken what is left."""


class LifetimeTimer:
    """The timer of one connection."""

    __slots__ = ("_connection", "_timer", "times")

    def __init__(self, connection: TimedConnection, times: Lifetime) -> None:
        self._connection = connection
        self.times = times
        self._timer: Any = None

    def start(self) -> None:
        """Set the timer, or set it again: call it when something may be due earlier than before."""
        self.stop()
        due = min((due for due, _ in self._duties()), default=None)
        if due is not None:
            least = 0.0 if self._connection.phase.state == SERVING else _LATER
            self._timer = after(max(least, due - monotonic()), self._on_timer)

    def stop(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.close()
            self._timer = None

    def let_go(self) -> None:
        """Stop for good, and forget the connection."""
        self.stop()
        self._connection = None  # type: ignore[assignment]  # nothing asks it any more

    def _duties(self) -> Iterator[tuple[float, Due]]:
        connection = self._connection
        session, identities = connection.session, connection.cells.identities
        return self.times.duties(
            greeted=session.greeted,
            shutting_down=session.shutting_down,
            calls=bool(connection.calls),
            identities=identities.due if identities else None,
        )

    def _on_timer(self) -> None:
        now = monotonic()
        connection = self._connection
        try:
            for due, what in list(self._duties()):
                if due <= now and connection.phase.state == SERVING:
                    _ACTS[what](self, connection)
        except Exception:  # not again and again
            ids = about(connection=connection.id)
            log.exception("connection %s is closed: what was due could not be done", connection.id, extra=ids)
            connection.close()
        if connection.phase.state != CLOSED:
            self.start()

    def _hears(self, connection: TimedConnection) -> bool:
        """Whether the client has said something that waits to be read: the hub may have been too busy."""
        before = self.times.heard
        connection.pump.transport.read()
        return self.times.heard > before

    def _give_up_handshake(self, connection: TimedConnection) -> None:
        if self._hears(connection) and connection.session.greeted:
            return
        if connection.phase.state == CLOSED:
            return
        age = monotonic() - self.times.accepted
        log.info(
            "connection %s from %s sent no SETTINGS in %.1f s",
            connection.id,
            connection.peer,
            age,
            extra=about(connection=connection.id),
        )
        connection.close("the handshake took too long")

    def _ping(self, connection: TimedConnection) -> None:
        self.times.pinged = monotonic()
        connection.session.ping()
        connection.changed()

    def _give_up_silent(self, connection: TimedConnection) -> None:
        if self._hears(connection) or connection.phase.state == CLOSED:
            return
        ids = about(connection=connection.id)
        log.info("connection %s from %s answers no PING: closed", connection.id, connection.peer, extra=ids)
        connection.close("keepalive timeout")

    def _end_shutdown(self, connection: TimedConnection) -> None:
        connection.session.end_shutdown()
        connection.changed()

    def _age(self, connection: TimedConnection) -> None:
        self.times.aged = True
        connection.shutdown()

    def _end_grace(self, connection: TimedConnection) -> None:
        connection.calls.end_all(StatusCode.UNAVAILABLE, "the connection has reached its age")
        connection.close_politely()

    def __repr__(self) -> str:
        return f"<LifetimeTimer {'waits' if self._timer is not None else 'rests'}, {self.times!r}>"


_ACTS: dict[Due, Callable[[LifetimeTimer, TimedConnection], None]] = {
    Due.HANDSHAKE: LifetimeTimer._give_up_handshake,
    Due.PING: LifetimeTimer._ping,
    Due.SILENCE: LifetimeTimer._give_up_silent,
    Due.SHUTDOWN_PING: LifetimeTimer._end_shutdown,
    Due.AGE: LifetimeTimer._age,
    Due.GRACE: LifetimeTimer._end_grace,
    Due.IDENTITIES: lambda timer, connection: connection.cells.sweep(),
    Due.IDLE: lambda timer, connection: connection.shutdown(),
}
