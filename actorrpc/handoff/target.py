"""The taking side of a handoff: from PREPARE until the connection is served here, or given up."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from actorrpc.handoff.source import Link
from actorrpc.handoff.states import TARGET, TargetAction, TargetEvent, TargetState
from actorrpc.pb import control_pb2

__all__ = ["Arriving", "Target"]

log = logging.getLogger("actorrpc.handoff")


class Arriving(Protocol):
    """A thawed connection that does not serve yet."""

    def serve(self) -> None: ...
    def discard(self) -> None: ...


class Target:
    """One connection that a source offers. ``thaw()`` makes it; what it raises refuses the offer."""

    def __init__(self, id: str, link: Link) -> None:
        self.id = id
        self.link = link
        self.state = TargetState.NEW
        self._arriving: Arriving | None = None
        self._why = ""

    def prepare(self, thaw: Callable[[], Arriving]) -> None:
        """Make the connection and say READY, or REFUSED with the reason."""
        try:
            self._arriving = thaw()
        except Exception as error:  # whatever the app's classes do with a state
            log.warning("connection %s is refused: %s", self.id, error)
            self._why = f"{type(error).__name__}: {error}"
            self.on(TargetEvent.UNFIT)
        else:
            self.on(TargetEvent.THAWED)

    @property
    def waiting(self) -> bool:
        """Whether the source, or the link's end, has still to decide."""
        return self.state is TargetState.PREPARED

    def on(self, event: TargetEvent) -> None:
        """Take what has happened. An event that the table has no row for is logged and ignored."""
        step = TARGET.get((self.state, event))
        if step is None:
            log.error("handoff of %s: %s in state %s", self.id, event.name, self.state.name)
            return
        self.state, action = step
        _ACTIONS[action](self)

    def _say_ready(self) -> None:
        self.link.send(control_pb2.HubToHub(prepared=control_pb2.Prepared(connection=self.id)))

    def _refuse(self) -> None:
        self.link.send(control_pb2.HubToHub(refused=control_pb2.Refused(connection=self.id, why=self._why)))

    def _serve(self) -> None:
        assert self._arriving is not None
        self._arriving.serve()

    def _discard(self) -> None:
        assert self._arriving is not None
        self._arriving.discard()

    def __repr__(self) -> str:
        return f"<Target of {self.id} {self.state.name}>"


_ACTIONS: dict[TargetAction, Callable[[Target], None]] = {
    TargetAction.SAY_READY: Target._say_ready,
    TargetAction.REFUSE: Target._refuse,
    TargetAction.SERVE: Target._serve,
    TargetAction.DISCARD: Target._discard,
}
