"""Where moves begin: which are refused at once, and which become handoffs; and how others' arrive."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from time import monotonic
from typing import Protocol

from actorrpc.forks import users_code
from actorrpc.hub.actors.call_stage import CallStage
from actorrpc.hub.keyed.activation import Activation
from actorrpc.hub.keyed.activations import Activations
from actorrpc.hub.moving.contents import contents
from actorrpc.hub.moving.departure import Arrival, Departure
from actorrpc.hub.moving.fit import why_unfit
from actorrpc.hub.moving.handoffs import Handoffs
from actorrpc.hub.moving.keyed import ActorArrival, ActorDeparture, Transfers
from actorrpc.hub.moving.keyed_snapshot import thaw_activation
from actorrpc.hub.moving.memfd import unpacked
from actorrpc.hub.moving.move_cost import Cost, MoveCosts, too_long
from actorrpc.hub.moving.move_id import first_number
from actorrpc.hub.moving.snapshot import thaw
from actorrpc.hub.moving.source import Source
from actorrpc.hub.moving.target import MoveRefused
from actorrpc.hub.resources import Resources
from actorrpc.hub.serving.connection import Connection, ConnectionOwner
from actorrpc.ipc.sender import Sender
from actorrpc.loop.duties import do_all
from actorrpc.loop.timers import after
from actorrpc.pb import control_pb2

__all__ = ["Mover", "MoverOwner"]

log = logging.getLogger("actorrpc.hub")

MoveResult = control_pb2.MoveResult


class MoverOwner(ConnectionOwner, Protocol):
    """The hub, as moves see it."""

    @property
    def serial(self) -> int:
        """The number that the other hubs know this process by."""

    @property
    def stages(self) -> Mapping[str, CallStage]:
        """What can move, by id: connections, and keyed actors."""

    def why_unserved(self, id: str) -> str:
        """Why a connection cannot move that it has accepted, and does not serve yet; "": it has none such."""

    @property
    def rest_refusal(self) -> str:
        """The same, where it is not for a client's connection."""

    @property
    def move_refusal(self) -> str:
        """Why it can take no connection now, also one that is on its way here already; "" if it can."""

    def adopt(self, connection: Connection) -> None:
        """Take a connection that another hub has handed over."""

    def weigh(self, connection: CallStage) -> object:
        """Find out how large a connection's states are, unless that has just been done."""

    def stays(self, connection: CallStage) -> None:
        """Its move came to nothing."""

    def left(self, connection: CallStage, target: int) -> None:
        """It has moved to a process of another hub."""

    def settled(self) -> None:
        """A move is over."""


class Way(Sender, Protocol):
    """A link to another hub's process."""

    @property
    def snapshots(self) -> int:
        """The format of snapshots that are sent there."""

    @property
    def states(self) -> Mapping[str, int]:
        """What its app knows: see ``fit``."""

    @property
    def hub(self) -> int:
        """The hub that it is a process of."""


