"""``ConnectedActors``: calls by reference find the connection here, or that it is not."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial

from actorrpc.errors import StatusCode
from actorrpc.hub.directory.names import Location, Name, connection_of, gone, service_of
from actorrpc.hub.exchange.answers import Answers
from actorrpc.hub.exchange.exchange import Exchange
from actorrpc.hub.exchange.outgoing import Request
from actorrpc.hub.phase import FROZEN, QUIESCING, SERVING
from actorrpc.hub.search.departures import Departures
from actorrpc.hub.serving.connection import Connection
from actorrpc.hub.serving.incoming_calls import IncomingCalls
from actorrpc.loop.duties import do_all

__all__ = ["ConnectedActors"]

log = logging.getLogger("actorrpc.hub")


class ConnectedActors:
    """Those of the hub with this serial. ``arrives(connection)`` says whether one is on its way here."""

    def __init__(
        self,
        serial: int,
        connections: Mapping[str, Connection],
        exchange: Exchange,
        arrives: Callable[[str], bool],
    ) -> None:
        self._serial = serial
        self._connections = connections
        self._exchange = exchange
        self._arrives = arrives
        self.departures = Departures()
        #: What is to be done when it is settled whether a connection is here.
        self._waiting: dict[str, list[Callable[[], None]]] = {}

    # ---- for calls

    def has(self, name: Name) -> bool:
        return connection_of(name) in self._connections

    def invoke(self, name: Name, request: Request, answers: Answers) -> None:
        id = connection_of(name)
        connection = self._connections.get(id)
        if answers.over:  # withdrawn, while it waited
            pass
        elif self._unsettled(id):
            self._wait(id, partial(self.invoke, name, request, answers))
        elif connection is None:
            self._exchange.absent(answers)
        elif connection.phase.state in (SERVING, QUIESCING):
            connection.incoming_calls().receive(name, request, answers)
            self._exchange.begun(answers)
        else:
            answers.finish(StatusCode.NOT_FOUND, gone(service_of(name)))

    def when_known(self, name: Name, then: Callable[[bool], None]) -> None:
        id = connection_of(name)
        if self._unsettled(id):
            self._wait(id, partial(self.when_known, name, then))
        else:
            connection = self._connections.get(id)
            then(connection is not None and connection.phase.state in (SERVING, QUIESCING))

    def withdraw(self, answers: Answers) -> None:
        owner: IncomingCalls = answers.owner
        if owner.takes_calls:
            owner.withdraw(answers)
        elif self._unsettled(owner.id):
            self._wait(owner.id, partial(self.withdraw, answers))
        # else its calls have ended, or moved: then whoever withdrew it is told so, and says it there

    # ---- for the search

    def where(self, connection: str, then: Callable[[Location | None], None]) -> None:
        """Say where a connection is, as far as this hub knows: here, or where it went from here. Waits while
        it is on its way here."""
        here = self._connections.get(connection)
        if here is not None and here.phase.state in (SERVING, QUIESCING, FROZEN):
            then(Location(self._serial, here.moves + 1))
        elif here is None and self._arrives(connection):
            self._wait(connection, partial(self.where, connection, then))
        else:
            then(self.departures.find(connection))

    # ---- what becomes of connections

    def _unsettled(self, id: str) -> bool:
        """Whether a connection is on its way, from here or to here."""
        connection = self._connections.get(id)
        return self._arrives(id) if connection is None else connection.phase.state == FROZEN

    def _wait(self, id: str, then: Callable[[], None]) -> None:
        self._waiting.setdefault(id, []).append(then)

    def moved(self, connection: Connection, target: int) -> None:
        """A connection has left for another hub."""
        self.departures.add(connection.id, Location(target, connection.moves + 2))
        self.look()

    def look(self) -> None:
        """Something has come of moves: what has waited for that goes on."""
        for id in [id for id in self._waiting if not self._unsettled(id)]:
            do_all(log, f"what waited for connection {id}", *self._waiting.pop(id, ()))

    def close(self) -> None:
        self.departures.close()

    def __repr__(self) -> str:
        return f"<ConnectedActors of {self._serial}: {self.departures!r}, {len(self._waiting)} awaited>"
