"""The giving side of a handoff: from QUIESCING until somebody serves it again."""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import monotonic
from typing import Any, Protocol

from actorrpc.errors import SnapshotError
from actorrpc.hub.moving.memfd import packed
from actorrpc.hub.moving.move_id import move_id
from actorrpc.hub.moving.states import SOURCE, SourceAction, SourceEvent, SourceState
from actorrpc.ipc.sender import Sender
from actorrpc.loop.duties import brief, do_all, reason
from actorrpc.pb import control_pb2

__all__ = ["Departing", "Source", "Timer"]

log = logging.getLogger("actorrpc.handoff")

#: How long a target may keep silent before the connection is taken back.
READY_TIMEOUT = 5.0


class Departing(Protocol):
    """A connection, as its source sees it (actorrpc.hub.moving.departure.Departure)."""

    @property
    def id(self) -> str: ...
    @property
    def pinned(self) -> str: ...
    @property
    def unquiet(self) -> str: ...
    def quiesce(self, on_quiet: Callable[[], None]) -> None: ...
    def freeze(self) -> bytes: ...
    def resume(self) -> None: ...
    def release(self) -> None:
        """Close its descriptor before anything else, and whatever else fails; then forget it."""


class DepartingSocket(Departing, Protocol):
    """One that is a client's connection."""

    @property
    def freezes(self) -> int:
        """How often it has been frozen, for a client that speaks TLS."""

    def fileno(self) -> int: ...


#: Calls a function after some seconds; returns what cancels it.
Timer = Callable[[float, Callable[[], None]], Callable[[], None]]


