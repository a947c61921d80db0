"""What time does to a connection: the handshake's limit, keepalive (gRFC A8), idleness and age (gRFC A9).

Pure, except that it reads the clock: it says what is due when. ``lifetime_timer`` acts on it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import Enum, auto
from time import monotonic

from actorrpc.config import Config
from actorrpc.pb import snapshot_pb2

__all__ = ["Due", "Lifetime"]

#: The jitter of an age, so that connections made together do not end together: a tenth (gRFC A9).
_JITTER = 0.1


class Due(Enum):
    """What may be due."""

    #: The client has sent no SETTINGS.
    HANDSHAKE = auto()
    #: The client has said nothing for long: ask it for a sign of life.
    PING = auto()
    #: It has answered no PING.
    SILENCE = auto()
    #: It has not answered the PING of a shutdown.
    SHUTDOWN_PING = auto()
    AGE = auto()
    #: The time is over that calls had after the age was reached.
    GRACE = auto()
    #: Actors of an identity may have been idle for long enough.
    IDENTITIES = auto()
    IDLE = auto()


@dataclass(slots=True, eq=False, repr=False)
class Lifetime:
    """The times of one connection, by ``time.monotonic``."""

    _config: Config
    accepted: float = field(init=False)
    #: When the client was last heard, and when its last call ended.
    heard: float = field(init=False)
    idle_since: float = field(init=False)
    #: When it was sent a PING that it has not answered.
    pinged: float | None = None
    #: The age at which it is to end; None: no age.
    max_age: float | None = field(init=False)
    #: That age has been reached.
    aged: bool = False
    #: When the client was told to begin no more calls.
    shut_down: float | None = None

    def __post_init__(self) -> None:
        self.accepted = self.heard = self.idle_since = monotonic()
        age = self._config.max_connection_age
        self.max_age = age * random.uniform(1 - _JITTER, 1 + _JITTER) if age else None

    @property
    def grace_ends(self) -> float | None:
        """Until when calls may go on, once the connection has reached its age; None: as long as they will."""
        grace = self._config.max_connection_age_grace
        return self.accepted + self.max_age + grace if self.aged and self.max_age and grace else None

    def duties(
        self, *, greeted: bool, shutting_down: bool, calls: bool, identities: float | None
    ) -> Iterator[tuple[float, Due]]:
        """What is to be done, and when, if nothing happens before.

        ``greeted``: the client's SETTINGS have come. ``shutting_down``: its answer to the PING of a shutdown
        is awaited. ``calls``: some are open. ``identities``: when to look after these, None: there are none.
        """
        if not greeted and self._config.handshake_timeout:
            yield self.accepted + self._config.handshake_timeout, Due.HANDSHAKE
        for due, what in self._lasting(shutting_down, calls, identities):
            # Most likely it has greeted by then. If not, it cannot be told anything.
            yield due, what if greeted else Due.HANDSHAKE

    def _lasting(
        self, shutting_down: bool, calls: bool, identities: float | None
    ) -> Iterator[tuple[float, Due]]:
        config = self._config
        if self.pinged is not None and self.heard >= self.pinged:
            self.pinged = None
        if self.pinged is not None:
            yield self.pinged + config.keepalive_timeout, Due.SILENCE
        elif config.keepalive_time:
            yield self.heard + config.keepalive_time, Due.PING
        if shutting_down and self.shut_down is not None:
            yield self.shut_down + config.keepalive_timeout, Due.SHUTDOWN_PING
        if self.max_age is not None:
            if not self.aged:
                yield self.accepted + self.max_age, Due.AGE
            elif (ends := self.grace_ends) is not None:
                yield ends, Due.GRACE
        if identities is not None and config.identity_idle:
            yield identities, Due.IDENTITIES
        if config.max_connection_idle and self.shut_down is None:
            since = monotonic() if calls else self.idle_since
            yield since + config.max_connection_idle, Due.IDLE

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
        return f"<Lifetime age {now - self.accepted:.1f} s, silent for {now - self.heard:.1f} s>"
