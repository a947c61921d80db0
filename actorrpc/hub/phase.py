"""The states of a connection (serving, quiescing, frozen, closing, closed), and waiting while it is frozen.

In which order a handoff goes through the states: ``actorrpc.hub.moving``.
"""

from __future__ import annotations

from dataclasses import dataclass

import gevent
from gevent.event import Event

from actorrpc.hub.runtime.runners import Runners, get_ident

__all__ = ["CLOSED", "CLOSING", "FROZEN", "QUIESCING", "SERVING", "Phase", "label"]

SERVING = "serving"
#: It is about to move: no turn starts, and the running ones are waited for.
QUIESCING = "quiescing"
#: Its snapshot has been taken, or it has been made of one: nothing happens to it.
FROZEN = "frozen"
#: The last words are being written.
CLOSING = "closing"
CLOSED = "closed"


def label(id: str) -> str:
    """What lines of the log and errors call a connection, or a keyed actor, by its id."""
    return f"actor {id}" if "/" in id else f"connection {id}"


@dataclass(slots=True, eq=False, repr=False)
class Phase:
    """The state of one connection, or keyed actor. While it is FROZEN, whoever would change it waits here."""

    _id: str
    _runners: Runners
    state: str = SERVING
    #: Another hub serves it: what there is here is only what is left of it.
    left: bool = False
    #: What users' greenlets wait for while it is frozen.
    _settled: Event | None = None

    def settle(self, what: str) -> None:
        """Wait while the connection is frozen: what is done to it then would be lost if it moves.

        Raises RuntimeError where nobody can wait, in gevent's own greenlet, and in another thread always.
        """
        if get_ident() != self._runners.thread:  # as `check_thread`, without a call for each send
            self._runners.check_thread()
        while self.state == FROZEN:
            if gevent.getcurrent() is self._runners.hub:
                raise RuntimeError(
                    f"cannot {what} now: {label(self._id)} is on its way to another hub, and "
                    "a callback of the loop cannot wait for the end of that. Do it in a greenlet "
                    "(gevent.spawn)"
                )
            if self._settled is None:
                self._settled = Event()
            self._settled.wait()

    def check_here(self, what: str) -> None:
        """Wait while the connection is frozen, and raise RuntimeError if another hub serves it."""
        if self.state == FROZEN:
            self.settle(what)
        if self.left:
            raise RuntimeError(
                f"cannot {what}: {label(self._id)} is served by another hub now. A greenlet "
                "of your own does not move with it: do the work in turns"
            )

    def let_go_on(self) -> None:
        """Whoever waits for the end of a move may go on."""
        if self._settled is not None:
            self._settled.set()
            self._settled = None

    def __repr__(self) -> str:
        return f"<Phase of {self._id}: {self.state}{', elsewhere' * self.left}>"
