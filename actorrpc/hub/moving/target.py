"""The taking side of a handoff: from PREPARE until the connection is served here, or given up.

Why an offer is refused is decided elsewhere: by ``Node.move_refusal`` (the hub takes none now), and by
``snapshot.thaw`` (it cannot serve this one). Here that becomes REFUSED."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Protocol

from actorrpc.hub.moving.move_id import move_id
from actorrpc.hub.moving.states import TARGET, TargetAction, TargetEvent, TargetState
from actorrpc.ipc.framing import close_all
from actorrpc.ipc.sender import Sender
from actorrpc.loop.duties import brief, do_all, reason
from actorrpc.pb import control_pb2

__all__ = ["Arriving", "MoveRefused", "Target"]

log = logging.getLogger("actorrpc.handoff")


class MoveRefused(Exception):
    """The hub takes no connection now, whatever this one is. Its text is the reason."""


class Arriving(Protocol):
    """A thawed connection that has no socket yet."""

    def serve(self, fd: int, freezes: int) -> None:
        """Serve it over this socket, which is the connection's from now on, also if this raises. ``freezes``
        is what COMMIT has said."""

    def discard(self) -> None:
        """Let go of all that it holds."""


class Target:
    """One connection that a source offers. ``thaw()`` makes it; what it raises refuses the offer."""

    #: What follows on what.
    table = TARGET

    def __init__(self, id: str, number: int, link: Sender) -> None:
        self.id = id
        self.number = number
        self.link = link
        #: For lines of the log.
        self.ids = {"connection": id, "move": move_id(number)}
        self.state = TargetState.NEW
        self.arriving: Any = None
        self._fd = -1
        self._freezes = 0
        self._why = ""

    def prepare(self, thaw: Callable[[], Arriving]) -> None:
        """Make the connection and say READY, or REFUSED with the reason."""
        try:
            self.link.reserve()
            try:
                self.arriving = thaw()
            except BaseException:
                self.link.unreserve()
                raise
        except MoveRefused as error:
            self._why = brief(str(error))
            self.on(TargetEvent.UNFIT)
        except Exception as error:  # whatever the app's classes do with a state
            self._why = reason(error)
            log.warning("connection %s is refused: %s", self.id, self._why, extra=self.ids)
            self.on(TargetEvent.UNFIT)
        else:
            self.on(TargetEvent.THAWED)

    @property
    def waiting(self) -> bool:
        """Whether the source, or the link's end, has still to decide."""
        return self.state is TargetState.PREPARED

    def commit(self, fds: tuple[int, ...], freezes: int = 0) -> None:
        """COMMIT has come with the socket, which is ours from now on."""
        if len(fds) == 1:
            self._fd, self._freezes = fds[0], freezes
            self.on(TargetEvent.COMMIT)
        else:
            close_all(fds)
            log.error("connection %s is lost: no room for its socket", self.id, extra=self.ids)
            self.on(TargetEvent.SOCKET_LOST)

    def on(self, event: TargetEvent) -> None:
        """Take what has happened. An event that the table has no row for is logged and ignored."""
        step = self.table.get((self.state, event))
        if step is None:
            state = self.state.name
            log.error("handoff of %s: %s in state %s", self.id, event.name, state, extra=self.ids)
            return
        self.state, action = step
        _ACTIONS[action](self)

    def _say_ready(self) -> None:
        prepared = control_pb2.Prepared(connection=self.id, number=self.number)
        self.link.send(control_pb2.HubToHub(prepared=prepared))

    def _refuse(self) -> None:
        refused = control_pb2.Refused(connection=self.id, number=self.number, why=self._why)
        self.link.send(control_pb2.HubToHub(refused=refused))

    def _serve(self) -> None:
        self.link.unreserve()
        try:
            self.arriving.serve(self._fd, self._freezes)
        except Exception:  # better a client that sees a close than one that nobody serves
            log.exception("connection %s cannot be served", self.id, extra=self.ids)
            do_all(log, f"letting go of {self.id}", self.arriving.discard, ids=self.ids)
        else:
            log.debug("connection %s has arrived", self.id, extra=self.ids)

    def _discard(self) -> None:
        duties = self.link.unreserve, self.arriving.discard
        do_all(log, f"letting go of {self.id}", *duties, ids=self.ids)

    def _ask(self) -> None:
        """The source can say nothing more."""

    def __repr__(self) -> str:
        return f"<Target {self.number} of {self.id} {self.state.name}>"


_ACTIONS: dict[TargetAction, Callable[[Target], None]] = {
    TargetAction.SAY_READY: lambda target: target._say_ready(),
    TargetAction.REFUSE: Target._refuse,
    TargetAction.SERVE: Target._serve,
    TargetAction.DISCARD: Target._discard,
    TargetAction.ASK: lambda target: target._ask(),
}