class Source:
    """One attempt to move one connection over one link. ``done(why)`` is called once: "" for moved."""

    #: What follows on what.
    table = SOURCE

    def __init__(
        self,
        connection: Any,
        number: int,
        link: Sender,
        *,
        timer: Timer,
        quiesce_timeout: float,
        done: Callable[[Source, str], None],
    ) -> None:
        self.connection: Any = connection
        self.number = number
        self.link = link
        #: For lines of the log.
        self.ids = {"connection": connection.id, "move": move_id(number)}
        self.state = SourceState.QUIESCING
        #: What ended the attempt lies with the connection, and says nothing of the two hubs.
        self.of_connection = False
        #: When it began to hold back turns, on the monotonic clock.
        self.began = monotonic()
        self._timer = timer
        self._done = done
        self._why = ""
        self._quiesce_timeout = quiesce_timeout
        self._cancel_timer: Callable[[], None] = lambda: None

    def begin(self) -> None:
        """Quiesce. ``done`` may be called before this returns."""
        log.debug("connection %s is to move", self.connection.id, extra=self.ids)
        try:
            pinned = self.connection.pinned
            if not pinned:
                self.connection.quiesce(lambda: self.on(SourceEvent.QUIET))
        except Exception as error:
            log.exception("connection %s cannot be brought to rest", self.connection.id, extra=self.ids)
            pinned = reason(error)
        if self.state is not SourceState.QUIESCING:
            return
        if pinned:
            self.on(SourceEvent.STUCK, pinned)
        else:
            self._cancel_timer = self._timer(self._quiesce_timeout, self._stuck)

    def on(self, event: SourceEvent, why: str = "") -> None:
        """Take what has happened. An event that the table has no row for is logged and ignored."""
        step = self.table.get((self.state, event))
        if step is None:
            if self.state not in (SourceState.SERVING, SourceState.MOVED, SourceState.GONE):
                log.error(
                    "handoff of %s: %s in state %s",
                    self.connection.id,
                    event.name,
                    self.state.name,
                    extra=self.ids,
                )
            return
        self.state, action = step
        self._why = brief(why) or self._why
        self.of_connection |= event in (SourceEvent.STUCK, SourceEvent.CLOSED)
        _ACTIONS[action](self)

    def _stuck(self) -> None:
        self.on(SourceEvent.STUCK, self.connection.unquiet or "it did not come to rest in time")

    def _freeze(self) -> None:
        self._cancel_timer()
        try:
            snapshot = self.connection.freeze()
        except Exception as error:
            self.of_connection = True
            if isinstance(error, SnapshotError):
                self.on(SourceEvent.UNFIT, str(error))
            else:  # a state that does not serialize, for one
                log.exception("connection %s cannot be frozen", self.connection.id, extra=self.ids)
                self.on(SourceEvent.UNFIT, reason(error))
            return
        prepare = self._offer()
        message = control_pb2.HubToHub(prepare=prepare)
        try:
            with packed(message.prepare, snapshot) as fds:
                offered = self.link.send(message, fds)
        except Exception as error:  # out of memory or descriptors, or too large
            self.on(SourceEvent.UNFIT, f"it cannot be sent: {error}")
            return
        if not offered:
            self.on(SourceEvent.UNFIT, "the target hub has gone")
            return
        self._cancel_timer = self._timer(
            READY_TIMEOUT, lambda: self.on(SourceEvent.OVERDUE, "the target hub did not answer")
        )
        self.on(SourceEvent.OFFERED)

    def _offer(self) -> control_pb2.Prepare:
        return control_pb2.Prepare(connection=self.connection.id, number=self.number)

    def _commit(self) -> None:
        # Only what the kernel has taken can reach the target. While it has not, the connection is ours:
        # should the link end first, the target never gets the socket, and we serve on.
        self._cancel_timer()
        commit = control_pb2.Commit(
            connection=self.connection.id, number=self.number, freezes=self.connection.freezes
        )
        try:
            begun = self.link.send(
                control_pb2.HubToHub(commit=commit),
                (self.connection.fileno(),),
                then=lambda: self.on(SourceEvent.COMMIT_SENT),
            )
        except Exception as error:  # out of descriptors, to keep one for later
            self.on(SourceEvent.UNFIT, f"its socket cannot be sent: {error}")
            return
        if not begun:
            self.on(SourceEvent.LINK_LOST, "the target hub has gone")

    def _release(self) -> None:
        # The target owns it now: nothing that fails here may change that, nor keep the move from its end.
        self._do_all(f"letting go of {self.connection.id}", self.connection.release, lambda: self._finish(""))

    def _abort(self) -> None:
        self._do_all(f"taking {self.connection.id} back", self._say_abort, self._resume)

    def _abandon(self) -> None:
        self._do_all(f"giving {self.connection.id} up", self._say_abort, self._forget)

    def _say_abort(self) -> None:
        abort = control_pb2.Abort(connection=self.connection.id, number=self.number, why=self._why)
        self.link.send(control_pb2.HubToHub(abort=abort))

    def _resume(self) -> None:
        self._do_all(
            f"going on with {self.connection.id}",
            self.connection.resume,
            lambda: self._finish(self._why or "aborted"),
        )

    def _forget(self) -> None:
        self._finish(self._why or "the connection was closed")

    def _finish(self, why: str) -> None:
        log.debug("connection %s %s", self.connection.id, why or "has moved", extra=self.ids)
        self._do_all(f"the end of {self!r}", self._cancel_timer, lambda: self._done(self, why))

    def _do_all(self, what: str, *duties: Callable[[], object]) -> None:
        do_all(log, what, *duties, ids=self.ids)

    def __repr__(self) -> str:
        return f"<Source {self.number} of {self.connection.id} {self.state.name}>"


_ACTIONS: dict[SourceAction, Callable[[Source], None]] = {
    SourceAction.FREEZE: Source._freeze,
    SourceAction.WAIT: lambda source: None,
    SourceAction.RESUME: Source._resume,
    SourceAction.COMMIT: lambda source: source._commit(),
    SourceAction.ABORT: Source._abort,
    SourceAction.RELEASE: Source._release,
    SourceAction.FORGET: Source._forget,
    SourceAction.ABANDON: Source._abandon,
}
