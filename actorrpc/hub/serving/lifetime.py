"""What time does to a connection: the handshake's limit, keepalive (gRFC A8), idleness and age (gRFC A9).

Each connection has one timer, set to the next thing that may be due. What happens often, such as reading,
only notes the time; the timer looks at the notes when it fires, and is set anew.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator
from time import monotonic
from typing import TYPE_CHECKING, Any

from actorrpc.errors import StatusCode
from actorrpc.hub.serving.connection_states import CLOSED, SERVING
from actorrpc.loop.timers import after
from actorrpc.pb import snapshot_pb2

if TYPE_CHECKING:
    from actorrpc.hub.serving.connection import Connection

__all__ = ["Upkeep"]

log = logging.getLogger("actorrpc.hub")

#: The jitter of an age, so that connections made together do not end together: a tenth (gRFC A9).
_JITTER = 0.1

#: How long to wait before looking again at a connection that is busy moving.
_LATER = 0.1

Duty = tuple[float, Callable[[], None]]


class Upkeep:
    """The times of one connection, by ``time.monotonic``, and the timer that watches them."""

    __slots__ = (
        "_connection",
        "_timer",
        "accepted",
        "aged",
        "heard",
        "idle_since",
        "max_age",
        "pinged",
        "shut_down",
    )

    def __init__(self, connection: Connection) -> None:
        now = monotonic()
        self._connection = connection
        self._timer: Any = None
        self.accepted = now
        #: When the client was last heard, and when its last call ended.
        self.heard = now
        self.idle_since = now
        #: When it was sent a PING that it has not answered.
        self.pinged: float | None = None
        #: The age at which it is to end; None: no age.
        age = connection.node.config.max_connection_age
        self.max_age = age * random.uniform(1 - _JITTER, 1 + _JITTER) if age else None
        #: That age has been reached.
        self.aged = False
        #: When the client was told to begin no more calls.
        self.shut_down: float | None = None

    @property
    def grace_ends(self) -> float | None:
        """Until when calls may go on, once the connection has reached its age; None: as long as they will."""
        grace = self._connection.node.config.max_connection_age_grace
        return self.accepted + self.max_age + grace if self.aged and self.max_age and grace else None

    def start(self) -> None:
        """Set the timer, also anew: call it when something may be due earlier than before."""
        self.stop()
        due = min((due for due, _ in self._duties()), default=None)
        if due is not None:
            least = 0.0 if self._connection.state == SERVING else _LATER
            self._timer = after(max(least, due - monotonic()), self._on_timer)

    def stop(self) -> None:
        """Set no timer any more."""
        if self._timer is not None:
            self._timer.close()
            self._timer = None

    def let_go(self) -> None:
        """Stop for good, and forget the connection."""
        self.stop()
        self._connection = None  # type: ignore[assignment]  # nothing asks it any more

    def _on_timer(self) -> None:
        now = monotonic()
        connection = self._connection
        try:
            for due, fulfil in list(self._duties()):
                if due <= now and connection.state == SERVING:
                    fulfil()
        except Exception:  # not again and again
            log.exception("connection %s is closed: what was due could not be done", connection.id)
            connection.close()
        if connection.state != CLOSED:
            self.start()

    def _duties(self) -> Iterator[Duty]:
        """What is to be done, and when, if nothing happens before."""
        connection = self._connection
        config = connection.node.config
        if connection.session.greeted:
            yield from self._lasting_duties()
            return
        if config.handshake_timeout:
            yield self.accepted + config.handshake_timeout, self._give_up_handshake
        # Most likely it has greeted by then. If not, it cannot be told anything.
        yield from ((due, self._give_up_handshake) for due, _ in self._lasting_duties())

    def _lasting_duties(self) -> Iterator[Duty]:
        connection = self._connection
        config = connection.node.config
        session = connection.session
        if self.pinged is not None and self.heard >= self.pinged:
            self.pinged = None
        if self.pinged is not None:
            yield self.pinged + config.keepalive_timeout, self._give_up_silent
        elif config.keepalive_time:
            yield self.heard + config.keepalive_time, self._ping
        if session.shutting_down and self.shut_down is not None:
            yield self.shut_down + config.keepalive_timeout, self._end_shutdown
        if self.max_age is not None:
            if not self.aged:
                yield self.accepted + self.max_age, self._age
            elif config.max_connection_age_grace:
                yield self.accepted + self.max_age + config.max_connection_age_grace, self._end_grace
        if connection.identities and config.identity_idle:
            yield connection.identities.due, connection.identities.sweep
        if config.max_connection_idle and self.shut_down is None:
            since = monotonic() if connection.calls else self.idle_since
            yield since + config.max_connection_idle, connection.shutdown

    # ---- duties

    def _hears(self) -> bool:
        """Whether the client has said something that waits to be read: the hub may have been too busy."""
        before = self.heard
        self._connection.transport.read()
        return self.heard > before

    def _give_up_handshake(self) -> None:
        connection = self._connection
        if self._hears() and connection.session.greeted:
            return
        if connection.state == CLOSED:
            return
        age = monotonic() - self.accepted
        log.info("connection %s from %s sent no SETTINGS in %.1f s", connection.id, connection.peer, age)
        connection.close("the handshake took too long")

    def _ping(self) -> None:
        self.pinged = monotonic()
        self._connection.session.ping()
        self._connection.changed()

    def _give_up_silent(self) -> None:
        connection = self._connection
        if self._hears() or connection.state == CLOSED:
            return
        log.info("connection %s from %s answers no PING: closed", connection.id, connection.peer)
        connection.close("keepalive timeout")

    def _end_shutdown(self) -> None:
        self._connection.session.end_shutdown()
        self._connection.changed()

    def _age(self) -> None:
        self.aged = True
        self._connection.shutdown()

    def _end_grace(self) -> None:
        connection = self._connection
        connection.end_calls(StatusCode.UNAVAILABLE, "the connection has reached its age")
        connection.close_politely()

    # ---- moving

    def freeze(self, snapshot: snapshot_pb2.ConnectionSnapshot, now: float) -> None:
        """Write the times as what has passed since."""
        snapshot.age = now - self.accepted
        snapshot.idle = now - self.idle_since
        snapshot.silent = now - self.heard
        if self.pinged is not None:
            snapshot.ping_unanswered = now - self.pinged
        if self.max_age is not None:
            snapshot.max_age = self.max_age
        snapshot.aged = self.aged
        if self.shut_down is not None:
            snapshot.shutting_down = now - self.shut_down

    def restore(self, snapshot: snapshot_pb2.ConnectionSnapshot, taken: float) -> None:
        """Take over what ``freeze`` wrote in another process, at ``taken`` by the clock of this one."""
        self.accepted = taken - snapshot.age
        self.idle_since = taken - snapshot.idle
        self.heard = taken - snapshot.silent
        self.pinged = taken - snapshot.ping_unanswered if snapshot.HasField("ping_unanswered") else None
        if snapshot.HasField("max_age"):
            self.max_age = snapshot.max_age
        self.aged = snapshot.aged
        self.shut_down = taken - snapshot.shutting_down if snapshot.HasField("shutting_down") else None

    def __repr__(self) -> str:
        now = monotonic()
        return f"<Upkeep age {now - self.accepted:.1f} s, silent for {now - self.heard:.1f} s>"