class Mover:
    """All moves of one hub. ``links`` are those to processes of other hubs, by their serials. ``on_moved``
    is told of each move that has been begun."""

    def __init__(
        self,
        owner: MoverOwner,
        resources: Resources,
        links: Mapping[int, Way],
        on_moved: Callable[[control_pb2.Moved], None] | None,
        activations: Activations,
        transfers: Transfers,
    ) -> None:
        self._activations = activations
        self._transfers = transfers
        self._owner = owner
        self._resources = resources
        self._links = links
        self._on_moved = on_moved
        self.costs = MoveCosts()
        self.handoffs = Handoffs(
            timer=_timer,
            quiesce_timeout=resources.config.quiesce_timeout,
            thaw=self._thaw,
            first=first_number(),
        )

    def cost(self, connection: CallStage) -> Cost:
        """What it would cost to move a connection now."""
        return self.costs.of(contents(connection))

    def _why_too_heavy(self, connection: CallStage) -> str:
        """Why no policy may move it; "" if one may."""
        self._owner.weigh(connection)
        return too_long(self.cost(connection), self._resources.config.max_move_time)

    def why_unfit(self, connection: CallStage, target: int) -> str:
        """Why a process would refuse it, whose code is other than ours; "" if it would not."""
        link = self._links.get(target)
        return why_unfit(connection, link.states, link.hub) if link is not None else ""

    def move(
        self,
        connection_id: str,
        target: int,
        done: Callable[[control_pb2.MoveResult], None],
        *,
        by_policy: bool = False,
    ) -> None:
        """Move a connection to a process of another hub; ``done`` gets the outcome, perhaps before this
        returns.

        One that the target would refuse is not begun. One that a policy asks for is refused if it would stop
        both hubs for too long.
        """
        connection = self._owner.stages.get(connection_id)
        if connection is None and (why := self._owner.why_unserved(connection_id)):
            done(MoveResult(outcome=MoveResult.ABORTED, why=why, of_connection=True))
        elif connection is None:
            why = f"no connection {connection_id} here"
            done(MoveResult(outcome=MoveResult.UNKNOWN_CONNECTION, why=why, of_connection=True))
        elif target == self._owner.serial:
            done(MoveResult(outcome=MoveResult.MOVED, why="it is there already"))
        elif target not in self._links:
            done(MoveResult(outcome=MoveResult.UNKNOWN_HUB, why="there is no link to that hub"))
        elif connection_id in self.handoffs.sources:
            why = "the connection is being moved already"
            done(MoveResult(outcome=MoveResult.ABORTED, why=why, of_connection=True))
        elif why := self.why_unfit(connection, target):
            done(MoveResult(outcome=MoveResult.ABORTED, why=why))
        elif by_policy and (why := self._why_too_heavy(connection)):
            done(MoveResult(outcome=MoveResult.ABORTED, why=why, of_connection=True))
        else:
            limit = self._resources.config.max_move_time if by_policy else 0.0
            link = self._links[target]
            departure = self._departure(connection, target, limit, link.snapshots)
            self.handoffs.begin(departure, link, partial(self._moved, connection, target, done))

    def _departure(
        self, stage: CallStage, target: int, limit: float, format: int
    ) -> Departure | ActorDeparture:
        if isinstance(stage, Activation):
            return ActorDeparture(stage, self.costs, self._transfers, target, limit, format)
        assert isinstance(stage, Connection)
        return Departure(stage, self.costs, limit, format)

    def _moved(
        self,
        connection: CallStage,
        target: int,
        done: Callable[[control_pb2.MoveResult], None],
        source: Source,
        why: str,
    ) -> None:
        """A move has come to its end; ``why`` not, or "" if it has been made."""
        result = MoveResult(
            outcome=MoveResult.ABORTED if why else MoveResult.MOVED,
            why=why,
            of_connection=bool(why) and source.of_connection,
        )
        duties: list[Callable[[], object]] = [
            partial(self._report, connection, target, source, why),
            partial(done, result),
        ]
        if why:
            duties.append(partial(self._owner.stays, connection))
        else:
            duties.insert(0, partial(self._owner.left, connection, target))
        what = f"the end of the move of {connection.id}"
        do_all(log, what, *duties, self._owner.settled, ids=source.ids)

    def _report(self, connection: CallStage, target: int, source: Source, why: str) -> None:
        if self._on_moved is not None:
            self._on_moved(
                control_pb2.Moved(
                    connection=connection.id,
                    target=target,
                    aborted=why,
                    pause_ms=0.0 if why else (monotonic() - source.began) * 1000,
                    of_connection=bool(why) and source.of_connection,
                )
            )

    def move_on(self, connection_id: str) -> None:
        """Move a connection to the next hub, if it and another hub are here."""
        hubs = sorted(self._links)
        if hubs and connection_id in self._owner.stages:
            target = next((hub for hub in hubs if hub > self._owner.serial), hubs[0])
            self.move(connection_id, target, lambda result: None)

    def _thaw(self, prepare: control_pb2.Prepare, fds: tuple[int, ...]) -> Arrival | ActorArrival:
        owner, resources = self._owner, self._resources
        if why := owner.rest_refusal if prepare.epoch else owner.move_refusal:
            raise MoveRefused(why)
        with users_code(), unpacked(prepare, fds, resources.config.max_state_bytes) as snapshot:
            if prepare.epoch:
                activations = self._activations
                activation = thaw_activation(activations, resources.exchange, self.costs, snapshot)
                return ActorArrival(activation, activations, self._transfers)
            return Arrival(thaw(owner, resources, self.costs, snapshot), owner.adopt)

    def __repr__(self) -> str:
        return f"<Mover {self.handoffs!r}>"


def _timer(seconds: float, function: Callable[[], None]) -> Callable[[], None]:
    cancel: Callable[[], None] = after(seconds, function).close
    return cancel
