"""A connection as the two sides of a handoff see it: on its way from here, and just come."""

from __future__ import annotations

import logging
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial

from actorrpc.errors import SnapshotError
from actorrpc.hub.actors.call_stage import CallStage
from actorrpc.hub.actors.cell import Cell
from actorrpc.hub.moving.move_cost import MoveCosts
from actorrpc.hub.moving.obstacles import why_pinned, why_unquiet
from actorrpc.hub.moving.snapshot import freeze
from actorrpc.hub.phase import CLOSED, CLOSING, QUIESCING
from actorrpc.hub.serving.connection import Connection
from actorrpc.ipc.hello import SNAPSHOTS
from actorrpc.log import about
from actorrpc.net.sockets import socket_of

__all__ = ["Arrival", "Departure", "StageDeparture", "resume"]

log = logging.getLogger("actorrpc.hub")


class StageDeparture(ABC):
    """What carries actors, about to move, as ``actorrpc.hub.moving.source`` sees it: with their hooks."""

    def __init__(
        self,
        connection: CallStage,
        costs: MoveCosts,
        limit: float = 0.0,
        format: int = SNAPSHOTS.newest,
    ) -> None:
        """``costs`` learns what it took. ``limit`` is how many seconds the move may cost both hubs together;
        0: as many as it takes. ``format`` is that of the snapshot, which the target has to know."""
        self.connection = connection
        self.id = connection.id
        self.costs = costs
        self.limit = limit
        self.format = format
        self._given_up = False
        #: Those whose on_freeze has begun.
        self._hooked: set[Cell] = set()
        self._hook_failed = ""

    @property
    def pinned(self) -> str:
        return why_pinned(self.connection)

    @property
    def unquiet(self) -> str:
        return why_unquiet(self.connection)

    def quiesce(self, on_quiet: Callable[[], None]) -> None:
        """Start no more turns; call ``on_quiet`` once nothing has to be waited for (``why_unquiet``) and what
        runs last has run.

        The connection goes on reading, so that a PING is answered and a cancellation heard while a handler
        blocks.
        """
        connection = self.connection
        connection.phase.state = QUIESCING
        connection.schedule.quiesce(lambda: self._run_last(on_quiet), lambda: self.unquiet)

    def _run_last(self, on_quiet: Callable[[], None]) -> None:
        """What runs while no turn does: iterables of calls that have ended are closed, then on_freeze."""
        connection = self.connection
        closing = [cell for cell in connection.cells.values() if cell.closing]
        if closing:
            self._run(closing, Cell.close_iterators, on_quiet)
            return
        # Only now: an on_call that was waited for may have let a call through to a new actor, and may again
        # while an on_freeze blocks. One that came here and was not thawed yet travels on as it is.
        cells = [
            cell
            for cell in connection.cells.values()
            if cell.connected and not (cell.thawing or cell in self._hooked) and cell.overrides("on_freeze")
        ]
        if cells:
            self._run(cells, self._run_hook, on_quiet)
        else:
            on_quiet()

    def _run(self, cells: list[Cell], job: Callable[[Cell], None], on_quiet: Callable[[], None]) -> None:
        runners = self.connection.resources.runners
        runners.start(lambda runner: self._run_as_turns(cells, job, on_quiet), cells[0].part)

    def _run_as_turns(
        self, cells: list[Cell], job: Callable[[Cell], None], on_quiet: Callable[[], None]
    ) -> None:
        connection = self.connection
        for cell in cells:
            if self._given_up or connection.phase.state != QUIESCING:  # the client may have gone meanwhile
                return
            # As a turn: should the move be given up meanwhile, the actor's next turn waits for this one.
            cell.running = True
            connection.schedule.running += 1
            try:
                job(cell)
            finally:
                cell.running = False
                connection.schedule.runner_left(cell)
        if not self._given_up and connection.phase.state == QUIESCING:
            self.quiesce(on_quiet)  # what they published must be acknowledged

    def _run_hook(self, cell: Cell) -> None:
        cell.frozen = True
        self._hooked.add(cell)
        if not cell.run_hook("on_freeze"):
            self._hook_failed = f"on_freeze of {cell.name} raised"

    def freeze(self) -> bytes:
        # A turn that was waited for may have left something that does not travel.
        obstacle = self._hook_failed or why_pinned(self.connection)
        if obstacle:
            raise SnapshotError(obstacle)
        return self._freeze()

    @abstractmethod
    def _freeze(self) -> bytes:
        """Write it down. Raises SnapshotError where it cannot move."""

    def resume(self) -> None:
        self._given_up = True
        try:
            if self._hooked:
                self.connection.cells.thaw_hooks()
            self._resume()
        except Exception:  # better a client that sees a close than one that nobody serves
            ids = about(connection=self.id)
            log.exception("connection %s is closed: it cannot be served again", self.id, extra=ids)
            self._close()

    @abstractmethod
    def _resume(self) -> None:
        """Serve it again."""

    @abstractmethod
    def _close(self) -> None:
        """End it."""

    def release(self) -> None:
        self.connection.let_go()


class Departure(StageDeparture):
    """A client's connection."""

    connection: Connection

    def _freeze(self) -> bytes:
        return freeze(self.connection, self.costs, self.limit, self.format)

    def fileno(self) -> int:
        return self.connection.pump.transport.fileno()

    @property
    def freezes(self) -> int:
        secure = self.connection.secure_transport
        return 0 if secure is None else secure.freezes

    def _resume(self) -> None:
        resume(self.connection)

    def _close(self) -> None:
        self.connection.close()


class Arrival:
    """A thawed connection, as ``actorrpc.hub.moving.target`` sees it."""

    def __init__(self, connection: Connection, adopt: Callable[[Connection], None]) -> None:
        """``adopt`` has this hub take it for one of its own."""
        self.connection = connection
        self._adopt = adopt
        for subscription in connection.host.subscriptions:
            connection.resources.topics.thaw(subscription)

    def serve(self, fd: int, freezes: int = 0) -> None:
        connection = self.connection
        # With its family and type: nobody needs to ask the kernel for them.
        connection.pump.transport.attach(socket_of(fd, socket.AF_INET, socket.SOCK_STREAM, 0))
        if (secure := connection.secure_transport) is not None:
            secure.own(freezes)
        for cell in connection.cells.values():
            cell.frozen = cell.connected
        connection.cells.thaw_hooks()
        self._adopt(connection)
        resume(connection)

    def discard(self) -> None:
        self.connection.let_go()


def _begin(connection: Connection) -> None:
    """Hear others, and the client."""
    if connection.incoming is not None:
        connection.incoming.serve()
    connection.pump.transport.start()


def resume(connection: Connection) -> None:
    """Serve again after a quiesce or freeze that led to nothing, or for the first time after a thaw."""
    phase, transport = connection.phase, connection.pump.transport
    if phase.state in (CLOSING, CLOSED):
        return
    connection.resume_turns(partial(_begin, connection))
    # The client has waited: what it has sent meanwhile comes first, not after a round of the loop.
    transport.read()
    if phase.state != CLOSED:  # as it may be now
        connection.timer.start()
